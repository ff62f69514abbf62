// Choosing an endpoint of a site.
#include "gateway/upstream/balance.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace gatehouse::upstream {
namespace {

using config::Balance;

std::vector<std::size_t> choices(Balance balance, const std::vector<EndpointView>& endpoints, int count) {
  std::size_t cursor = 0;
  std::vector<std::size_t> chosen;
  for (int i = 0; i < count; ++i) chosen.push_back(choose_endpoint(balance, endpoints, cursor));
  return chosen;
}

TEST(ChooseEndpoint, RoundRobinTakesTurns) {
  EXPECT_EQ(choices(Balance::round_robin, {{}, {}, {}}, 5), (std::vector<std::size_t>{0, 1, 2, 0, 1}));
}

TEST(ChooseEndpoint, RoundRobinPassesOverUnhealthyAndTried) {
  EXPECT_EQ(choices(Balance::round_robin, {{.healthy = false}, {}, {.tried = true}, {}}, 4),
            (std::vector<std::size_t>{1, 3, 1, 3}));
}

TEST(ChooseEndpoint, LeastRequestTakesTheIdlest) {
  EXPECT_EQ(choices(Balance::least_request, {{.in_flight = 3}, {.in_flight = 1}, {.in_flight = 2}}, 2),
            (std::vector<std::size_t>{1, 1}));
}

TEST(ChooseEndpoint, LeastRequestTakesTurnsAmongEquals) {
  EXPECT_EQ(choices(Balance::least_request, {{}, {}, {}}, 4), (std::vector<std::size_t>{0, 1, 2, 0}));
}

TEST(ChooseEndpoint, LeastRequestIgnoresAnIdleButUnhealthyOne) {
  EXPECT_EQ(choices(Balance::least_request, {{.healthy = false, .in_flight = 0}, {.in_flight = 9}}, 1),
            (std::vector<std::size_t>{1}));
}

TEST(ChooseEndpoint, FindsNoneWhenAllAreOut) {
  std::size_t cursor = 7;
  const std::vector<EndpointView> endpoints{{.healthy = false}, {.tried = true}};
  EXPECT_EQ(choose_endpoint(Balance::round_robin, endpoints, cursor), none);
  EXPECT_EQ(choose_endpoint(Balance::least_request, {}, cursor), none);
  EXPECT_EQ(cursor, 7U);
}

}  // namespace
}  // namespace gatehouse::upstream
