// gateway/upstream/redis_session.hpp against a scripted Redis and a clock of the test's.
#include "gateway/upstream/redis_session.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace gatehouse::upstream {
namespace {

using namespace std::chrono_literals;
using ratelimit::BucketRequest;
using ratelimit::Decision;
using Phase = RedisSession::Phase;

constexpr std::string_view kAllowed = "*4\r\n:1\r\n:19\r\n:0\r\n:100000\r\n";
constexpr std::string_view kGreeted =
    "+PONG\r\n*0\r\n*4\r\n:1\r\n:99999\r\n:0\r\n:10\r\n";  // up to the session's own call
constexpr std::string_view kProbed = kGreeted.substr(7);  // after PONG
constexpr std::string_view kNoScript = "-NOSCRIPT No matching script. Please use EVAL.\r\n";

/// One call and what became of it.
struct Call {
  explicit Call(std::string key) : requests{{std::move(key), {20, 10, 1s}}} {
    take.requests = requests;
    take.decisions = decisions;
    take.context = this;
    take.done = [](RedisTake&, void* context) { ++static_cast<Call*>(context)->finished; };
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  std::vector<BucketRequest> requests;
  std::array<Decision, 1> decisions{};
  RedisTake take;
  int finished = 0;
};

class RedisSessionTest : public ::testing::Test {
 protected:
  /// The commands that the session has written since the last look, as words.
  std::vector<std::vector<std::string>> sent() {
    std::vector<std::vector<std::string>> commands;
    ratelimit::RespReader reader;
    reader.feed(session.output());
    session.output().clear();
    for (;;) {
      const auto value = reader.next();
      if (!value || !*value) return commands;
      std::vector<std::string> words;
      for (const auto& item : (*value)->items) words.push_back(item.text);
      commands.push_back(std::move(words));
    }
  }

  std::vector<std::string> sent_names() {
    std::vector<std::string> names;
    for (const auto& words : sent())
      names.push_back(words[0] == "EVAL" || words[0] == "EVALSHA" ? words[0] + " " + (words.size() > 3 ? words[3] : "")
                                                                  : words[0]);
    return names;
  }

  void connect(const RedisLogin& login = {}) {
    ASSERT_TRUE(session.wants_connection());
    session.attempt_begins();
    EXPECT_FALSE(session.wants_connection());
    session.connected(login, now);
  }

  void become_up() {
    connect();
    (void)sent();
    session.received("+PONG\r\n", now);
    EXPECT_FALSE(session.is_serving());
    EXPECT_EQ(sent_names(), (std::vector<std::string>{"EVAL ", "EVALSHA gatehouse:probe"})) << "the script, and a call";
    session.received(kProbed, now);
    ASSERT_TRUE(session.is_serving());
    EXPECT_EQ(sent_names(), (std::vector<std::string>{"EVAL gatehouse:gateways"}));
    session.received(":1\r\n", now);
  }

  void pass(RedisSession::Duration time) {
    now += time;
    session.on_time(now);
  }

  RedisSession::TimePoint now{1000s};
  RedisSession session{now, "me"};
};

TEST_F(RedisSessionTest, LogsInBeforeAnythingElse) {
  connect({.authenticate = true, .username = "gate", .password = "s e\r\ncret", .database = 3});
  EXPECT_EQ(sent(),
            (std::vector<std::vector<std::string>>{{"AUTH", "gate", "s e\r\ncret"}, {"SELECT", "3"}, {"PING"}}));
  session.received("+OK\r\n+OK\r\n", now);
  EXPECT_FALSE(session.is_serving());
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, AuthenticatesTheDefaultUserByPasswordAlone) {
  connect({.authenticate = true, .password = "secret"});
  EXPECT_EQ(sent(), (std::vector<std::vector<std::string>>{{"AUTH", "secret"}, {"PING"}}));
}

TEST_F(RedisSessionTest, DecidesByTheAnswer) {
  become_up();
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  EXPECT_EQ(sent_names(), std::vector<std::string>{"EVALSHA k"});
  session.received(kAllowed, now);
  EXPECT_EQ(call.finished, 1);
  EXPECT_EQ(call.take.outcome, TakeOutcome::decided);
  EXPECT_EQ(call.decisions[0].remaining, 19u);
  EXPECT_EQ(session.outstanding(), 0u);
}

TEST_F(RedisSessionTest, PipelinesCallsAndAnswersInOrder) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  ASSERT_TRUE(session.submit(b.take, now));
  EXPECT_EQ(sent_names(), (std::vector<std::string>{"EVALSHA a", "EVALSHA b"}));
  const std::string answers = std::string{kAllowed} + "*4\r\n:0\r\n:0\r\n:100000\r\n:2000000\r\n";
  for (const char byte : answers) session.received({&byte, 1}, now);
  EXPECT_TRUE(a.decisions[0].allowed);
  EXPECT_FALSE(b.decisions[0].allowed);
  EXPECT_EQ(b.decisions[0].retry_after, 100ms);
}

TEST_F(RedisSessionTest, SendsTheScriptOnceWhenRedisDoesNotKnowIt) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  ASSERT_TRUE(session.submit(b.take, now));
  (void)sent();
  session.received(kNoScript, now);
  session.received(kNoScript, now);
  EXPECT_EQ(sent_names(), (std::vector<std::string>{"EVAL a", "EVALSHA b"}));
  EXPECT_EQ(a.finished + b.finished, 0);
  session.received(kAllowed, now);
  session.received(kAllowed, now);
  EXPECT_EQ(a.take.outcome, TakeOutcome::decided);
  EXPECT_EQ(b.take.outcome, TakeOutcome::decided);
}

