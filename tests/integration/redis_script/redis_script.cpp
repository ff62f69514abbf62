// The limits' Lua script on a real Redis: number for number what bucket.cpp computes, under a clock of the test's (the
// script with its one call of TIME replaced) and under Redis's own.
#include "ratelimit/redis_script.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ratelimit/bucket.hpp"
#include "redis_process.hpp"

namespace gatehouse::ratelimit {

void PrintTo(const Decision& decision, std::ostream* out) {
  *out << fmt::format("{{allowed {} remaining {} retry {} reset {}}}", decision.allowed, decision.remaining,
                      decision.retry_after.count(), decision.reset_after.count());
}

namespace {

using tests::RedisConnection;
using tests::RedisProcess;
using namespace std::chrono_literals;

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos)
    ADD_FAILURE() << "not once: " << from;
  else
    text.replace(at, from.size(), to);
  return text;
}

class RedisScript : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new RedisProcess; }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override { (void)redis.call({"FLUSHALL"}); }

  /// The script under the test's clock. Its keys live longer, so that a slow machine does not expire what must last.
  std::string load_with_given_time() {
    std::string script = replaced(std::string{take_script()}, "call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    script = replaced(std::move(script), "#ARGV > 3 * #KEYS", "#ARGV - 2 > 3 * #KEYS");
    script = replaced(std::move(script), "floor(reset / 1000) + 1000", "floor(reset / 1000) + 3600000");
    return redis.call({"SCRIPT", "LOAD", script}).text;
  }

  RespValue take_at(const std::string& sha, const std::vector<BucketRequest>& requests, const std::vector<Debt>& debts,
                    Microseconds now) {
    std::string command;
    append_command_head(command, 3 + 4 * requests.size() + 4 * debts.size() + 2);
    append_bulk(command, "EVALSHA");
    append_bulk(command, sha);
    append_bulk(command, std::uint64_t{requests.size()});
    for (const BucketRequest& request : requests) append_bulk(command, request.key);
    for (const BucketRequest& request : requests) {
      const RefillStep step = refill_step(request.parameters);
      append_bulk(command, step.capacity_micro);
      append_bulk(command, step.micro_tokens);
      append_bulk(command, step.microseconds);
    }
    for (const Debt& debt : debts) {
      append_bulk(command, debt.owed);
      append_bulk(command, debt.missing);
      append_bulk(command, debt.gateways);
      append_bulk(command, static_cast<std::uint64_t>(debt.silence.count()));
    }
    append_bulk(command, static_cast<std::uint64_t>(now.count() / 1'000'000));
    append_bulk(command, static_cast<std::uint64_t>(now.count() % 1'000'000));
    return redis.call(command);
  }

  static RedisProcess* server_;
  RedisConnection redis{*server_};
};

RedisProcess* RedisScript::server_ = nullptr;

/// A bucket of the store, with the time at which it began anew after the store had lost it.
struct StoredBucket {
  BucketState state;
  Microseconds born{0};
};

/// As the script stores it: two or three big-endian integers.
std::string stored(const StoredBucket& bucket) {
  std::string bytes;
  const auto append = [&bytes](std::uint64_t number) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xFF);
  };
  append(bucket.state.micro_tokens);
  append(static_cast<std::uint64_t>(bucket.state.updated.count()));
  if (bucket.born > 0us) append(static_cast<std::uint64_t>(bucket.born.count()));
  return bytes;
}

/// What a call with a debt makes of a bucket before it is asked for a token. True: to be kept whatever comes of the call.
bool settle(const RefillStep& step, std::optional<StoredBucket>& bucket, Debt debt, Microseconds now) {
  bool keep = false;
  if (!bucket) {
    bucket = StoredBucket{.state = full_bucket(step, now)};
    if (debt.missing > 0) {
      bucket->state.micro_tokens -= std::min(debt.missing, step.capacity_micro);
      bucket->born = now;
      debt.owed = 0;
      keep = true;
    }
  }
  BucketState& state = bucket->state;
  keep = refill(step, state, now) || keep;
  const Microseconds longest = time_to_full(step, 0);
  if (bucket->born > now || now - bucket->born >= longest) bucket->born = 0us;
  if (bucket->born > 0us && debt.silence > now - bucket->born) {
    const auto steps = static_cast<std::uint64_t>((now - bucket->born).count()) / step.microseconds;
    debt.owed = std::min(debt.owed, steps * step.micro_tokens / debt.gateways);
  }
  if (debt.owed == 0) return keep;
  if (debt.owed <= state.micro_tokens) {
    state.micro_tokens -= debt.owed;
  } else {
    const std::uint64_t rest = debt.owed - state.micro_tokens;
    const Microseconds delay = time_to_full(step, step.capacity_micro - std::min(rest, step.capacity_micro));
    state = {.micro_tokens = 0, .updated = std::min(state.updated + delay, now + longest)};
  }
  return true;
}

