// acme/renewal.hpp: decisions by properties over random lifetimes, windows and outages of the CA.
#include "acme/renewal.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace gatehouse::acme {
namespace {

using namespace std::chrono_literals;

constexpr Time start{1'796'000'000s};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  Chance chance() { return std::uniform_real_distribution<double>(0, 1)(engine_); }
  Seconds up_to(Seconds most) { return Seconds(std::uniform_int_distribution<std::int64_t>(0, most.count())(engine_)); }

 private:
  std::mt19937_64 engine_;
};

Problem problem_of(ProblemType type) {
  Problem problem;
  problem.type = type;
  return problem;
}

/// What is left of the certificate's validity at the worst moment of a year in which the CA is away again and again.
Seconds least_validity_of_a_year(Random& random) {
  constexpr Seconds lifetime = 160h;
  const Time end = start + 24h * 365;
  Seconds least = lifetime;
  Time not_before = start;
  Time outage = start + random.up_to(48h), back = outage + random.up_to(24h);
  while (not_before < end) {
    const Time not_after = not_before + lifetime;
    Time now = renewal_by_lifetime(not_before, not_after, random.chance());
    for (unsigned failures = 0;;) {
      // The next outage follows no sooner than two days after the last one.
      for (; now >= back; back = outage + random.up_to(24h)) outage = back + 48h + random.up_to(96h);
      if (now < outage) break;
      now = next_attempt(no_answer("connection refused"), ++failures, now, random.chance());
    }
    least = std::min(least, not_after - now);
    not_before = now;
  }
  return least;
}

TEST(Renewal, KeepsTwoDaysOfA160HourCertificateThroughAYearOfOutages) {
  Random random(11);
  Seconds least = 160h;
  for (int year = 0; year < 500; ++year) least = std::min(least, least_validity_of_a_year(random));
  EXPECT_GE(least, 48h);
  EXPECT_LT(least, 60h);  // there were outages that mattered
}

TEST(Renewal, IsPlannedWithinTheLifetimeAndNeverAfterTheLatest) {
  Random random(12);
  for (int i = 0; i < 20'000; ++i) {
    const Seconds lifetime = 1h + random.up_to(i % 2 == 0 ? 24h * 10 : 24h * 400);
    const Time latest = latest_renewal(start, start + lifetime);
    ASSERT_GE(latest, start + lifetime / 2 - 1s);
    ASSERT_LT(latest, start + lifetime);
    const Time planned = renewal_by_lifetime(start, start + lifetime, random.chance());
    ASSERT_LE(planned, latest);
    ASSERT_GE(planned, start + lifetime * 9 / 20);
    ASSERT_LE(planned, start + lifetime / 3 * 2);
  }
}

TEST(Renewal, OfNinetyDaysIsAfterSixtyWithSomeDispersion) {
  const Time end = start + 24h * 90;
  EXPECT_EQ(renewal_by_lifetime(start, end, 0), start + 24h * 60);
  EXPECT_LT(renewal_by_lifetime(start, end, 0.5), start + 24h * 60 - 20h);
  EXPECT_GT(renewal_by_lifetime(start, end, 0.99), start + 24h * 58);
}

TEST(Renewal, KeepsSeventySixHoursOfALongCertificateAndHalfOfAShortOne) {
  EXPECT_EQ(latest_renewal(start, start + 24h * 90), start + 24h * 90 - 76h);
  EXPECT_EQ(latest_renewal(start, start + 100h), start + 50h);
}

TEST(RenewalWindow, IsMetWithinAndNeverAfterTheLatestRenewal) {
  Random random(13);
  for (int i = 0; i < 20'000; ++i) {
    const Time not_after = start + 1h + random.up_to(24h * 100);
    const Time from = start - 24h + random.up_to(24h * 120);
    const RenewalInfo info{from, from + random.up_to(24h * 10), {}};
    const Time planned = renewal_by_window(info, start, not_after, random.chance());
    const Time latest = latest_renewal(start, not_after);
    ASSERT_LE(planned, latest);
    ASSERT_LE(planned, info.end);
    if (info.start <= latest) {
      ASSERT_GE(planned, info.start);
    }
  }
}

TEST(RenewalWindow, IsChosenFromUniformly) {
  Random random(14);
  const RenewalInfo info{start, start + 1000s, {}};
  int early = 0;
  for (int i = 0; i < 10'000; ++i)
    early += renewal_by_window(info, start, start + 24h * 90, random.chance()) < start + 250s ? 1 : 0;
  EXPECT_NEAR(early, 2'500, 200);
}

TEST(RenewalWindow, OfAllTimesOverflowsNothing) {
  const RenewalInfo info{Time{}, from_rfc3339("9999-12-31T23:59:59Z").value(), {}};
  EXPECT_EQ(renewal_by_window(info, start, start + 160h, 1), latest_renewal(start, start + 160h));
  EXPECT_EQ(renewal_by_window(info, start, start + 160h, 0), Time{});
  EXPECT_EQ(renewal_by_window(info, start, start + 160h, -5), Time{});
}

TEST(RenewalQuestion, FollowsRetryAfterWithinBounds) {
  EXPECT_EQ(next_renewal_question(std::nullopt, start), start + 6h);
  EXPECT_EQ(next_renewal_question(start + 2h, start), start + 2h);
  EXPECT_EQ(next_renewal_question(start, start), start + 1min);
  EXPECT_EQ(next_renewal_question(start + 24h * 9, start), start + 24h);
}

TEST(NextAttempt, AfterTheNamesFaultNeverMakesSixAnHour) {
  Random random(15);
  for (int i = 0; i < 2'000; ++i) {
    std::deque<Time> attempts;
    Time now = start;
    for (unsigned failures = 1; failures < 30; ++failures) {
      attempts.push_back(now);
      if (attempts.size() > 5) {
        ASSERT_GT(now - attempts.front(), 1h);
        attempts.pop_front();
      }
      const auto type = random.chance() < 0.5 ? ProblemType::connection : ProblemType::unauthorized;
      now = next_attempt(problem_of(type), failures, now, random.chance());
    }
  }
}

TEST(NextAttempt, AfterTheCasFaultIsWithinAnHourAndAFifth) {
  for (unsigned failures = 0; failures < 100; ++failures) {
    const Time next = next_attempt(no_answer("away"), failures, start, 1);
    EXPECT_GE(next, start + 1min);
    EXPECT_LE(next, start + 72min);
  }
  EXPECT_EQ(next_attempt(no_answer("away"), 1, start, 0), start + 1min);
}

TEST(NextAttempt, ObeysTheCasRetryAfterWhereItIsLater) {
  Problem limited = problem_of(ProblemType::rate_limited);
  limited.retry_at = start + 7h;
  EXPECT_EQ(next_attempt(limited, 1, start, 0.5), start + 7h);
  limited.retry_at = start + 1s;
  EXPECT_EQ(next_attempt(limited, 1, start, 0), start + 1min);
}

TEST(NextAttempt, GrowsAndStaysAtTheLongest) {
  Time last = start;
  for (unsigned failures = 1; failures < 12; ++failures) {
    const Time next = next_attempt(problem_of(ProblemType::dns), failures, start, 0);
    EXPECT_GE(next, last);
    last = next;
  }
  EXPECT_EQ(last, start + 6h);
}

TEST(EarliestRenewal, IsAnHourOrATenthOfTheLifetimeAfterTheLast) {
  EXPECT_EQ(earliest_renewal(start, std::chrono::hours(24 * 90)), start + std::chrono::hours(1));
  EXPECT_EQ(earliest_renewal(start, std::chrono::hours(160)), start + std::chrono::hours(1));
  EXPECT_EQ(earliest_renewal(start, std::chrono::minutes(60)), start + std::chrono::minutes(6));
}

}  // namespace
}  // namespace gatehouse::acme