TEST_F(RedisSessionTest, GivesUpWhenRedisKeepsForgettingTheScript) {
  become_up();
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  for (int i = 0; i < 3; ++i) session.received(kNoScript, now);
  EXPECT_EQ(call.take.outcome, TakeOutcome::refused);
  EXPECT_TRUE(session.is_serving());
  for (int i = 0; i < 3; ++i) session.received(kNoScript, now);  // to the session's own call
  EXPECT_FALSE(session.is_serving());
  EXPECT_EQ(session.last_failure(), "refused: NOSCRIPT");
}

TEST_F(RedisSessionTest, CallsWaitForTheFirstConnection) {
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  connect();
  EXPECT_EQ(sent_names(), (std::vector<std::string>{"PING", "EVALSHA k"}));
  session.received("+PONG\r\n", now);
  session.received(kAllowed, now);
  EXPECT_EQ(call.take.outcome, TakeOutcome::decided);
}

TEST_F(RedisSessionTest, ALateAnswerFailsAllAndOpensTheBreaker) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  pass(10ms);
  ASSERT_TRUE(session.submit(b.take, now));
  EXPECT_EQ(session.next_time(), now + 15ms);
  pass(14ms);
  EXPECT_EQ(a.finished, 0);
  pass(1ms);
  EXPECT_EQ(a.take.outcome, TakeOutcome::timed_out);
  EXPECT_EQ(b.take.outcome, TakeOutcome::timed_out);
  Call c{"c"};
  EXPECT_FALSE(session.submit(c.take, now));
  EXPECT_EQ(c.take.outcome, TakeOutcome::not_tried);
  EXPECT_EQ(c.finished, 0);
}

TEST_F(RedisSessionTest, AHiccupEndsWithItsLateAnswers) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  ASSERT_TRUE(session.submit(b.take, now));
  pass(25ms);
  session.received(kAllowed, now);
  EXPECT_TRUE(session.breaker_is_open());
  session.received(kAllowed, now);
  EXPECT_TRUE(session.is_serving());
  EXPECT_EQ(a.finished, 1);
  Call c{"c"};
  EXPECT_TRUE(session.submit(c.take, now));
  session.received(kAllowed, now);
  EXPECT_EQ(c.take.outcome, TakeOutcome::decided);
}

TEST_F(RedisSessionTest, ASilentConnectionIsMadeAnewAfterAPause) {
  become_up();
  Call call{"a"};
  ASSERT_TRUE(session.submit(call.take, now));
  pass(25ms);
  EXPECT_EQ(session.next_time(), now + 100ms);
  pass(100ms);
  EXPECT_TRUE(session.wants_close());
  session.closed();
  connect();
  EXPECT_EQ(sent_names(), std::vector<std::string>{"PING"});
  EXPECT_TRUE(session.breaker_is_open());
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, PausesGrowToASecondAndStartAnewAfterAnAnswer) {
  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    ASSERT_TRUE(session.wants_connection());
    session.attempt_begins();
    session.disconnected("refused", now);
    EXPECT_TRUE(session.breaker_is_open());
    EXPECT_EQ(session.next_time(), now + pause);
    pass(pause - 1ms);
    EXPECT_FALSE(session.wants_connection());
    pass(1ms);
  }
  become_up();
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  session.received(kAllowed, now);
  session.disconnected("gone", now);
  EXPECT_EQ(session.next_time(), now + 100ms);
}

