// JSON text of hostile values.
#include "gateway/runtime/json.hpp"

#include <gtest/gtest.h>

namespace gatehouse::runtime {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonString, KeepsPlainTextAndUtf8) {
  EXPECT_EQ(json("abc/=?"), "\"abc/=?\"");
  EXPECT_EQ(json("Grüße €"), "\"Grüße €\"");
  EXPECT_EQ(json("\xF0\x9F\x9A\xAA"), "\"\xF0\x9F\x9A\xAA\"");
}

TEST(JsonString, EscapesQuotesBackslashesAndControls) {
  EXPECT_EQ(json("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(json("a\nb\r\t\x01"), "\"a\\u000ab\\u000d\\u0009\\u0001\"");
  EXPECT_EQ(json(std::string_view("\0\x7f", 2)), "\"\\u0000\\u007f\"");
}

TEST(JsonString, EscapesWhatMovesTheCursorOrHides) {
  EXPECT_EQ(json("\xC2\x80\xC2\x9B"
                 "31m\xC2\x9F"),
            "\"\\u0080\\u009b31m\\u009f\"");  // C1 controls
  EXPECT_EQ(json("\xE2\x80\xA8\xE2\x80\xAE"), "\"\\u2028\\u202e\"");  // a line separator, right to left
  EXPECT_EQ(json("\xE2\x81\xA6\xEF\xBB\xBF\xC2\xAD"), "\"\\u2066\\ufeff\\u00ad\"");
  EXPECT_EQ(json("\xC2\xA0\xE2\x80\x90"), "\"\xC2\xA0\xE2\x80\x90\"");
}

TEST(JsonString, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(json("\xff"), "\"\\ufffd\"");
  EXPECT_EQ(json("\xC0\xAF"), "\"\\ufffd\\ufffd\"");           // overlong
  EXPECT_EQ(json("\xED\xA0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");  // a surrogate
  EXPECT_EQ(json("\xE2\x82"), "\"\\ufffd\\ufffd\"");            // cut off
  EXPECT_EQ(json("\xF5\x80\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

TEST(JsonObject, SeparatesMembers) {
  std::string out;
  JsonObject object(out);
  object.text("a", "x");
  object.number("b", 18446744073709551615ULL);
  object.boolean("c", false);
  object.close();
  EXPECT_EQ(out, R"({"a":"x","b":18446744073709551615,"c":false})");
}

}  // namespace
}  // namespace gatehouse::runtime
