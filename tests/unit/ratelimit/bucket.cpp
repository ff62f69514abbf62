// ratelimit/bucket.hpp: the arithmetic by examples and by properties over random parameters and arrival times.
#include "ratelimit/bucket.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace gatehouse::ratelimit {
namespace {

using namespace std::chrono_literals;
__extension__ using Wide = __int128;

constexpr Microseconds kStart{1'764'000'000'000'000};  // a plausible wall clock
constexpr BucketParameters kTenPerSecond{.capacity = 20, .tokens = 10, .period = 1s};

/// Rates as the configuration writes them, and some of odd periods.
std::vector<BucketParameters> sample_parameters(std::mt19937_64& random, int count) {
  std::vector<BucketParameters> samples;
  for (int i = 0; i < count; ++i) {
    const auto up_to = [&](std::uint64_t most) {
      return std::uniform_int_distribution<std::uint64_t>{1, most}(random);
    };
    constexpr std::uint64_t kMagnitudes[] = {3, 50, 1'000, 1'000'000, kMaxTokens};
    const Microseconds periods[] = {1s, 1min, 1h, Microseconds{static_cast<std::int64_t>(up_to(10'000'000))}};
    samples.push_back({.capacity = up_to(kMagnitudes[up_to(5) - 1]),
                       .tokens = up_to(kMagnitudes[up_to(5) - 1]),
                       .period = periods[up_to(4) - 1]});
  }
  return samples;
}

TEST(RefillStep, ReducesToTheSmallestExactStep) {
  EXPECT_EQ(refill_step({.capacity = 20, .tokens = 10, .period = 1s}), (RefillStep{20'000'000, 10, 1}));
  EXPECT_EQ(refill_step({.capacity = 1, .tokens = 100, .period = 1min}), (RefillStep{1'000'000, 5, 3}));
  EXPECT_EQ(refill_step({.capacity = 5, .tokens = 7, .period = 1h}), (RefillStep{5'000'000, 7, 3600}));
  EXPECT_EQ(refill_step({.capacity = 1, .tokens = 3, .period = 7us}), (RefillStep{1'000'000, 3'000'000, 7}));
}

TEST(RefillStep, TakesZeroAsOneAndClampsToTheBounds) {
  EXPECT_EQ(refill_step({.capacity = 0, .tokens = 0, .period = 0us}), refill_step({1, 1, 1us}));
  EXPECT_EQ(refill_step({.capacity = 1, .tokens = 1, .period = -5s}), refill_step({1, 1, 1us}));
  EXPECT_EQ(refill_step({~0ULL, ~0ULL, Microseconds::max()}), refill_step({kMaxTokens, kMaxTokens, kMaxPeriod}));
}

TEST(RefillStep, StaysWithinTheBoundsAndNeverRaisesTheRate) {
  std::mt19937_64 random{7};
  std::vector<BucketParameters> samples = sample_parameters(random, 20'000);
  samples.push_back({kMaxTokens, kMaxTokens, kMaxPeriod});
  samples.push_back({kMaxTokens, kMaxTokens - 1, kMaxPeriod - 1us});
  samples.push_back({1, kMaxTokens - 1, 97us});
  for (const BucketParameters& p : samples) {
    const RefillStep step = refill_step(p);
    ASSERT_GE(step.micro_tokens, 1u);
    ASSERT_GE(step.microseconds, 1u);
    ASSERT_LE(Wide{step.micro_tokens} * Wide{step.microseconds}, Wide{1} << 52);
    // step.micro_tokens / step.microseconds <= tokens * 1e6 / period
    const Wide ours = Wide{step.micro_tokens} * Wide{p.period.count()};
    const Wide asked = Wide{p.tokens} * 1'000'000 * Wide{step.microseconds};
    ASSERT_LE(ours, asked);
    if (p.period % 1s == 0us && p.period <= 720h) {
      ASSERT_EQ(ours, asked) << p.tokens << " each " << p.period.count();
    }
  }
}

TEST(Take, StartsFullAndRefusesWhenEmpty) {
  BucketState state = full_bucket(kTenPerSecond, kStart);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Decision decision = take(kTenPerSecond, state, kStart);
    EXPECT_TRUE(decision.allowed);
    EXPECT_EQ(decision.remaining, 19 - i);
    EXPECT_EQ(decision.retry_after, 0us);
    EXPECT_EQ(decision.reset_after, (i + 1) * 100ms);
  }
  const Decision refused = take(kTenPerSecond, state, kStart);
  EXPECT_EQ(refused, (Decision{.allowed = false, .remaining = 0, .retry_after = 100ms, .reset_after = 2s}));
}

TEST(Take, RefusalCostsNothing) {
  BucketState state = full_bucket({1, 1, 1s}, kStart);
  EXPECT_TRUE(take({1, 1, 1s}, state, kStart).allowed);
  for (int i = 1; i < 1000; ++i) EXPECT_FALSE(take({1, 1, 1s}, state, kStart + i * 1ms).allowed);
  EXPECT_TRUE(take({1, 1, 1s}, state, kStart + 1s).allowed);
}

TEST(Take, HoldsNoMoreThanTheCapacityHoweverLongItRests) {
  BucketState state = full_bucket(kTenPerSecond, kStart);
  EXPECT_EQ(take(kTenPerSecond, state, kStart + 24h * 365 * 100).remaining, 19u);
}

TEST(Take, AdmitsNoMoreThanBurstAndRateOverAnyWindow) {
  std::mt19937_64 random{11};
  for (const BucketParameters& p : sample_parameters(random, 400)) {
    // Arrivals around the pace of the rate, with pauses and crowds.
    const std::int64_t pace = std::max<std::int64_t>(1, p.period.count() / static_cast<std::int64_t>(p.tokens));
    std::uniform_int_distribution<std::int64_t> gap{0, pace * 2};
    BucketState state = full_bucket(p, kStart);
    Microseconds now = kStart;
    std::vector<Microseconds> admitted;
    for (int i = 0; i < 200; ++i) {
      const auto kind = random() % 8;
      if (kind == 0) now += Microseconds{gap(random) * 10};
      if (kind > 3) now += Microseconds{gap(random)};
      if (take(p, state, now).allowed) admitted.push_back(now);
    }
    for (std::size_t first = 0; first < admitted.size(); ++first) {
      for (std::size_t last = first; last < admitted.size(); ++last) {
        const Wide count = static_cast<Wide>(last - first + 1);
        const Wide gained = Wide{p.tokens} * Wide{(admitted[last] - admitted[first]).count()};
        ASSERT_LE((count - static_cast<Wide>(p.capacity)) * Wide{p.period.count()}, gained)
            << p.capacity << " " << p.tokens << " each " << p.period.count();
      }
    }
  }
}

TEST(Take, DoesNotDriftWhenVisitedAtOddIntervals) {
  std::mt19937_64 random{13};
  for (const BucketParameters& p :
       {BucketParameters{5, 7, 1h}, BucketParameters{3, 100, 1min}, BucketParameters{2, 3, 1s},
        BucketParameters{3, 999'983, 1h}, BucketParameters{4, 11, 7s}}) {
    const std::int64_t pace = std::max<std::int64_t>(2, p.period.count() / static_cast<std::int64_t>(p.tokens));
    std::uniform_int_distribution<std::int64_t> gap{1, pace / 2 + 1};
    BucketState state = full_bucket(p, kStart);
    Microseconds now = kStart;
    std::uint64_t admitted = 0;
    for (int i = 0; i < 100'000; ++i) {
      now += Microseconds{gap(random)};
      if (take(p, state, now).allowed) ++admitted;
    }
    // Once drained it is never full between two visits: what it gained is what it gave, but for its content.
    const Wide gained = Wide{p.tokens} * Wide{(now - kStart).count()} / Wide{p.period.count()};
    EXPECT_LE(Wide{admitted}, gained + static_cast<Wide>(p.capacity));
    EXPECT_GE(Wide{admitted}, gained - 1) << p.tokens << " each " << p.period.count();
  }
}

TEST(Take, SaysExactlyWhenTheNextTokenIsThere) {
  std::mt19937_64 random{17};
  for (const BucketParameters& p : sample_parameters(random, 2'000)) {
    const RefillStep step = refill_step(p);
    BucketState state{.micro_tokens = std::uniform_int_distribution<std::uint64_t>{0, 999'999}(random),
                      .updated = kStart};
    const Microseconds now = kStart + Microseconds{static_cast<std::int64_t>(random() % 1'000)};
    const Decision decision = take(step, state, now);
    if (decision.allowed) continue;
    ASSERT_GT(decision.retry_after, 0us);
    ASSERT_LE(decision.retry_after, decision.reset_after);
    ASSERT_TRUE(peek(step, state, now + decision.retry_after).allowed);
    ASSERT_FALSE(peek(step, state, now + decision.retry_after - 1us).allowed);
  }
}

TEST(Take, SaysExactlyWhenTheBucketIsFull) {
  std::mt19937_64 random{19};
  for (const BucketParameters& p : sample_parameters(random, 2'000)) {
    const RefillStep step = refill_step(p);
    BucketState state{.micro_tokens = std::uniform_int_distribution<std::uint64_t>{0, step.capacity_micro}(random),
                      .updated = kStart};
    const Decision decision = take(step, state, kStart);
    ASSERT_GT(decision.reset_after, 0us);
    if (decision.reset_after == kMaxWait) continue;
    BucketState later = state;
    refill(step, later, kStart + decision.reset_after);
    ASSERT_EQ(later, full_bucket(step, kStart + decision.reset_after));
    BucketState before = state;
    refill(step, before, kStart + decision.reset_after - 1us);
    ASSERT_LT(before.micro_tokens, step.capacity_micro);
  }
}

TEST(ContentBeforeFull, IsTheMostThatIsFullAtThatTime) {
  std::mt19937_64 random{21};
  for (const BucketParameters& p : sample_parameters(random, 5'000)) {
    const RefillStep step = refill_step(p);
    EXPECT_EQ(content_before_full(step, 0us), step.capacity_micro);
    EXPECT_EQ(content_before_full(step, -1us), step.capacity_micro);
    const std::uint64_t micro_tokens = random() % step.capacity_micro;
    const Microseconds time = time_to_full(step, micro_tokens);
    if (time == kMaxWait) continue;
    const std::uint64_t content = content_before_full(step, time);
    ASSERT_LE(time_to_full(step, content), time);
    ASSERT_LE(content, micro_tokens);
    ASSERT_LT(micro_tokens - content, step.micro_tokens);
    if (content > 0) {
      ASSERT_GT(time_to_full(step, content - 1), time);
    }
    ASSERT_EQ(content_before_full(step, kMaxWait),
              step.capacity_micro - std::min(step.capacity_micro, [&] {
                Wide gained = Wide{kMaxWait.count()} / Wide{step.microseconds} * Wide{step.micro_tokens};
                gained += Wide{kMaxWait.count()} % Wide{step.microseconds} * Wide{step.micro_tokens} /
                          Wide{step.microseconds};
                return static_cast<std::uint64_t>(std::min(gained, Wide{step.capacity_micro}));
              }()));
  }
}

TEST(Refill, InPiecesIsTheSameAsAtOnce) {
  std::mt19937_64 random{23};
  for (const BucketParameters& p : sample_parameters(random, 1'000)) {
    const RefillStep step = refill_step(p);
    const BucketState start{.micro_tokens = random() % step.capacity_micro, .updated = kStart};
    BucketState pieces = start;
    Microseconds now = kStart;
    for (int i = 0; i < 20; ++i) {
      now += Microseconds{static_cast<std::int64_t>(random() % (2 * step.microseconds + 1))};
      refill(step, pieces, now);
      BucketState at_once = start;
      refill(step, at_once, now);
      // A full bucket's time moves with each visit; what counts is what it does from then on.
      for (const Microseconds later : {0us, 1us, 1'000'003us, 3'600'000'007us}) {
        ASSERT_EQ(peek(step, pieces, now + later), peek(step, at_once, now + later));
      }
    }
  }
}

TEST(Refill, KeepsTheContentWhenTheRateChanges) {
  BucketState state = full_bucket(kTenPerSecond, kStart);
  for (int i = 0; i < 15; ++i) (void)take(kTenPerSecond, state, kStart);
  EXPECT_EQ(peek({.capacity = 20, .tokens = 7, .period = 1h}, state, kStart).remaining, 5u);
  EXPECT_EQ(peek({.capacity = 3, .tokens = 7, .period = 1h}, state, kStart).remaining, 3u);
}

TEST(ClockStepBack, NeitherAddsNorTakes) {
  BucketState state = full_bucket(kTenPerSecond, kStart);
  for (int i = 0; i < 20; ++i) (void)take(kTenPerSecond, state, kStart);
  const BucketState empty = state;
  const Decision decision = take(kTenPerSecond, state, kStart - 1s);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.retry_after, 1s + 100ms);
  EXPECT_EQ(state, empty);
  EXPECT_FALSE(take(kTenPerSecond, state, kStart).allowed);  // the second gives nothing twice
  EXPECT_TRUE(take(kTenPerSecond, state, kStart + 100ms).allowed);
}

TEST(ClockStepBack, ServesWhatIsInTheBucket) {
  BucketState state = full_bucket(kTenPerSecond, kStart);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(take(kTenPerSecond, state, kStart - 10s).allowed);
  EXPECT_FALSE(take(kTenPerSecond, state, kStart - 10s).allowed);
}

TEST(ClockStepBack, StarvesNobodyForLongerThanTheTimeToFill) {
  BucketState state = full_bucket(kTenPerSecond, kStart + 24h * 365);  // the clock was a year ahead once
  for (int i = 0; i < 20; ++i) (void)take(kTenPerSecond, state, kStart + 24h * 365);
  const Decision decision = take(kTenPerSecond, state, kStart);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.retry_after, 2s + 100ms);
  EXPECT_FALSE(take(kTenPerSecond, state, kStart + 2s).allowed);
  EXPECT_TRUE(take(kTenPerSecond, state, kStart + 2s + 100ms).allowed);
}

TEST(ClockStepBack, SurvivesNonsensicalTimes) {
  for (const Microseconds updated : {Microseconds::min(), Microseconds::max(), 0us}) {
    for (const Microseconds now : {0us, kStart, 1us}) {
      BucketState state{.micro_tokens = ~0ULL, .updated = updated};
      const Decision decision = take({.capacity = kMaxTokens, .tokens = 1, .period = kMaxPeriod}, state, now);
      EXPECT_TRUE(decision.allowed);
      EXPECT_LE(decision.remaining, kMaxTokens);
    }
  }
}

TEST(Peek, TakesNothing) {
  const BucketState state = full_bucket(kTenPerSecond, kStart);
  EXPECT_EQ(peek(kTenPerSecond, state, kStart), (Decision{.allowed = true, .remaining = 20}));
}

TEST(ShareOf, DividesTheLimitAmongTheGateways) {
  EXPECT_EQ(share_of({20, 10, 1s}, 1), (BucketParameters{20, 10, 1s}));
  EXPECT_EQ(share_of({20, 10, 1s}, 2), (BucketParameters{10, 5, 1s}));
  EXPECT_EQ(share_of({20, 10, 1s}, 3), (BucketParameters{6, 10, 3s}));
  EXPECT_EQ(share_of({1, 1, 1h}, 4), (BucketParameters{1, 1, 4h}));
  EXPECT_EQ(share_of({20, 10, 1s}, 0), (BucketParameters{20, 10, 1s}));
}

TEST(ShareOf, NeverExceedsTheRateInSum) {
  std::mt19937_64 random{29};
  for (const BucketParameters& p : sample_parameters(random, 2'000)) {
    const std::uint64_t gateways = random() % 300 + 1;
    const BucketParameters share = share_of(p, gateways);
    ASSERT_LE(Wide{share.tokens} * Wide{gateways} * Wide{p.period.count()},
              Wide{p.tokens} * Wide{share.period.count()});
    if (p.capacity >= gateways) {
      ASSERT_LE(share.capacity * gateways, p.capacity);
    }
  }
}

TEST(Scaled, IsTheSamePartOfTheOtherBucket) {
  EXPECT_EQ(scaled(20'000'000, {20, 10, 1s}, {6, 10, 3s}), 6'000'000u);
  EXPECT_EQ(scaled(10'000'000, {20, 10, 1s}, {6, 10, 3s}), 3'000'000u);
  EXPECT_EQ(scaled(1, {20, 10, 1s}, {6, 10, 3s}), 0u);
  EXPECT_EQ(scaled(~0ULL, {20, 10, 1s}, {6, 10, 3s}), 6'000'000u) << "more than the bucket holds is what it holds";
  EXPECT_EQ(scaled(500'000, {1, 1, 1s}, {0, 1, 1s}), 500'000u) << "no capacity counts as one";
  std::mt19937_64 random{31};
  for (const BucketParameters& p : sample_parameters(random, 5'000)) {
    const BucketParameters share = share_of(p, random() % 300 + 1);
    const std::uint64_t micro_tokens = random() % (p.capacity * 1'000'000 + 1);
    ASSERT_EQ(Wide{scaled(micro_tokens, p, share)}, Wide{micro_tokens} * Wide{share.capacity} / Wide{p.capacity});
    const std::uint64_t of_share = random() % (share.capacity * 1'000'000 + 1);
    ASSERT_EQ(Wide{scaled(of_share, share, p)}, Wide{of_share} * Wide{p.capacity} / Wide{share.capacity});
  }
}

TEST(RetryAfterSeconds, RoundsUpAndIsAtLeastOne) {
  EXPECT_EQ(retry_after_seconds(-1us), 1u);
  EXPECT_EQ(retry_after_seconds(0us), 1u);
  EXPECT_EQ(retry_after_seconds(1us), 1u);
  EXPECT_EQ(retry_after_seconds(1s), 1u);
  EXPECT_EQ(retry_after_seconds(1s + 1us), 2u);
  EXPECT_EQ(retry_after_seconds(Microseconds::max()), 9'223'372'036'855u);
}

}  // namespace
}  // namespace gatehouse::ratelimit
