// acme/timestamp.hpp: RFC 3339 and Retry-After, by examples.
#include "acme/timestamp.hpp"

#include <gtest/gtest.h>

namespace gatehouse::acme {
namespace {

using namespace std::chrono_literals;

constexpr Time noon = std::chrono::sys_days(std::chrono::year(2026) / 11 / 29) + 12h;

TEST(Rfc3339, ReadsUtcFractionsAndOffsets) {
  for (const char* const text :
       {"2026-11-29T12:00:00Z", "2026-11-29t12:00:00z", "2026-11-29 12:00:00Z", "2026-11-29T12:00:00.999999999999Z",
        "2026-11-29T13:30:00+01:30", "2026-11-29T03:00:00-09:00", "2026-11-29T12:00:00.5+00:00"})
    EXPECT_EQ(from_rfc3339(text), noon) << text;
  EXPECT_EQ(from_rfc3339("1970-01-01T00:00:00Z"), Time{});
  EXPECT_EQ(from_rfc3339("2024-02-29T00:00:00Z"), Time(std::chrono::sys_days(std::chrono::year(2024) / 2 / 29)));
}

TEST(Rfc3339, TakesALeapSecondAsTheNextMinute) { EXPECT_EQ(from_rfc3339("2026-11-29T11:59:60Z"), noon); }

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* const text : {"",
                                 "2026",
                                 "2026-11-29",
                                 "2026-11-29T12:00:00",
                                 "2026-11-29T12:00Z",
                                 "2026-11-29T12:00:00.Z",
                                 "2026-13-01T00:00:00Z",
                                 "2026-00-01T00:00:00Z",
                                 "2026-02-29T00:00:00Z",
                                 "2026-11-31T00:00:00Z",
                                 "2026-11-29T24:00:00Z",
                                 "2026-11-29T12:60:00Z",
                                 "2026-11-29T12:00:61Z",
                                 "1969-12-31T23:59:59Z",
                                 "2026-11-29T12:00:00Z ",
                                 " 2026-11-29T12:00:00Z",
                                 "2026-11-29T12:00:00+1:00",
                                 "2026-11-29T12:00:00+25:00",
                                 "2026-11-29T12:00:00+01:00x",
                                 "+026-11-29T12:00:00Z",
                                 "2026-11-2\xff"
                                 "T12:00:00Z",
                                 "12026-11-29T12:00:00Z"})
    EXPECT_EQ(from_rfc3339(text), std::nullopt) << text;
}

TEST(RetryAfter, ReadsSecondsFromNow) {
  EXPECT_EQ(from_retry_after("0", noon), noon);
  EXPECT_EQ(from_retry_after("120", noon), noon + 2min);
  EXPECT_EQ(from_retry_after("  5 ", noon), noon + 5s);
}

TEST(RetryAfter, ReadsADateAndTakesOneThatIsPastAsNow) {
  EXPECT_EQ(from_retry_after("Sun, 29 Nov 2026 12:10:00 GMT", noon), noon + 10min);
  EXPECT_EQ(from_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", noon), noon);
}

TEST(RetryAfter, IsCutToADay) {
  EXPECT_EQ(from_retry_after("86401", noon), noon + 24h);
  EXPECT_EQ(from_retry_after("99999999999999999999999999", noon), noon + 24h);
  EXPECT_EQ(from_retry_after("Sat, 29 Nov 2036 12:10:00 GMT", noon), noon + 24h);
}

TEST(RetryAfter, RefusesWhatIsNeither) {
  for (const char* const text :
       {"", " ", "-5", "1.5", "5s", "soon", "2026-11-29T12:10:00Z", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994", "Sun, 31 Feb 2026 12:10:00 GMT", "Sun, 29 Nov 2026 12:10:00 UTC",
        "Sun, 29 Noz 2026 12:10:00 GMT", "Sun, 29 Nov 2026 12:10:0x GMT"})
    EXPECT_EQ(from_retry_after(text, noon), std::nullopt) << text;
}

}  // namespace
}  // namespace gatehouse::acme
