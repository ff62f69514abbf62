// Durations, sizes, rates and integers.
#include "config/quantity.hpp"

#include <gmock/gmock.h>

#include <chrono>

namespace gatehouse::config {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

template <class T>
std::string error_of(const Parsed<T>& parsed) {
  return parsed ? "no error" : parsed.error();
}

TEST(ParseInteger, ReadsDecimalDigits) {
  EXPECT_EQ(parse_integer("0"), 0U);
  EXPECT_EQ(parse_integer("10"), 10U);
  EXPECT_EQ(parse_integer("9223372036854775799"), 9223372036854775799U);
}

TEST(ParseInteger, ExplainsLeadingZeros) {
  EXPECT_THAT(error_of(parse_integer("010")),
              HasSubstr("'010' has leading zeros, which YAML reads as an octal number: write 10"));
  EXPECT_THAT(error_of(parse_integer("00")), HasSubstr("write 0"));
}

TEST(ParseInteger, RefusesEverythingElse) {
  for (const char* text : {"", " 1", "1 ", "1_000", "1,000", "0x10", "1e3", "1.0", "ten", "٣", "1\n"})
    EXPECT_FALSE(parse_integer(text)) << text;
  EXPECT_THAT(error_of(parse_integer("-1")), HasSubstr("has a sign"));
  EXPECT_THAT(error_of(parse_integer("+1")), HasSubstr("has a sign"));
}

TEST(ParseInteger, RefusesOverflow) {
  EXPECT_THAT(error_of(parse_integer("9223372036854775808")), HasSubstr("too large"));
  EXPECT_THAT(error_of(parse_integer("99999999999999999999999999999999999999")), HasSubstr("too large"));
}

TEST(ParseDuration, ReadsEachUnit) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  EXPECT_EQ(parse_duration("0s"), 0ms);
}

TEST(ParseDuration, ExplainsAMissingUnit) {
  EXPECT_EQ(error_of(parse_duration("10")), "'10' has no unit: write 10ms, 10s, 10m or 10h");
}

TEST(ParseDuration, SuggestsTheUnitThatIsMeant) {
  EXPECT_THAT(error_of(parse_duration("10sec")), HasSubstr("write 10s"));
  EXPECT_THAT(error_of(parse_duration("2min")), HasSubstr("write 2m"));
  EXPECT_THAT(error_of(parse_duration("2Hours")), HasSubstr("write 2h"));
  EXPECT_THAT(error_of(parse_duration("10d")), HasSubstr("write 10ms, 10s, 10m or 10h"));
}

TEST(ParseDuration, RefusesFractionsBlanksAndCompounds) {
  EXPECT_THAT(error_of(parse_duration("1.5s")), HasSubstr("smaller unit"));
  EXPECT_THAT(error_of(parse_duration("10 s")), HasSubstr("blank"));
  EXPECT_THAT(error_of(parse_duration("1m30s")), HasSubstr("not one number with one unit"));
  EXPECT_THAT(error_of(parse_duration("s")), HasSubstr("is not a duration"));
  EXPECT_THAT(error_of(parse_duration("")), HasSubstr("is not a duration"));
  EXPECT_THAT(error_of(parse_duration("-1s")), HasSubstr("is not a duration"));
  EXPECT_THAT(error_of(parse_duration("010s")), HasSubstr("leading zeros"));
  EXPECT_FALSE(parse_duration("10S"));
  EXPECT_FALSE(parse_duration("10s "));
}

TEST(ParseDuration, RefusesOverflow) {
  EXPECT_THAT(error_of(parse_duration("9223372036854775799h")), HasSubstr("too large"));
  EXPECT_THAT(error_of(parse_duration("2562047788015216h")), HasSubstr("too large"));
  EXPECT_TRUE(parse_duration("2562047788015h"));
}

TEST(ParseSize, ReadsEachUnit) {
  EXPECT_EQ(parse_size("512B"), 512U);
  EXPECT_EQ(parse_size("16KiB"), 16384U);
  EXPECT_EQ(parse_size("1MiB"), 1048576U);
  EXPECT_EQ(parse_size("2GiB"), 2147483648U);
  EXPECT_EQ(parse_size("1TiB"), 1099511627776U);
}

