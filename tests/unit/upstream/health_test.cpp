// From results of health checks to a verdict.
#include "gateway/upstream/health.hpp"

#include <gtest/gtest.h>

namespace gatehouse::upstream {
namespace {

config::HealthCheck rule(unsigned unhealthy_after, unsigned healthy_after) {
  config::HealthCheck check;
  check.unhealthy_after = unhealthy_after;
  check.healthy_after = healthy_after;
  return check;
}

TEST(HealthState, CountsAsHealthyUntilTheFirstResult) {
  HealthState state;
  EXPECT_TRUE(state.healthy());
  EXPECT_FALSE(state.known());
}

TEST(HealthState, FollowsTheFirstResultAtOnce) {
  HealthState bad;
  EXPECT_TRUE(bad.observe(false, rule(3, 2)));
  EXPECT_FALSE(bad.healthy());
  HealthState good;
  EXPECT_FALSE(good.observe(true, rule(3, 2)));
  EXPECT_TRUE(good.healthy());
  EXPECT_TRUE(good.known());
}

TEST(HealthState, NeedsBadResultsInARowToFall) {
  HealthState state;
  const auto check = rule(3, 2);
  state.observe(true, check);
  EXPECT_FALSE(state.observe(false, check));
  EXPECT_FALSE(state.observe(false, check));
  EXPECT_FALSE(state.observe(true, check));  // starts the row anew
  EXPECT_FALSE(state.observe(false, check));
  EXPECT_FALSE(state.observe(false, check));
  EXPECT_TRUE(state.observe(false, check));
  EXPECT_FALSE(state.healthy());
}

TEST(HealthState, NeedsGoodResultsInARowToRise) {
  HealthState state;
  const auto check = rule(3, 2);
  state.observe(false, check);
  EXPECT_FALSE(state.observe(true, check));
  EXPECT_FALSE(state.observe(false, check));
  EXPECT_FALSE(state.observe(true, check));
  EXPECT_TRUE(state.observe(true, check));
  EXPECT_TRUE(state.healthy());
}

}  // namespace
}  // namespace gatehouse::upstream