constexpr std::string_view kFull = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

TEST_F(RedisSessionTest, AServerThatGreetsButDoesNotServeIsDown) {
  for (const auto& [answers, code] :
       {std::pair{"*0\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n", "OOM"},
        {"*0\r\n-READONLY You can't write against a read only replica.\r\n", "READONLY"},
        {"-NOPERM this user has no permissions to run the 'eval' command\r\n", "NOPERM"},
        {"*0\r\n-NOPERM this user has no permissions\r\n", "NOPERM"},
        {"*0\r\n-MISCONF Redis is configured to save RDB snapshots\r\n", "MISCONF"},
        {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"},
        {"-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN"},
        {"*0\r\n-NOREPLICAS Not enough good replicas to write.\r\n", "NOREPLICAS"},
        {"*0\r\n-QUOTA of the day is used up\r\n", "QUOTA"}}) {
    connect();
    session.received("+PONG\r\n", now);
    EXPECT_FALSE(session.is_serving());
    session.received(answers, now);
    EXPECT_EQ(session.phase(), Phase::down) << answers;
    EXPECT_TRUE(session.wants_close());
    EXPECT_EQ(session.last_failure(), std::string{"refused: "} + code);
    EXPECT_EQ(session.last_error_code(), code);
    session.closed();
    Call call{"k"};
    EXPECT_FALSE(session.submit(call.take, now)) << "no call waits for it";
    EXPECT_LE(session.next_time(), now + 1s);
    pass(1s);
    EXPECT_FALSE(session.submit(call.take, now));
  }
  become_up();
}

TEST_F(RedisSessionTest, AProxyThatWantsAKeyWithTheScriptHasIt) {
  connect();
  (void)sent();
  session.received("+PONG\r\n", now);
  (void)sent();
  session.received("-ERR this command needs a key\r\n", now);
  session.received(kNoScript, now);
  EXPECT_EQ(sent_names(), std::vector<std::string>{"EVAL gatehouse:probe"});
  session.received(kAllowed, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, ACallThatIsRefusedAsAnyOtherWouldBeEndsTheService) {
  become_up();
  Call call{"k"};
  Call other{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  ASSERT_TRUE(session.submit(other.take, now));
  session.received(kFull, now);
  EXPECT_EQ(call.take.outcome, TakeOutcome::refused);
  EXPECT_EQ(other.take.outcome, TakeOutcome::lost);
  EXPECT_FALSE(session.is_serving());
  EXPECT_EQ(session.last_failure(), "refused: OOM");
  session.closed();
  EXPECT_EQ(session.next_time(), now + 100ms);
}

TEST_F(RedisSessionTest, ASignOfLifeThatIsRefusedEndsTheServiceWithoutACall) {
  become_up();
  pass(RedisSession::heartbeat_interval);
  session.received(kFull, now);
  EXPECT_FALSE(session.is_serving());
  EXPECT_EQ(session.last_error_code(), "OOM");
}

TEST_F(RedisSessionTest, AServerThatServesNowAndThenIsAskedInGrowingPauses) {
  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    become_up();
    Call served{"k"};
    ASSERT_TRUE(session.submit(served.take, now));
    session.received(kAllowed, now);
    Call call{"k"};
    ASSERT_TRUE(session.submit(call.take, now));
    session.received(kFull, now);
    session.closed();
    EXPECT_EQ(session.next_time(), now + pause);
    pass(pause);
  }
}

TEST_F(RedisSessionTest, AnErrorThatItDoesNotKnowMakesItAskForItself) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  ASSERT_TRUE(session.submit(b.take, now));
  (void)sent();
  session.received("-ERR value is not an integer\r\n-ERR value is not an integer\r\n", now);
  EXPECT_EQ(sent_names(), std::vector<std::string>{"EVALSHA gatehouse:probe"}) << "once";
  session.received(kAllowed, now);
  EXPECT_TRUE(session.is_serving());

  Call c{"c"};
  ASSERT_TRUE(session.submit(c.take, now));
  session.received("-ERR max daily request limit exceeded\r\n-ERR max daily request limit exceeded\r\n", now);
  EXPECT_FALSE(session.is_serving());
  EXPECT_EQ(session.last_failure(), "refused: ERR");
}

TEST_F(RedisSessionTest, AnErrorAboutOneCallLeavesTheOthersAlone) {
  become_up();
  Call a{"a"};
  Call b{"b"};
  ASSERT_TRUE(session.submit(a.take, now));
  ASSERT_TRUE(session.submit(b.take, now));
  session.received("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", now);
  session.received(kAllowed, now);
  EXPECT_EQ(a.take.outcome, TakeOutcome::refused);
  EXPECT_EQ(b.take.outcome, TakeOutcome::decided);
  EXPECT_TRUE(session.is_serving());
  EXPECT_TRUE(sent_names().size() == 2) << "the calls";
}

TEST_F(RedisSessionTest, AKeyOfItsOwnThatHoldsSomethingElseCostsNoService) {
  for (const std::string_view answer :
       {"-WRONGTYPE Operation against a key holding the wrong kind of value script: f_0123, on @user_script:17.\r\n",
        "-ERR Error running script (call to f_0123): @user_script:17: WRONGTYPE Operation against a key\r\n"}) {
    connect();
    (void)sent();
    session.received("+PONG\r\n*0\r\n", now);
    EXPECT_FALSE(session.is_serving());
    session.received(answer, now);
    EXPECT_TRUE(session.is_serving()) << answer;
    session.received(":1\r\n", now);
    (void)sent();

    Call call{"k"};
    ASSERT_TRUE(session.submit(call.take, now));
    session.received("-ERR value is not an integer\r\n", now);
    EXPECT_EQ(sent_names(), (std::vector<std::string>{"EVALSHA k", "EVALSHA gatehouse:probe"}));
    session.received(answer, now);
    EXPECT_TRUE(session.is_serving()) << answer;
    session.restart(now);
    session.closed();
  }
}

TEST_F(RedisSessionTest, GivesUpAServerWhoseAnswersAreNotTheScripts) {
  const std::string_view answers[] = {"+OK\r\n", ":1\r\n",       "$2\r\nOK\r\n",
                                      "*-1\r\n", "*1\r\n:1\r\n", "*4\r\n:1\r\n:19\r\n:0\r\n$1\r\n1\r\n"};
  auto pause = 100ms;
  for (const std::string_view answer : answers) {
    become_up();
    Call call{"k"};
    Call other{"k"};
    ASSERT_TRUE(session.submit(call.take, now));
    ASSERT_TRUE(session.submit(other.take, now));
    session.received(answer, now);
    EXPECT_EQ(call.take.outcome, TakeOutcome::refused) << answer;
    EXPECT_EQ(other.take.outcome, TakeOutcome::lost);
    EXPECT_TRUE(session.breaker_is_open());
    EXPECT_TRUE(session.wants_close());
    EXPECT_EQ(session.last_failure(), "an answer that Redis does not give");
    session.closed();
    EXPECT_EQ(session.next_time(), now + pause) << "such answers do not make the pauses small again";
    pass(pause);
    pause = std::min(2 * pause, 1000ms);
  }
}

TEST_F(RedisSessionTest, GivesUpAServerWhoseOtherAnswersAreNotRediss) {
  connect();
  session.received("+OK\r\n", now);  // to PING
  EXPECT_FALSE(session.is_serving());
  EXPECT_EQ(session.last_failure(), "an answer that Redis does not give");
  session.closed();
  pass(100ms);
  connect();
  session.received("+PONG\r\n+OK\r\n", now);  // to the script
  EXPECT_FALSE(session.is_serving());
  EXPECT_TRUE(session.breaker_is_open());
  session.closed();
  pass(200ms);
  connect();
  session.received("+PONG\r\n*0\r\n+OK\r\n", now);  // to the session's own call
  EXPECT_FALSE(session.is_serving());
  session.closed();
  pass(400ms);
  connect();
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
  session.received("+OK\r\n", now);  // to the sign of life
  EXPECT_FALSE(session.is_serving());
}

TEST_F(RedisSessionTest, GivesUpForAnAnswerThatNobodyWaitsFor) {
  become_up();
  auto gone = std::make_unique<Call>("gone");
  ASSERT_TRUE(session.submit(gone->take, now));
  session.abandon(gone->take);
  session.received("+OK\r\n", now);
  EXPECT_TRUE(session.wants_close());
}

TEST_F(RedisSessionTest, AConnectionThatServedAndEndsIsMadeAnewAtOnce) {
  become_up();
  pass(60s);
  Call in_flight{"a"};
  ASSERT_TRUE(session.submit(in_flight.take, now));
  session.disconnected("closed by Redis", now);
  EXPECT_EQ(in_flight.take.outcome, TakeOutcome::lost);
  Call waits{"b"};
  ASSERT_TRUE(session.submit(waits.take, now));
  connect();
  EXPECT_EQ(sent_names(), (std::vector<std::string>{"PING", "EVALSHA b"}));
  session.received("+PONG\r\n", now);
  session.received(kAllowed, now);
  EXPECT_EQ(waits.take.outcome, TakeOutcome::decided);
}

TEST_F(RedisSessionTest, CallsThatWaitForAConnectionFailInTimeWhenThereIsNone) {
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  session.attempt_begins();
  pass(25ms);
  EXPECT_EQ(call.take.outcome, TakeOutcome::timed_out);
  EXPECT_TRUE(session.breaker_is_open());
  session.connected({}, now);  // the attempt goes on, and closes the breaker when it succeeds
  EXPECT_EQ(sent_names(), std::vector<std::string>{"PING"});
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, AnAttemptEndsInTime) {
  session.attempt_begins();
  pass(999ms);
  EXPECT_FALSE(session.wants_close());
  pass(1ms);
  EXPECT_TRUE(session.wants_close());
  EXPECT_EQ(session.phase(), Phase::down);
  EXPECT_EQ(session.last_failure(), "no connection in time");
  session.connected({}, now);  // too late
  EXPECT_EQ(session.phase(), Phase::down);
}

TEST_F(RedisSessionTest, ALoginEndsInTime) {
  connect({.authenticate = true, .password = "x"});
  session.received("+OK\r\n", now);
  pass(1s);
  EXPECT_TRUE(session.wants_close());
  EXPECT_TRUE(session.breaker_is_open());
}

TEST_F(RedisSessionTest, ARefusedLoginIsNamedWithoutRedissWords) {
  connect({.authenticate = true, .username = "u", .password = "hunter2"});
  session.received("-ERR unknown command 'AUTH', with args beginning with: 'u' 'hunter2'\r\n", now);
  EXPECT_TRUE(session.wants_close());
  EXPECT_EQ(session.last_failure(), "login refused: ERR");

  session.closed();
  pass(100ms);
  connect({.authenticate = true, .username = "u", .password = "hunter2"});
  session.received("-hunter2\r\n", now);
  EXPECT_EQ(session.last_failure(), "login refused: an error");
}

TEST_F(RedisSessionTest, ARefusalWithoutACodeOfItsOwnIsKnownByItsPlace) {
  struct Case {
    std::string_view answers;
    std::string_view failure;
    std::string_view code;
  };
  for (const Case& a :
       {Case{"-ERR invalid password\r\n", "login refused: ERR", "login"},
        {"-ERR Client sent AUTH, but no password is set\r\n", "login refused: ERR", "login"},
        {"-hunter2\r\n", "login refused: an error", "login"},
        {"-WRONGPASS invalid username-password pair\r\n", "login refused: WRONGPASS", "WRONGPASS"},
        {"-ERR max number of clients reached\r\n", "login refused: maxclients is reached", "maxclients"},
        {"+OK\r\n-ERR DB index is out of range\r\n", "database refused: ERR", "database"},
        {"+OK\r\n-ERR SELECT is not allowed in cluster mode\r\n", "database refused: ERR", "database"},
        {"+OK\r\n-NOPERM no\r\n", "database refused: NOPERM", "NOPERM"},
        {"+OK\r\n+OK\r\n-ERR no\r\n", "not ready: ERR", "ERR"}}) {
    connect({.authenticate = true, .password = "hunter2", .database = 3});
    session.received(a.answers, now);
    EXPECT_EQ(session.last_failure(), a.failure);
    EXPECT_EQ(session.last_error_code(), a.code) << a.answers;
    session.closed();
    pass(1s);
  }
}

TEST_F(RedisSessionTest, ARefusedConnectionIsNamed) {
  connect();
  session.received("-ERR max number of clients reached\r\n", now);
  EXPECT_EQ(session.last_failure(), "not ready: maxclients is reached");
  EXPECT_EQ(session.last_error_code(), "maxclients");
}

TEST_F(RedisSessionTest, RefusesToServeWhileRedisLoads) {
  connect();
  session.received("-LOADING Redis is loading the dataset in memory\r\n", now);
  EXPECT_TRUE(session.wants_close());
  EXPECT_EQ(session.last_failure(), "not ready: LOADING");
}

TEST_F(RedisSessionTest, AUserWhoMayNotPingIsLoggedIn) {
  connect();
  session.received("-NOPERM this user has no permissions to run the 'ping' command\r\n", now);
  session.received(kProbed, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, EndsOnBytesThatAreNotRedis) {
  connect();
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  session.received("HTTP/1.1 400 Bad Request\r\n\r\n", now);
  EXPECT_TRUE(session.wants_close());
  EXPECT_EQ(call.take.outcome, TakeOutcome::lost);
}

TEST_F(RedisSessionTest, EndsOnAnAnswerThatNobodyAskedFor) {
  become_up();
  session.received("+OK\r\n", now);
  EXPECT_TRUE(session.wants_close());
  EXPECT_TRUE(session.breaker_is_open());
}

TEST_F(RedisSessionTest, NothingOfAnOldConnectionReachesANewOne) {
  become_up();
  Call old{"old"};
  ASSERT_TRUE(session.submit(old.take, now));
  session.received("*4\r\n:1\r\n:1", now);  // half an answer, and the command still in the output
  pass(25ms);
  pass(100ms);
  ASSERT_TRUE(session.wants_close());
  session.received("9\r\n:0\r\n:1\r\n", now);  // read before the close: no longer listened to
  session.closed();
  connect();
  EXPECT_EQ(sent_names(), std::vector<std::string>{"PING"});
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
}

TEST_F(RedisSessionTest, AnAbandonedCallsAnswerIsDropped) {
  become_up();
  auto gone = std::make_unique<Call>("gone");
  Call stays{"stays"};
  ASSERT_TRUE(session.submit(gone->take, now));
  ASSERT_TRUE(session.submit(stays.take, now));
  session.abandon(gone->take);
  EXPECT_EQ(gone->finished, 0);
  gone.reset();
  session.received("*4\r\n:0\r\n:0\r\n:1\r\n:1\r\n", now);
  EXPECT_EQ(stays.finished, 0);
  session.received(kAllowed, now);
  EXPECT_TRUE(stays.decisions[0].allowed);
  EXPECT_EQ(session.outstanding(), 0u);
}

TEST_F(RedisSessionTest, ABusyWorkerDoesNotCountAgainstRedis) {
  become_up();
  Call early{"a"};
  Call late{"b"};
  ASSERT_TRUE(session.submit(early.take, now));
  now += 200ms;  // the worker's turn took that long; only then are the commands written
  (void)sent();
  session.written(now);
  session.on_time(now);
  EXPECT_EQ(early.finished, 0);
  EXPECT_EQ(session.next_time(), now + 25ms);
  pass(5ms);
  ASSERT_TRUE(session.submit(late.take, now));
  session.written(now);
  EXPECT_EQ(session.next_time(), now + 20ms);  // a later write does not prolong what was written before
  pass(20ms);
  EXPECT_EQ(early.take.outcome, TakeOutcome::timed_out);
}

TEST_F(RedisSessionTest, ARestartClosesAndConnectsAtOnce) {
  become_up();
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  session.restart(now);
  EXPECT_EQ(call.take.outcome, TakeOutcome::lost);
  EXPECT_TRUE(session.wants_close());
  session.closed();
  become_up();
}

TEST_F(RedisSessionTest, ARestartEndsAPause) {
  session.attempt_begins();
  session.disconnected("refused", now);
  EXPECT_FALSE(session.wants_connection());
  session.restart(now);
  EXPECT_FALSE(session.wants_close());
  become_up();
}

TEST_F(RedisSessionTest, TakesNoCallAfterTheShutDown) {
  become_up();
  Call under_way{"a"};
  ASSERT_TRUE(session.submit(under_way.take, now));
  session.shut_down();
  EXPECT_EQ(under_way.take.outcome, TakeOutcome::lost);
  EXPECT_TRUE(session.wants_close());
  session.closed();
  Call later{"b"};
  EXPECT_FALSE(session.submit(later.take, now));
  pass(1h);
  EXPECT_FALSE(session.wants_connection());
}

TEST_F(RedisSessionTest, ARestartAfterTheShutDownFindsNothingToClose) {
  become_up();
  session.shut_down();
  session.closed();
  session.restart(now);
  EXPECT_FALSE(session.wants_close());
  become_up();
}

TEST_F(RedisSessionTest, AbandoningWhatIsNotUnderWayChangesNothing) {
  become_up();
  Call never{"a"};
  session.abandon(never.take);
  Call done{"b"};
  ASSERT_TRUE(session.submit(done.take, now));
  session.received(kAllowed, now);
  session.abandon(done.take);
  EXPECT_EQ(session.outstanding(), 0u);
}

TEST_F(RedisSessionTest, BoundsTheCallsUnderWay) {
  become_up();
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < RedisSession::max_outstanding; ++i) {
    calls.push_back(std::make_unique<Call>("k"));
    ASSERT_TRUE(session.submit(calls.back()->take, now));
  }
  Call more{"k"};
  EXPECT_FALSE(session.submit(more.take, now));
  EXPECT_EQ(more.take.outcome, TakeOutcome::not_tried);
  pass(25ms);
  for (const auto& call : calls) ASSERT_EQ(call->take.outcome, TakeOutcome::timed_out);
  EXPECT_EQ(session.outstanding(), 0u);
}

TEST_F(RedisSessionTest, TellsDebtsWithTheCall) {
  become_up();
  Call call{"k"};
  const std::array<ratelimit::Debt, 1> debts{{{3'000'000, 6'000'000, 2, 1s}}};
  call.take.debts = debts;
  ASSERT_TRUE(session.submit(call.take, now));
  auto words = sent();
  ASSERT_EQ(words.size(), 1u);
  ASSERT_EQ(words[0].size(), 11u);
  EXPECT_EQ(words[0][7], "3000000");
  EXPECT_EQ(words[0][10], "1000000");
  session.received(kNoScript, now);
  words = sent();
  ASSERT_EQ(words[0].size(), 11u) << "with the script, too";
}

TEST_F(RedisSessionTest, KnowsWhetherALateCallMayBeExecutedYet) {
  become_up();
  Call written{"a"};
  Call unwritten{"b"};
  ASSERT_TRUE(session.submit(written.take, now));
  (void)sent();
  session.written(now);
  pass(1ms);
  ASSERT_TRUE(session.submit(unwritten.take, now));
  pass(25ms);
  EXPECT_EQ(written.take.outcome, TakeOutcome::timed_out);
  EXPECT_EQ(unwritten.take.outcome, TakeOutcome::timed_out);
  EXPECT_TRUE(written.take.was_written());
  EXPECT_FALSE(unwritten.take.was_written());
}

// --- the time that a decision may take

class FarRedis : public RedisSessionTest {
 protected:
  void write() {
    (void)sent();
    session.written(now);
  }

  /// A login whose PING takes `round_trip`, as what follows it does.
  void log_in(RedisSession::Duration round_trip) {
    connect();
    write();
    pass(round_trip);
    session.received("+PONG\r\n", now);
    if (round_trip >= RedisSession::longest_decision) return;
    write();
    pass(round_trip);
    session.received(kProbed, now);
    ASSERT_TRUE(session.is_serving());
  }

  /// A call that is answered after `round_trip`.
  TakeOutcome ask(RedisSession::Duration round_trip) {
    Call call{"k"};
    EXPECT_TRUE(session.submit(call.take, now));
    write();
    pass(round_trip);
    session.received(kAllowed, now);
    return call.take.outcome;
  }
};

TEST_F(FarRedis, TheLoginSetsTheTime) {
  log_in(30ms);
  ASSERT_TRUE(session.is_serving());
  EXPECT_EQ(session.decision_time(), 43ms);
  write();
  session.received(":1\r\n", now);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(30ms), TakeOutcome::decided);
  EXPECT_EQ(ask(42ms), TakeOutcome::decided);
}

