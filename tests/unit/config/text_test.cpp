// Text of others in messages: escapes, cuts, masks; and suggestions for words.
#include "config/text.hpp"

#include <gmock/gmock.h>

#include <array>

#include "config/spelling.hpp"

namespace gatehouse::config {
namespace {

using ::testing::Eq;

TEST(Printable, KeepsText) {
  EXPECT_EQ(printable("shop.example: ok"), "shop.example: ok");
  EXPECT_EQ(printable("Köln 東京 🙂"), "Köln 東京 🙂");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, EscapesWhatWouldBreakALine) {
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(printable(std::string_view("\0\x1b[31m\x7f", 7)), "\\x00\\x1b[31m\\x7f");
  EXPECT_EQ(printable("\xC2\x85\xC2\x9B"), "\\u{85}\\u{9b}");              // NEL and CSI of C1
  EXPECT_EQ(printable("\xE2\x80\xA8\xE2\x80\xA9"),
            "\\u{2028}\\u{2029}");  // separators that JavaScript and editors obey
}

TEST(Printable, EscapesWhatHidesOrReorders) {
  EXPECT_EQ(printable("a\xE2\x80\xAE"
                      "b"),
            "a\\u{202e}b");  // right-to-left override
  EXPECT_EQ(printable("\xE2\x80\x8B"), "\\u{200b}");
  EXPECT_EQ(printable("\xEF\xBB\xBF"), "\\u{feff}");
  EXPECT_EQ(printable("\xF3\xA0\x81\x81"), "\\u{e0041}");  // a tag character
}

TEST(Printable, ReplacesInvalidUtf8) {
  EXPECT_EQ(printable("a\xFF"
                      "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(printable("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");              // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
  EXPECT_EQ(printable("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");              // cut off
  EXPECT_EQ(printable("\xF4\x90\x80\x80").substr(0, 3), "\xEF\xBF\xBD");      // above U+10FFFF
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("aäö", 2), "a...");
  EXPECT_EQ(printable("aäö", 3), "aä...");
  EXPECT_EQ(printable("ab\n", 3), "ab...");  // an escape is not cut in the middle
  EXPECT_LE(printable(std::string(1'000'000, '\n'), 100).size(), 103U);
}

TEST(Cite, PutsQuotesAround) { EXPECT_EQ(cite("a\nb"), "'a\\nb'"); }

TEST(FindInvalidUtf8, TellsTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8("Köln"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("K\xF6ln"), 1U);
  EXPECT_EQ(find_invalid_utf8("abc\xE2\x82"), 3U);
}

std::string masked(std::string_view line) {
  int column = 0;
  return without_secrets(line, column);
}

TEST(WithoutSecrets, MasksTheUserPartOfUrls) {
  EXPECT_EQ(masked("url: redis://:hunter2@host/0"), "url: redis://***@host/0");
  EXPECT_EQ(masked("redis: {url: \"rediss://me:p@ss/w:rd@host:1/0\"}"), "redis: {url: \"rediss://***@host:1/0\"}");
  EXPECT_EQ(masked("url: redis://host/0"), "url: redis://host/0");
  EXPECT_EQ(masked("a: redis://x:1@h b: redis://y:2@h"), "a: redis://***@h b: redis://***@h");
}

TEST(WithoutSecrets, MasksValuesOfSecretKeys) {
  EXPECT_EQ(masked("password: hunter2"), "password: ***");
  EXPECT_EQ(masked("  Password: 'hunter 2'  # x"), "  Password: ***  # x");
  EXPECT_EQ(masked("{url: x, password: hunter2, b: c}"), "{url: x, password: ***, b: c}");
  EXPECT_EQ(masked("{password: hunter2}"), "{password: ***}");
  EXPECT_EQ(masked("{\"client-secret\":\"a, b\"}"), "{\"client-secret\":***}");
  EXPECT_EQ(masked("password: p}w,x:y"), "password: ***");
}

TEST(WithoutSecrets, LeavesTheRestAlone) {
  EXPECT_EQ(masked("password_file: /etc/secret"), "password_file: /etc/secret");
  EXPECT_EQ(masked("mask: [password, token]"), "mask: [password, token]");
  EXPECT_EQ(masked("SecRule ARGS:password \"@rx x\""), "SecRule ARGS:password \"@rx x\"");
  EXPECT_EQ(masked("password:"), "password:");
}

TEST(WithoutSecrets, MovesTheColumnAlong) {
  int behind = 36;
  EXPECT_EQ(without_secrets("{url: redis://:longpassword@host/0, bad: 1}", behind),
            "{url: redis://***@host/0, bad: 1}");
  EXPECT_EQ(behind, 26);
  int inside = 20;
  EXPECT_EQ(without_secrets("{url: redis://:longpassword@host/0}", inside), "{url: redis://***@host/0}");
  EXPECT_EQ(inside, 15);
  int before = 7;
  EXPECT_EQ(without_secrets("{url: redis://:longpassword@host/0}", before), "{url: redis://***@host/0}");
  EXPECT_EQ(before, 7);
}

TEST(IsToken, FollowsRfc9110) {
  EXPECT_TRUE(is_token("X-Api-Key"));
  EXPECT_TRUE(is_token("!#$%&'*+-.^_`|~09azAZ"));
  for (const char* text : {"", "a b", "a:b", "a/b", "ä", "a\n", "(a)"}) EXPECT_FALSE(is_token(text)) << text;
}

TEST(EditDistance, CountsSteps) {
  EXPECT_EQ(edit_distance("rate", "rate"), 0U);
  EXPECT_EQ(edit_distance("rate", "rat"), 1U);
  EXPECT_EQ(edit_distance("rate", "raet"), 1U);  // neighbours swapped
  EXPECT_EQ(edit_distance("Rate-Limits", "rate_limits"), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_GE(edit_distance(std::string(1'000'000, 'a'), "rate"), 64U);
}

TEST(Suggestion, NamesTheNearestOrAll) {
  static constexpr std::array<std::string_view, 3> known{"certificate_file", "key_file", "rate_limits"};
  EXPECT_EQ(suggestion("keyfile", known), "; did you mean 'key_file'?");
  EXPECT_EQ(suggestion("certificate", known), "; did you mean 'certificate_file'?");
  EXPECT_EQ(suggestion("ratelimits", known), "; did you mean 'rate_limits'?");
  EXPECT_EQ(suggestion("timeout", known), "; known are 'certificate_file', 'key_file', 'rate_limits'");
  EXPECT_EQ(suggestion("x", std::span<const std::string_view>()), "");
}

}  // namespace
}  // namespace gatehouse::config