Microseconds stored_time(std::string_view bytes) {
  std::int64_t time = 0;
  for (const char byte : bytes.substr(8)) time = time << 8 | static_cast<unsigned char>(byte);
  return Microseconds{time};
}

std::uint64_t pick(std::mt19937_64& random, std::uint64_t least, std::uint64_t most) {
  return std::uniform_int_distribution<std::uint64_t>{least, most}(random);
}

BucketParameters random_parameters(std::mt19937_64& random) {
  constexpr std::uint64_t kMagnitudes[] = {2, 20, 1'000, 1'000'000, kMaxTokens};
  const Microseconds periods[] = {
      1s, 1s, 1min, 1h, 24h, kMaxPeriod, Microseconds{static_cast<std::int64_t>(pick(random, 1, 90'000'000))}};
  return {.capacity = pick(random, 1, kMagnitudes[pick(random, 0, 4)]),
          .tokens = pick(random, 1, kMagnitudes[pick(random, 0, 4)]),
          .period = periods[pick(random, 0, 6)]};
}

TEST_F(RedisScript, ComputesWhatTheBucketsArithmeticComputes) {
  const std::string sha = load_with_given_time();
  std::mt19937_64 random{41};
  int rebuilt = 0;
  int indebted = 0;
  for (int sequence = 0; sequence < 2'000; ++sequence) {
    struct Bucket {
      BucketRequest request;
      std::optional<StoredBucket> kept;
    };
    std::vector<Bucket> buckets;
    const std::uint64_t count = pick(random, 1, 3);
    for (std::uint64_t i = 0; i < count; ++i) {
      buckets.push_back({{fmt::format("k{}-{}", sequence, i), random_parameters(random)}, std::nullopt});
    }
    Microseconds now{static_cast<std::int64_t>(1'764'000'000'000'000 + pick(random, 0, 1'000'000'000))};
    for (int step = 0; step < 25; ++step) {
      // Time passes at the pace of one of the buckets, rests for long, stands still or steps back.
      const BucketParameters& paced = buckets[pick(random, 0, count - 1)].request.parameters;
      const auto pace = static_cast<std::uint64_t>(paced.period.count()) / paced.tokens + 2;
      switch (pick(random, 0, 9)) {
        case 0: now += Microseconds{static_cast<std::int64_t>(pick(random, 0, 30 * pace))}; break;
        case 1: now -= Microseconds{static_cast<std::int64_t>(pick(random, 0, 3 * pace))}; break;
        case 2:
          now -= std::min<Microseconds>(now / 2,
                                        Microseconds{static_cast<std::int64_t>(pick(random, 0, 3'600'000'000'000))});
          break;
        case 3:
        case 4:
        case 5: break;
        default: now += Microseconds{static_cast<std::int64_t>(pick(random, 0, pace))};
      }
      if (now < 0us) now = 0us;
      if (now > Microseconds{3'000'000'000'000'000}) now = Microseconds{3'000'000'000'000'000};

      // Some buckets of the sequence, in order; now and then one has been near its end, or has another rate.
      std::vector<Bucket*> asked;
      for (Bucket& bucket : buckets) {
        if (pick(random, 0, 3) != 0) asked.push_back(&bucket);
      }
      if (asked.empty()) asked.push_back(&buckets.front());
      for (Bucket* const bucket : asked) {
        if (pick(random, 0, 5) == 0) {
          bucket->kept = {
              .state = {
                  .micro_tokens = pick(
                      random, 0, pick(random, 0, 1) == 0 ? 2'000'000 : 1'000'000 * bucket->request.parameters.capacity),
                  .updated = std::max(now - Microseconds{static_cast<std::int64_t>(pick(random, 0, 1'000'000))}, 0us)}};
          (void)redis.call({"SET", bucket->request.key, stored(*bucket->kept)});
        } else if (pick(random, 0, 15) == 0) {  // the store has lost it
          bucket->kept.reset();
          (void)redis.call({"DEL", bucket->request.key});
        }
        if (pick(random, 0, 30) == 0) bucket->request.parameters = random_parameters(random);
      }

      std::vector<BucketRequest> requests;
      std::vector<Debt> debts;
      const bool with_debts = pick(random, 0, 2) == 0;
      std::vector<std::optional<StoredBucket>> settled;
      std::vector<bool> keep;
      std::vector<Decision> expected;
      bool all = true;
      for (Bucket* const bucket : asked) {
        const RefillStep rate = refill_step(bucket->request.parameters);
        const std::uint64_t much = pick(random, 0, 1) == 0 ? 3'000'000 : rate.capacity_micro;
        Debt debt;
        if (with_debts) {
          debt.gateways = pick(random, 1, 4);
          debt.silence = Microseconds{static_cast<std::int64_t>(pick(random, 0, 40 * pace))};
          if (pick(random, 0, 2) != 0) debt.owed = pick(random, 0, std::min(much, rate.capacity_micro));
          if (pick(random, 0, 2) != 0) debt.missing = pick(random, 0, std::min(much, rate.capacity_micro));
          debts.push_back(debt);
        }
        requests.push_back(bucket->request);
        settled.push_back(bucket->kept);
        keep.push_back(settle(rate, settled.back(), debt, now));
        expected.push_back(peek(rate, settled.back()->state, now));
        all = all && expected.back().allowed;
        rebuilt += settled.back()->born == now ? 1 : 0;
        indebted += settled.back()->state.updated > now ? 1 : 0;
      }
      for (std::size_t i = 0; i < asked.size(); ++i) {
        if (all) expected[i] = take(asked[i]->request.parameters, settled[i]->state, now);
        // A refusal stores nothing, but for a debt and for a wait that had to be cut.
        if (all || keep[i]) asked[i]->kept = settled[i];
      }

      std::vector<Decision> decisions(requests.size());
      const RespValue reply = take_at(sha, requests, debts, now);
      ASSERT_TRUE(read_take_reply(reply, decisions)) << reply.text << " in sequence " << sequence;
      for (std::size_t i = 0; i < decisions.size(); ++i) {
        const BucketParameters& p = requests[i].parameters;
        ASSERT_EQ(decisions[i], expected[i]) << "sequence " << sequence << " step " << step << ": " << p.capacity
                                             << ", " << p.tokens << " each " << p.period.count();
      }
      for (const Bucket* const bucket : asked) {
        ASSERT_EQ(redis.call({"GET", bucket->request.key}).text, bucket->kept ? stored(*bucket->kept) : "")
            << "sequence " << sequence << " step " << step;
      }
    }
  }
  EXPECT_GT(rebuilt, 1'000);
  EXPECT_GT(indebted, 1'000);
}

class RealClock : public RedisScript {
 protected:
  std::vector<Decision> take_now(const std::vector<BucketRequest>& requests, const std::vector<Debt>& debts = {}) {
    std::string command;
    append_take_command(command, requests, debts, false);
    RespValue reply = redis.call(command);
    if (reply.type == RespValue::Type::error && reply.text.starts_with("NOSCRIPT")) {
      command.clear();
      append_take_command(command, requests, debts, true);
      reply = redis.call(command);
    }
    std::vector<Decision> decisions(requests.size());
    EXPECT_TRUE(read_take_reply(reply, decisions)) << reply.text;
    return decisions;
  }
};

TEST_F(RealClock, FollowsRedissTime) {
  // With a step of one microsecond a charge stores the very time that it used.
  constexpr BucketParameters kParameters{.capacity = 30, .tokens = 2'000, .period = 1s};
  BucketState state;
  bool used = false;
  int refused = 0;
  for (int i = 0; i < 3'000; ++i) {
    const Decision decision = take_now({{"bucket", kParameters}}).front();
    Microseconds now{0};
    if (decision.allowed) {
      now = stored_time(redis.call({"GET", "bucket"}).text);
    } else {
      ++refused;
      now = state.updated + Microseconds{static_cast<std::int64_t>((1'000'000 - state.micro_tokens + 1'999) / 2'000)} -
            decision.retry_after;
    }
    if (!used) state = full_bucket(kParameters, now);
    used = true;
    BucketState after = state;
    ASSERT_EQ(take(kParameters, after, now), decision);
    if (decision.allowed) state = after;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(RealClock, KeepsABucketAtLeastUntilItIsFull) {
  for (const BucketParameters& p :
       {BucketParameters{20, 10, 1s}, BucketParameters{1'000, 1, 1h}, BucketParameters{kMaxTokens, 1, kMaxPeriod}}) {
    const std::string key = fmt::format("ttl{}", p.capacity);
    for (int i = 0; i < 5; ++i) {
      const Decision decision = take_now({{key, p}}).front();
      const std::int64_t ttl = redis.call({"PTTL", key}).integer;
      EXPECT_GE(ttl, decision.reset_after / 1ms);
      EXPECT_LE(ttl, decision.reset_after / 1ms + 1'001);
    }
  }
}

TEST_F(RealClock, WritesNothingForARefusedRequest) {
  const std::vector<BucketRequest> both{{"{t}wide", {10, 1, 1h}}, {"{t}narrow", {1, 1, 1h}}};
  EXPECT_TRUE(take_now(both)[1].allowed);
  const std::string wide = redis.call({"GET", "{t}wide"}).text;
  const std::vector<Decision> refused = take_now({both[0], both[1], {"{t}other", {1, 1, 1s}}});
  EXPECT_TRUE(refused[0].allowed);
  EXPECT_FALSE(refused[1].allowed);
  EXPECT_TRUE(refused[2].allowed);
  EXPECT_EQ(redis.call({"GET", "{t}wide"}).text, wide);
  EXPECT_EQ(redis.call({"DBSIZE"}).integer, 2);
}

TEST_F(RealClock, TakesForeignTextForAnUnusedBucket) {
  for (const std::string_view text : {"", "x", "123456789012345", "12345678901234567"}) {
    (void)redis.call({"SET", "k", text});
    EXPECT_EQ(take_now({{"k", {5, 1, 1h}}}).front().remaining, 4u) << text;
  }
  // Of the right length, but with a content and a time that no bucket has: cut to the capacity and to the time to fill.
  (void)redis.call({"SET", "k", std::string(16, '\xff')});
  const Decision decision = take_now({{"k", {5, 1, 1h}}}).front();
  EXPECT_EQ(decision.remaining, 4u);
  EXPECT_LE(decision.reset_after, 6h);
}

TEST_F(RealClock, ChargesWhatIsOwedAndKeepsItThoughTheRequestIsRefused) {
  constexpr BucketParameters kTen{.capacity = 10, .tokens = 1, .period = 1h};
  EXPECT_EQ(take_now({{"k", kTen}}).front().remaining, 9u);
  EXPECT_EQ(take_now({{"k", kTen}}, {{.owed = 4'000'000}}).front().remaining, 4u);
  const Decision refused = take_now({{"k", kTen}}, {{.owed = 7'000'000}}).front();
  EXPECT_FALSE(refused.allowed);
  EXPECT_GT(refused.retry_after, 3h);  // three that it did not hold, and one
  EXPECT_LE(refused.retry_after, 4h);
  const Decision again = take_now({{"k", kTen}}).front();
  EXPECT_GT(again.retry_after, 3h);
  EXPECT_GE(redis.call({"PTTL", "k"}).integer, again.reset_after / 1ms);
  const Decision most = take_now({{"k", kTen}}, {{.owed = 10'000'000}}).front();
  EXPECT_LE(most.retry_after, 11h) << "the wait is bounded, whatever is owed";
}

TEST_F(RealClock, AStoreThatCameBackEmptyGoesOn) {
  constexpr BucketParameters kTen{.capacity = 10, .tokens = 1, .period = 1h};
  const Debt debt{.owed = 3'000'000, .missing = 8'000'000, .gateways = 2, .silence = 10s};
  EXPECT_EQ(take_now({{"k", kTen}}, {debt}).front().remaining, 1u);
  EXPECT_EQ(take_now({{"k", kTen}}, {debt}).front().remaining, 0u) << "the first spoke for all";
  EXPECT_FALSE(take_now({{"k", kTen}}, {{.owed = 1'000'000, .silence = 0s}}).front().allowed);
  EXPECT_EQ(take_now({{"deleted", kTen}}, {Debt{}}).front().remaining, 9u) << "nothing is missing: it is full";
  const Decision refused = take_now({{"empty", kTen}}, {{.missing = 10'000'000}}).front();
  EXPECT_FALSE(refused.allowed);
  EXPECT_FALSE(take_now({{"empty", kTen}}).front().allowed) << "and stays so";
}

TEST_F(RealClock, ReportsAKeyOfAnotherTypeAsAnError) {
  (void)redis.call({"LPUSH", "k", "x"});
  std::string command;
  append_take_command(command, std::vector<BucketRequest>{{"k", {5, 1, 1h}}}, {}, true);
  std::vector<Decision> decisions(1);
  EXPECT_FALSE(read_take_reply(redis.call(command), decisions));
}

TEST_F(RealClock, CountsExactlyOverSeveralConnections) {
  RedisConnection other{*server_};
  std::string command;
  append_take_command(command, std::vector<BucketRequest>{{"shared", {100, 1, 1h}}}, {}, true);
  int admitted = 0;
  for (int i = 0; i < 100; ++i) {
    redis.send(command);
    other.send(command);
    for (RedisConnection* const connection : {&redis, &other}) {
      std::vector<Decision> decisions(1);
      ASSERT_TRUE(read_take_reply(connection->receive(), decisions));
      admitted += decisions[0].allowed ? 1 : 0;
    }
  }
  EXPECT_EQ(admitted, 100);
}

}  // namespace
}  // namespace gatehouse::ratelimit