TEST(ParseSize, ExplainsWhichUnit) {
  EXPECT_EQ(error_of(parse_size("16384")),
            "'16384' has no unit: write 16384B, 16384KiB, 16384MiB, 16384GiB or 16384TiB");
  EXPECT_THAT(error_of(parse_size("16k")), HasSubstr("write 16KiB"));
  EXPECT_THAT(error_of(parse_size("16KB")), HasSubstr("write 16KiB"));
  EXPECT_THAT(error_of(parse_size("16Mi")), HasSubstr("write 16MiB"));
  EXPECT_THAT(error_of(parse_size("16m")), HasSubstr("write 16MiB"));
  EXPECT_THAT(error_of(parse_size("16XiB")), HasSubstr("unknown unit"));
  EXPECT_THAT(error_of(parse_size("0.5MiB")), HasSubstr("smaller unit"));
  EXPECT_THAT(error_of(parse_size("9007199254740992TiB")), HasSubstr("too large"));
}

TEST(ParseSizePerSecond, NeedsItsUnitOfTime) {
  EXPECT_EQ(parse_size_per_second("240B/s"), 240U);
  EXPECT_EQ(parse_size_per_second("1KiB/s"), 1024U);
  EXPECT_THAT(error_of(parse_size_per_second("240B")), HasSubstr("240B/s"));
  EXPECT_THAT(error_of(parse_size_per_second("240/s")), HasSubstr("no unit"));
  EXPECT_FALSE(parse_size_per_second("/s"));
  EXPECT_FALSE(parse_size_per_second("240B/m"));
}

TEST(ParseRate, ReadsEachPeriod) {
  EXPECT_EQ(parse_rate("100/s"), (Rate{100, 1s}));
  EXPECT_EQ(parse_rate("60/m"), (Rate{60, 1min}));
  EXPECT_EQ(parse_rate("1000/h"), (Rate{1000, 1h}));
  EXPECT_EQ(parse_rate("0/s"), (Rate{0, 1s}));
}

TEST(ParseRate, ExplainsWhatIsWrong) {
  EXPECT_EQ(error_of(parse_rate("10")), "'10' is not a rate: write it as 10/s, 10/m or 10/h");
  EXPECT_THAT(error_of(parse_rate("0.5/s")), HasSubstr("fraction"));
  EXPECT_THAT(error_of(parse_rate("10/min")), HasSubstr("write 10/m"));
  EXPECT_THAT(error_of(parse_rate("10/d")), HasSubstr("write 10/s, 10/m or 10/h"));
  EXPECT_THAT(error_of(parse_rate("10/ms")), HasSubstr("unknown period"));
  EXPECT_THAT(error_of(parse_rate("010/s")), HasSubstr("leading zeros"));
  for (const char* text : {"", "/s", "10/", "10 / s", "10/s/s", "-1/s", "10/S"}) EXPECT_FALSE(parse_rate(text)) << text;
}

TEST(ShowQuantity, ReadsBackAsTheSameValue) {
  EXPECT_EQ(show_duration(0ms), "0s");
  EXPECT_EQ(show_duration(250ms), "250ms");
  EXPECT_EQ(show_duration(1500ms), "1500ms");
  EXPECT_EQ(show_duration(90s), "90s");
  EXPECT_EQ(show_duration(1h), "1h");
  EXPECT_EQ(show_size(0), "0B");
  EXPECT_EQ(show_size(240), "240B");
  EXPECT_EQ(show_size(61440), "60KiB");
  EXPECT_EQ(show_size(536870912), "512MiB");
  for (const auto value : {0ms, 1ms, 999ms, 1000ms, 61000ms, 3600000ms})
    EXPECT_EQ(parse_duration(show_duration(value)), value);
  for (const std::uint64_t value : {0ULL, 1ULL, 1023ULL, 1024ULL, 1536ULL, 1ULL << 40})
    EXPECT_EQ(parse_size(show_size(value)), value);
}

}  // namespace
}  // namespace gatehouse::config
