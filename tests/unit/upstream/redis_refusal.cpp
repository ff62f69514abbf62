// gateway/upstream/redis_refusal.hpp: codes of errors, and nothing else of their text.
#include "gateway/upstream/redis_refusal.hpp"

#include <gtest/gtest.h>

namespace gatehouse::upstream {
namespace {

std::string code_of(std::string text) {
  return redis_error_code({.type = ratelimit::RespValue::Type::error, .text = std::move(text)});
}

TEST(RedisErrorCode, IsTheFirstWord) {
  EXPECT_EQ(code_of("OOM command not allowed when used memory > 'maxmemory'."), "OOM");
  EXPECT_EQ(code_of("WRONGPASS invalid username-password pair"), "WRONGPASS");
  EXPECT_EQ(code_of("NOSCRIPT"), "NOSCRIPT");
}

TEST(RedisErrorCode, IsNothingThatMayBeASecret) {
  EXPECT_EQ(code_of("hunter2"), "");
  EXPECT_EQ(code_of("HUNTER2 is wrong"), "");
  EXPECT_EQ(code_of("AWORDTHATISLONGERTHANANYCODE is wrong"), "");
  EXPECT_EQ(code_of(""), "");
  EXPECT_EQ(code_of("ERR unknown command 'AUTH', with args beginning with: -HUNTER "), "ERR");
}

TEST(RedisErrorCode, OfAScriptIsWhatTheScriptMet) {
  const std::string before_7 = "ERR Error running script (call to f_0123): @user_script:41: @user_script: 41: ";
  EXPECT_EQ(code_of(before_7 + "-OOM command not allowed when used memory > 'maxmemory'."), "OOM");
  EXPECT_EQ(code_of(before_7 + "-READONLY You can't write against a read only replica."), "READONLY");
  EXPECT_EQ(code_of(before_7 + "The user executing the script can't run this command or subcommand"), "NOPERM");
  EXPECT_EQ(code_of("ERR The user executing the script can't run this command or subcommand script: 0123"), "NOPERM");
  EXPECT_EQ(code_of("ERR Error running script (call to f_0123): @user_script:17: WRONGTYPE Operation against a key"),
            "WRONGTYPE");
  EXPECT_EQ(code_of(before_7 + "attempt to index a nil value"), "ERR");
  EXPECT_EQ(code_of(before_7 + "-SECRET is wrong"), "ERR") << "only codes that are known";
}

TEST(RedisErrorCode, OfTooManyConnectionsIsNotRediss) {
  EXPECT_EQ(code_of("ERR max number of clients reached"), redis_maxclients);
  EXPECT_EQ(code_of("ERR max number of clients + cluster connections reached"), redis_maxclients);
  EXPECT_EQ(code_of("ERR max daily request limit exceeded"), "ERR");
}

TEST(RedisRefusal, TellsWhatConcernsAllCalls) {
  for (const char* const code :
       {"OOM", "READONLY", "MASTERDOWN", "NOPERM", "MISCONF", "LOADING", "NOREPLICAS", "NOAUTH"})
    EXPECT_TRUE(refuses_all_calls(code)) << code;
  for (const char* const code : {"", "ERR", "WRONGTYPE", "NOSCRIPT"}) EXPECT_FALSE(refuses_all_calls(code)) << code;
}

TEST(RedisRefusal, AdvisesOnEveryCode) {
  EXPECT_TRUE(redis_advice("OOM").contains("maxmemory"));
  EXPECT_TRUE(redis_advice("ERR").contains("Redis 5"));
  EXPECT_TRUE(redis_advice(redis_maxclients).contains("maxclients"));
  EXPECT_TRUE(redis_advice(redis_login_refused).contains("redis.password_file"));
  EXPECT_TRUE(redis_advice(redis_database_refused).contains("database"));
  EXPECT_TRUE(redis_advice("QUOTA").contains("documentation"));
}

}  // namespace
}  // namespace gatehouse::upstream