TEST_F(FarRedis, ANearOneHasTheShortestTime) {
  for (const auto& [round_trip, time] : {std::pair{0ms, 25ms}, {5ms, 25ms}, {8ms, 31ms}, {14ms, 43ms}}) {
    log_in(round_trip);
    EXPECT_EQ(session.decision_time(), time);
    session.restart(now);
    session.closed();
  }
}

TEST_F(FarRedis, TheTimeFollowsTheAnswers) {
  log_in(0ms);
  write();
  session.received(":1\r\n", now);
  int late = 0;
  for (int i = 0; i < 40; ++i) late += ask(28ms) == TakeOutcome::timed_out ? 1 : 0;
  EXPECT_LE(late, 3) << "late answers are measured, too";
  EXPECT_EQ(session.decision_time(), 43ms);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ask(1ms), TakeOutcome::decided);
  EXPECT_EQ(session.decision_time(), 25ms);
}

TEST_F(FarRedis, AHiccupIsOneSample) {
  log_in(0ms);
  write();
  session.received(":1\r\n", now);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(std::make_unique<Call>("k"));
    ASSERT_TRUE(session.submit(calls.back()->take, now));
  }
  write();
  pass(90ms);
  for (int i = 0; i < 50; ++i) session.received(kAllowed, now);
  EXPECT_TRUE(session.is_serving());
  EXPECT_EQ(session.decision_time(), 30ms);
}

