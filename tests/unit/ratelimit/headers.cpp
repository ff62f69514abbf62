// ratelimit/headers.hpp: the RateLimit fields.
#include "ratelimit/headers.hpp"

#include <gtest/gtest.h>

namespace gatehouse::ratelimit {
namespace {

using namespace std::chrono_literals;

std::string policy(std::string_view name, const BucketParameters& parameters) {
  std::string value;
  append_policy(value, name, parameters);
  return value;
}

std::string limit(const Decision& decision) {
  std::string value;
  append_limit(value, "l", decision);
  return value;
}

TEST(RateLimitPolicy, IsTheContractsExample) {
  EXPECT_EQ(policy("per_client", {20, 10, 1s}), "\"per_client\";q=20;w=2");
}

TEST(RateLimitPolicy, RoundsTheWindowUpToWholeSecondsAndAtLeastOne) {
  EXPECT_EQ(policy("a", {21, 10, 1s}), "\"a\";q=21;w=3");
  EXPECT_EQ(policy("a", {1, 1000, 1s}), "\"a\";q=1;w=1");
  EXPECT_EQ(policy("a", {1000, 1000, 1h}), "\"a\";q=1000;w=3600");
  EXPECT_EQ(policy("a", {1000, 60, 1min}), "\"a\";q=1000;w=1000");
}

TEST(RateLimitPolicy, HasTheExactWindowOfExtremeLimits) {
  EXPECT_EQ(policy("a", {1'000'000'000, 1, 1h}), "\"a\";q=1000000000;w=3600000000000");
  EXPECT_EQ(policy("a", {1'000'000'000, 1'000'000'000, 31 * 24h}), "\"a\";q=1000000000;w=2678400");
  EXPECT_EQ(policy("a", {1, 999'999'999, kMaxPeriod}), "\"a\";q=1;w=1");
  EXPECT_EQ(policy("a", {1'000'000'000, 999'999'999, 366 * 24h}), "\"a\";q=1000000000;w=31622401");
  EXPECT_EQ(policy("a", {3, 1, 333'333us}), "\"a\";q=3;w=1");
  EXPECT_EQ(policy("a", {3, 1, 333'334us}), "\"a\";q=3;w=2");
  EXPECT_EQ(policy("a", {1'000'000'000, 7, 1us}), "\"a\";q=1000000000;w=143");
}

TEST(RateLimitPolicy, HasNoMoreThanFifteenDigitsAndNoZero) {
  EXPECT_EQ(policy("a", {1'000'000'000, 1, kMaxPeriod}), "\"a\";q=1000000000;w=999999999999999");
  EXPECT_EQ(policy("a", {0, 0, 0us}), "\"a\";q=1;w=1");
  EXPECT_EQ(policy("a", {~0ULL, ~0ULL, 1h}), "\"a\";q=1000000000;w=3600");
}

TEST(RateLimitPolicy, AppendsToWhatIsThere) {
  std::string value = policy("a", {1, 1, 1s}) + ", ";
  append_policy(value, "b", {2, 1, 1s});
  EXPECT_EQ(value, "\"a\";q=1;w=1, \"b\";q=2;w=2");
}

TEST(RateLimit, SaysWhenTheNextTokenIsThere) {
  EXPECT_EQ(limit({.allowed = false, .remaining = 0, .retry_after = 100ms, .reset_after = 2s}), "\"l\";r=0;t=1");
  EXPECT_EQ(limit({.allowed = false, .remaining = 0, .retry_after = 59'000'001us, .reset_after = 90s}),
            "\"l\";r=0;t=60");
}

TEST(RateLimit, SaysWhenAnOpenBucketIsFull) {
  EXPECT_EQ(limit({.allowed = true, .remaining = 7, .reset_after = 1'200ms}), "\"l\";r=7;t=2");
  EXPECT_EQ(limit({.allowed = true, .remaining = 20, .reset_after = 0us}), "\"l\";r=20;t=0");
}

TEST(SfString, EscapesQuotesAndBackslashes) {
  std::string out;
  append_sf_string(out, R"(a"b\c)");
  EXPECT_EQ(out, R"("a\"b\\c")");
}

TEST(SfString, HoldsNothingThatCouldEndTheField) {
  std::string out;
  append_sf_string(out, "a\r\nb\x7f\xc3\xa4\t");
  EXPECT_EQ(out, "\"a??b????\"");
}

}  // namespace
}  // namespace gatehouse::ratelimit
