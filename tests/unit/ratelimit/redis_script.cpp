// ratelimit/redis_script.hpp: the bytes to and from Redis. What the script computes is tested against a real Redis in
// tests/integration/redis_script.
#include "ratelimit/redis_script.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace gatehouse::ratelimit {
namespace {

using namespace std::chrono_literals;

RespValue integers(std::initializer_list<std::int64_t> values) {
  RespValue reply{.type = RespValue::Type::array};
  for (const std::int64_t value : values) reply.items.push_back({.type = RespValue::Type::integer, .integer = value});
  return reply;
}

const std::vector<BucketRequest> kTwo = {{"gatehouse:{t}:a", {20, 10, 1s}}, {"gatehouse:{t}:b", {5, 7, 1h}}};

TEST(TakeCommand, NamesTheScriptByItsDigest) {
  std::string out;
  append_take_command(out, kTwo, {}, false);
  EXPECT_EQ(take_script_sha1().size(), 40u);
  EXPECT_EQ(out, "*11\r\n$7\r\nEVALSHA\r\n$40\r\n" + take_script_sha1() +
                     "\r\n$1\r\n2\r\n$15\r\ngatehouse:{t}:a\r\n$15\r\ngatehouse:{t}:b\r\n"
                     "$8\r\n20000000\r\n$2\r\n10\r\n$1\r\n1\r\n$7\r\n5000000\r\n$1\r\n7\r\n$4\r\n3600\r\n");
}

TEST(TakeCommand, CarriesTheScriptWhenAsked) {
  std::string out;
  append_take_command(out, kTwo, {}, true);
  EXPECT_TRUE(out.starts_with("*11\r\n$4\r\nEVAL\r\n$" + std::to_string(take_script().size()) + "\r\n"));
  EXPECT_NE(out.find(take_script()), std::string::npos);
}

TEST(TakeCommand, CarriesDebtsBehindTheSteps) {
  std::string without;
  append_take_command(without, kTwo, {}, false);
  std::string out;
  append_take_command(out, kTwo, std::array<Debt, 2>{{{3'000'000, 6'000'000, 2, 1s}, {}}}, false);
  EXPECT_EQ(out, "*19" + without.substr(3) +
                     "$7\r\n3000000\r\n$7\r\n6000000\r\n$1\r\n2\r\n$7\r\n1000000\r\n"
                     "$1\r\n0\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n0\r\n");
}

TEST(GoodbyeCommand, RemovesTheGatewaysId) {
  std::string out;
  append_goodbye_command(out, "me");
  EXPECT_EQ(out, "*3\r\n$4\r\nZREM\r\n$18\r\ngatehouse:gateways\r\n$2\r\nme\r\n");
}

TEST(TakeReply, GivesADecisionForEachBucket) {
  std::array<Decision, 2> decisions;
  ASSERT_TRUE(read_take_reply(integers({1, 19, 0, 100'000, 0, 0, 3'600, 7'200'000}), decisions));
  EXPECT_EQ(decisions[0], (Decision{.allowed = true, .remaining = 19, .retry_after = 0us, .reset_after = 100ms}));
  EXPECT_EQ(decisions[1],
            (Decision{.allowed = false, .remaining = 0, .retry_after = 3'600us, .reset_after = 7'200'000us}));
}

TEST(TakeReply, IsRefusedWhenItHasAnotherShape) {
  std::array<Decision, 1> decisions;
  EXPECT_FALSE(read_take_reply({}, decisions));
  EXPECT_FALSE(read_take_reply({.type = RespValue::Type::error, .text = "OOM"}, decisions));
  EXPECT_FALSE(read_take_reply({.type = RespValue::Type::integer, .integer = 1}, decisions));
  EXPECT_FALSE(read_take_reply(integers({1, 19, 0}), decisions));
  EXPECT_FALSE(read_take_reply(integers({1, 19, 0, 1, 1, 19, 0, 1}), decisions));
  EXPECT_FALSE(read_take_reply(integers({2, 19, 0, 1}), decisions));
  EXPECT_FALSE(read_take_reply(integers({1, -1, 0, 1}), decisions));
  EXPECT_FALSE(read_take_reply(integers({1, 1'000'000'001, 0, 1}), decisions));
  EXPECT_FALSE(read_take_reply(integers({0, 0, kMaxWait.count() + 1, 1}), decisions));
  RespValue text = integers({1, 19, 0, 1});
  text.items[2] = {.type = RespValue::Type::string, .text = "0"};
  EXPECT_FALSE(read_take_reply(text, decisions));
}

}  // namespace
}  // namespace gatehouse::ratelimit