TEST_F(FarRedis, TooFarCountsAsLost) {
  for (const auto pause : {100ms, 200ms, 400ms}) {
    log_in(43ms);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(sent_names(), std::vector<std::string>{"PING"}) << "the first may have waited for another's work";
      session.written(now);
      EXPECT_FALSE(session.is_serving());
      pass(43ms);
      session.received("+PONG\r\n", now);
    }
    EXPECT_TRUE(session.breaker_is_open());
    EXPECT_EQ(session.last_failure(), "no answer in 43 ms");
    session.closed();
    EXPECT_EQ(session.next_time(), now + pause);
    pass(pause);
  }
}

TEST_F(FarRedis, AFrozenOneServesAsSoonAsItAnswersInTime) {
  log_in(900ms);
  EXPECT_FALSE(session.is_serving());
  write();
  pass(1ms);
  session.received(kGreeted, now);
  EXPECT_TRUE(session.is_serving());
  EXPECT_EQ(session.decision_time(), 25ms);
}

TEST_F(FarRedis, OneThatHasMovedTooFarIsGivenUp) {
  log_in(0ms);
  write();
  session.received(":1\r\n", now);
  int asked = 0;
  for (; asked < 100 && !session.wants_close(); ++asked) {
    Call call{"k"};
    if (session.submit(call.take, now)) {
      write();
      pass(70ms);
      session.received(kAllowed, now);
    } else {
      pass(20ms);
    }
  }
  EXPECT_TRUE(session.wants_close());
  EXPECT_EQ(session.last_failure(), "no answer in 43 ms");
  EXPECT_LE(asked, 20);
}

