// Sites in order of preference.
#include "gateway/upstream/service.hpp"

#include <gtest/gtest.h>

namespace gatehouse::upstream {
namespace {

config::Service two_sites() {
  config::Service service;
  service.name = "web";
  const auto address = [](const char* text) { return *SocketAddress::parse(text); };
  service.sites.push_back({"far", {address("127.0.0.1:1"), address("127.0.0.1:2")}});
  service.sites.push_back({"near", {address("127.0.0.1:3"), address("127.0.0.1:4")}});
  return service;
}

std::shared_ptr<EndpointHealth> unhealthy() {
  auto health = std::make_shared<EndpointHealth>();
  health->healthy = false;
  return health;
}

TEST(Service, PutsTheGatewaysOwnSiteFirstAndKeepsTheOthersOrder) {
  const config::Service config = two_sites();
  const Service service(config, "near", 1);
  EXPECT_EQ(service.sites[0].name, "near");
  EXPECT_EQ(service.sites[1].name, "far");
  const Service elsewhere(config, "nowhere", 1);
  EXPECT_EQ(elsewhere.sites[0].name, "far");
}

TEST(Service, StaysAtTheFirstSiteWhileItHasAHealthyEndpoint) {
  const config::Service config = two_sites();
  Service service(config, "near", 1);
  service.sites[0].endpoints[0].health = unhealthy();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(service.choose(0, {}), (Service::Choice{0, 1}));
  EXPECT_EQ(service.active_site(), 0U);
}

TEST(Service, GoesToTheNextSiteWhenTheFirstHasNone) {
  const config::Service config = two_sites();
  Service service(config, "near", 1);
  service.sites[0].endpoints[0].health = service.sites[0].endpoints[1].health = unhealthy();
  EXPECT_EQ(service.choose(0, {}).site, 1U);
  EXPECT_EQ(service.active_site(), 1U);
}

TEST(Service, RetriesElsewhereAndAtTheNextSiteLast) {
  const config::Service config = two_sites();
  const Service service(config, "near", 1);
  std::vector<Service::Choice> tried;
  std::vector<std::size_t> sites;
  for (int i = 0; i < 4; ++i) {
    const Service::Choice choice = service.choose(0, tried);
    ASSERT_TRUE(choice.found());
    EXPECT_EQ(service.has_alternative(tried, choice), i < 3);
    sites.push_back(choice.site);
    tried.push_back(choice);
  }
  EXPECT_EQ(sites, (std::vector<std::size_t>{0, 0, 1, 1}));
  EXPECT_FALSE(service.choose(0, tried).found());
}

TEST(Service, FindsNoneWhenAllAreUnhealthy) {
  const config::Service config = two_sites();
  Service service(config, "near", 1);
  for (ServiceSite& site : service.sites)
    for (Endpoint& endpoint : site.endpoints) endpoint.health = unhealthy();
  EXPECT_FALSE(service.choose(0, {}).found());
  EXPECT_EQ(service.active_site(), none);
}

TEST(Service, ServesMoreEndpointsThanTheInlineListHolds) {
  config::Service config;
  config.sites.push_back({"here", {}});
  for (int i = 0; i < 100; ++i)
    config.sites[0].endpoints.push_back({IpAddress::v4(0x7f000001), static_cast<std::uint16_t>(1000 + i)});
  const Service service(config, "here", 1);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(service.choose(0, {}).endpoint, i % 100);
}

TEST(CodeClass, NamesEveryStatusForTheMetric) {
  EXPECT_STREQ(code_class_name(code_class(101)), "1xx");
  EXPECT_STREQ(code_class_name(code_class(204)), "2xx");
  EXPECT_STREQ(code_class_name(code_class(308)), "3xx");
  EXPECT_STREQ(code_class_name(code_class(404)), "4xx");
  EXPECT_STREQ(code_class_name(code_class(499)), "499");
  EXPECT_STREQ(code_class_name(code_class(504)), "5xx");
}

}  // namespace
}  // namespace gatehouse::upstream
