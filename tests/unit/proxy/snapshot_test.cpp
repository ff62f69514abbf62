// Host -> tenant, path -> route.
#include "gateway/proxy/snapshot.hpp"

#include <gtest/gtest.h>

namespace gatehouse::proxy {
namespace {

TEST(CoversPath, MatchesWholeSegments) {
  for (const char* const prefix : {"/api", "/api/"}) {
    EXPECT_TRUE(covers_path(prefix, "/api")) << prefix;
    EXPECT_TRUE(covers_path(prefix, "/api/")) << prefix;
    EXPECT_TRUE(covers_path(prefix, "/api/x")) << prefix;
    EXPECT_FALSE(covers_path(prefix, "/apix")) << prefix;
    EXPECT_FALSE(covers_path(prefix, "/ap")) << prefix;
    EXPECT_FALSE(covers_path(prefix, "/")) << prefix;
  }
  EXPECT_TRUE(covers_path("/", "/"));
  EXPECT_TRUE(covers_path("/", "/anything"));
  EXPECT_FALSE(covers_path("/", "*"));
}

class FindHost : public testing::Test {
 protected:
  FindHost() {
    for (const char* const name : {"shop.example.de", "*.example.de", "*.deep.example.de"})
      snapshot_.hosts[name].config = &configs_[name];
  }
  const config::Host* find(std::string_view host) const {
    const HostEntry* const entry = snapshot_.find_host(host);
    return entry != nullptr ? entry->config : nullptr;
  }
  std::map<std::string, config::Host> configs_;
  Snapshot snapshot_;
};

TEST_F(FindHost, PrefersTheExactName) {
  EXPECT_EQ(find("shop.example.de"), &configs_["shop.example.de"]);
  EXPECT_EQ(find("other.example.de"), &configs_["*.example.de"]);
}

TEST_F(FindHost, TakesAWildcardForExactlyOneLabel) {
  EXPECT_EQ(find("a.b.example.de"), nullptr);
  EXPECT_EQ(find("example.de"), nullptr);
  EXPECT_EQ(find("x.deep.example.de"), &configs_["*.deep.example.de"]);
}

TEST_F(FindHost, DoesNotTakeAWildcardsTextForAName) {
  EXPECT_EQ(find("*.deep.example.de"), &configs_["*.deep.example.de"]);  // one label, whatever it is
  EXPECT_EQ(find(".example.de"), nullptr);
  EXPECT_EQ(find(""), nullptr);
  EXPECT_EQ(find(std::string(300, 'a') + ".example.de"), &configs_["*.example.de"]);
  EXPECT_EQ(find("a." + std::string(300, 'b')), nullptr);
}

TEST_F(FindHost, GivesWhatNobodyClaimsToTheCatchAll) {
  EXPECT_EQ(find("nobody.test"), nullptr);
  snapshot_.hosts["*"].config = &configs_["*"];
  EXPECT_EQ(find("nobody.test"), &configs_["*"]);
  EXPECT_EQ(find(""), &configs_["*"]);
  EXPECT_EQ(find("shop.example.de"), &configs_["shop.example.de"]);
}

class FindRoute : public testing::Test {
 protected:
  void add(const char* name, config::RouteMatch match) {
    auto route = std::make_unique<config::Route>();
    route->name = name;
    route->match = std::move(match);
    auto made = std::make_unique<filter::Route>();
    made->config = route.get();
    configs_.push_back(std::move(route));
    routes_.expressions.push_back(made->config->match.kind == config::PathMatch::regex
                                      ? std::make_unique<re2::RE2>(made->config->match.path)
                                      : nullptr);
    routes_.tenant.routes.push_back(std::move(made));
  }
  std::string find(std::string_view path, std::string_view method = "GET",
                   std::initializer_list<http::Field> fields = {}, bool peer_trusted = false) const {
    http::Fields all;
    for (const http::Field& field : fields) all.push(field);
    const filter::Route* const route = find_route(routes_, path, method, all, peer_trusted);
    return route != nullptr ? route->config->name : "none";
  }
  std::vector<std::unique_ptr<config::Route>> configs_;
  TenantRoutes routes_;
};

TEST_F(FindRoute, TakesTheFirstThatFits) {
  add("exact", {.kind = config::PathMatch::exact, .path = "/api/health"});
  add("api", {.path = "/api"});
  add("pictures", {.kind = config::PathMatch::regex, .path = "/img/[0-9]+\\.png"});
  add("rest", {.path = "/"});
  EXPECT_EQ(find("/api/health"), "exact");
  EXPECT_EQ(find("/api/health/x"), "api");
  EXPECT_EQ(find("/img/42.png"), "pictures");
  EXPECT_EQ(find("/img/42.png.exe"), "rest");  // anchored at both ends
  EXPECT_EQ(find("/"), "rest");
}

TEST_F(FindRoute, GoesOnWhenTheMethodDoesNotFit) {
  add("writes", {.path = "/api", .methods = {"POST", "PUT"}});
  add("reads", {.path = "/api", .methods = {"GET"}});
  EXPECT_EQ(find("/api", "POST"), "writes");
  EXPECT_EQ(find("/api", "GET"), "reads");
  EXPECT_EQ(find("/api", "DELETE"), "none");
  EXPECT_EQ(find("/api", "get"), "none");  // methods are case-sensitive
}

TEST_F(FindRoute, DoesNotGoByWhatAnUntrustedPeerSaysOfOthers) {
  add("office", {.path = "/", .headers = {{.name = "x-forwarded-client-cert", .value = std::nullopt}}});
  add("rest", {.path = "/"});
  const http::Field said{http::FieldId::x_forwarded_client_cert, "X-Forwarded-Client-Cert", "Subject=\"CN=admin\""};
  EXPECT_EQ(find("/", "GET", {said}), "rest");
  EXPECT_EQ(find("/", "GET", {said}, true), "office");
}

TEST_F(FindRoute, WantsAllHeaders) {
  add("canary", {.path = "/", .headers = {{"x-canary", "1"}, {"x-user", std::nullopt}}});
  add("rest", {.path = "/"});
  const http::Field canary{http::FieldId::other, "X-Canary", "1"};
  const http::Field other{http::FieldId::other, "X-Canary", "2"};
  const http::Field user{http::FieldId::other, "x-user", "whoever"};
  EXPECT_EQ(find("/", "GET", {canary, user}), "canary");
  EXPECT_EQ(find("/", "GET", {canary}), "rest");
  EXPECT_EQ(find("/", "GET", {other, user}), "rest");
}

TEST_F(FindRoute, ComparesHostsAsHostsAre) {
  add("shop", {.path = "/", .headers = {{.name = "host", .value = "Shop.example"}}});
  add("six", {.path = "/", .headers = {{.name = "host", .value = "[2001:db8::1]"}}});
  for (const char* host : {"shop.example", "SHOP.EXAMPLE", "shop.example.", "shop.example:80", "shop.example.:443"})
    EXPECT_EQ(find("/", "GET", {{http::FieldId::host, "Host", host}}), "shop") << host;
  for (const char* host : {"[2001:db8::1]", "[2001:DB8::1]:8443"})
    EXPECT_EQ(find("/", "GET", {{http::FieldId::host, "Host", host}}), "six") << host;
  for (const char* host : {"shop.examples", "a.shop.example", "shop", "", ":80", "[2001:db8::2]"})
    EXPECT_EQ(find("/", "GET", {{http::FieldId::host, "Host", host}}), "none") << host;
}

TEST_F(FindRoute, TakesAFieldThatConnectionNamesForAbsent) {
  add("canary", {.path = "/", .headers = {{"x-canary", std::nullopt}}});
  add("socket", {.path = "/", .headers = {{"upgrade", "websocket"}}});
  add("rest", {.path = "/"});
  const auto connection = [](std::string_view value) {
    return http::Field{http::FieldId::connection, "Connection", value};
  };
  const http::Field canary{http::FieldId::other, "X-Canary", "1"};
  EXPECT_EQ(find("/", "GET", {connection("close, x-canary"), canary}), "rest");
  EXPECT_EQ(find("/", "GET", {canary, connection("X-CANARY")}), "rest");
  EXPECT_EQ(find("/", "GET", {canary, connection("keep-alive")}), "canary");
  EXPECT_EQ(find("/", "GET", {connection("upgrade"), {http::FieldId::upgrade, "Upgrade", "websocket"}}), "socket");
}

TEST(SnapshotRef, LetsGoWithItsLastCopy) {
  bool gone = false;
  {
    SnapshotRef first(std::shared_ptr<const Snapshot>(new Snapshot, [&](const Snapshot* last) {
      gone = true;
      delete last;
    }));
    SnapshotRef second = first;
    first = SnapshotRef();
    EXPECT_FALSE(gone);
    EXPECT_TRUE(second);
    EXPECT_FALSE(first);
  }
  EXPECT_TRUE(gone);
}

}  // namespace
}  // namespace gatehouse::proxy