// --- the other gateways

TEST_F(RedisSessionTest, SaysThatItLeavesAndNoMoreThatItLives) {
  become_up();
  EXPECT_FALSE(session.has_left());
  session.leave();
  session.leave();
  EXPECT_EQ(sent(), (std::vector<std::vector<std::string>>{{"ZREM", "gatehouse:gateways", "me"}}));
  EXPECT_FALSE(session.has_left());
  session.received(":1\r\n", now);
  EXPECT_TRUE(session.has_left());
  pass(RedisSession::heartbeat_interval);
  EXPECT_TRUE(sent().empty());
  Call call{"k"};
  ASSERT_TRUE(session.submit(call.take, now));
  session.received(kAllowed, now);
  EXPECT_EQ(call.take.outcome, TakeOutcome::decided);
  session.disconnected("gone", now);
  session.closed();
  connect();
  (void)sent();
  session.received("+PONG\r\n", now);
  (void)sent();
  session.received(kProbed, now);
  EXPECT_TRUE(session.is_serving());
  EXPECT_TRUE(sent().empty()) << "a new connection does not bring it back";
}

TEST_F(RedisSessionTest, LeavesWithoutAWordWhenThereIsNoConnection) {
  session.leave();
  EXPECT_TRUE(session.has_left());
  EXPECT_TRUE(sent().empty());
}

TEST_F(RedisSessionTest, SaysThatItLivesAndLearnsWhoElseDoes) {
  become_up();
  EXPECT_EQ(session.live_gateways(), 1u);
  pass(RedisSession::heartbeat_interval);
  const auto commands = sent();
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_EQ(commands[0][3], "gatehouse:gateways");
  EXPECT_EQ(commands[0][4], "me");
  EXPECT_EQ(commands[0][5], "10000");
  session.received(":3\r\n", now);
  EXPECT_EQ(session.live_gateways(), 3u);
  EXPECT_EQ(session.next_time(), now + RedisSession::heartbeat_interval);
}

TEST_F(RedisSessionTest, BelievesInFewerGatewaysOnlyAfterAWhile) {
  become_up();
  const auto beat = [&](std::string_view answer) {
    pass(RedisSession::heartbeat_interval);
    (void)sent();
    session.received(answer, now);
  };
  beat(":3\r\n");
  beat(":1\r\n");  // the store came back empty, say
  EXPECT_EQ(session.live_gateways(), 3u);
  for (int i = 0; i < 5; ++i) beat(":2\r\n");
  EXPECT_EQ(session.live_gateways(), 2u);
}

TEST_F(RedisSessionTest, IsAloneWhenItMayNotAsk) {
  become_up();
  pass(RedisSession::heartbeat_interval);
  (void)sent();
  session.received("-NOPERM no\r\n", now);
  EXPECT_TRUE(session.is_serving());
  EXPECT_EQ(session.live_gateways(), 1u);
}

}  // namespace
}  // namespace gatehouse::upstream
