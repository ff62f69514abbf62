// The SecLang parser: what it takes apart, and where it says that something is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/seclang.hpp"

namespace gatehouse::waf::seclang {
namespace {

TEST(SeclangParse, TakesARuleApart) {
  const Text text = parse(
      R"(SecRule ARGS:a|!ARGS:b|&REQUEST_HEADERS:Host|ARGS:/^x/|ARGS:'/a|b/' "!@rx ^\d+$" "id:10001,phase:2,deny,msg:'a, b',t:none,t:lowercase,setvar:'tx.x=+1'")");
  ASSERT_TRUE(text.errors.empty());
  ASSERT_EQ(text.directives.size(), 1u);
  const Directive& rule = text.directives[0];
  ASSERT_EQ(rule.variables.size(), 5u);
  EXPECT_EQ(rule.variables[0].name, "ARGS");
  EXPECT_EQ(rule.variables[0].selector, "a");
  EXPECT_TRUE(rule.variables[1].exclude);
  EXPECT_TRUE(rule.variables[2].count);
  EXPECT_TRUE(rule.variables[3].regex);
  EXPECT_EQ(rule.variables[3].selector, "^x");
  EXPECT_EQ(rule.variables[4].selector, "a|b");
  EXPECT_TRUE(rule.op.negated);
  EXPECT_EQ(rule.op.name, "rx");
  EXPECT_EQ(rule.op.argument, "^\\d+$");
  ASSERT_EQ(rule.actions.size(), 7u);
  EXPECT_EQ(rule.actions[3].name, "msg");
  EXPECT_EQ(rule.actions[3].value, "a, b");
  EXPECT_EQ(rule.actions[6].value, "tx.x=+1");
}

TEST(SeclangParse, JoinsContinuedLines) {
  const Text text =
      parse("SecRule ARGS \\\n   \"@contains a\\\n   b\" \\\r\n \"id:1,\\\n   phase:2,\\\n  deny\"\nSecMarker X\n");
  ASSERT_TRUE(text.errors.empty());
  ASSERT_EQ(text.directives.size(), 2u);
  EXPECT_EQ(text.directives[0].op.argument, "ab");
  ASSERT_EQ(text.directives[0].actions.size(), 3u);
  EXPECT_EQ(text.directives[0].actions[1].at.line, 5);
  EXPECT_EQ(text.directives[0].actions[1].at.column, 4);
  EXPECT_EQ(text.directives[1].at.line, 7);
}

TEST(SeclangParse, ReadsOperatorsWithoutNameAsPatterns) {
  const Text text = parse("SecRule ARGS \"!^a\" \"id:1\"\nSecRule ARGS foo id:2\n");
  ASSERT_TRUE(text.errors.empty());
  EXPECT_EQ(text.directives[0].op.name, "rx");
  EXPECT_TRUE(text.directives[0].op.negated);
  EXPECT_EQ(text.directives[0].op.argument, "^a");
  EXPECT_EQ(text.directives[1].op.argument, "foo");
  EXPECT_EQ(text.directives[1].actions[0].value, "2");
}

TEST(SeclangParse, KeepsEscapedQuotes) {
  const Text text = parse(R"(SecRule ARGS "@rx a\"b\\" "id:1")");
  ASSERT_TRUE(text.errors.empty());
  EXPECT_EQ(text.directives[0].op.argument, "a\\\"b\\\\");
}

TEST(SeclangParse, SkipsComments) {
  const Text text = parse("# SecRule ARGS x id:1\n   # more\nSecMarker A # B\n#SecAction \\\n#  \"id:2\"\n");
  EXPECT_TRUE(text.errors.empty());
  EXPECT_TRUE(text.doubts.empty());
  ASSERT_EQ(text.directives.size(), 1u);
}

TEST(SeclangParse, DoubtsCommentsThatSwallowALine) {
  const Text text = parse("# note \\\nSecRule ARGS x id:1\n");
  EXPECT_TRUE(text.directives.empty());
  ASSERT_EQ(text.doubts.size(), 1u);
  EXPECT_EQ(text.doubts[0].at.line, 1);
}

struct Wrong {
  const char* text;
  int line;
  int column;
};

class SeclangErrors : public ::testing::TestWithParam<Wrong> {};

TEST_P(SeclangErrors, HaveAPlace) {
  const Text text = parse(GetParam().text);
  ASSERT_EQ(text.errors.size(), 1u) << GetParam().text;
  EXPECT_EQ(text.errors[0].at.line, GetParam().line) << text.errors[0].message;
  EXPECT_EQ(text.errors[0].at.column, GetParam().column) << text.errors[0].message;
}

INSTANTIATE_TEST_SUITE_P(
    All, SeclangErrors,
    ::testing::Values(Wrong{"SecRule ARGS \"@rx a\n", 1, 14}, Wrong{"SecRule ARGS", 1, 1},
                      Wrong{"\n  SecRule A B C D", 2, 3}, Wrong{"SecRule ARGS x \"deny pass\"", 1, 22},
                      Wrong{"SecRule ARGS x \"msg:'a\"", 1, 21}, Wrong{"SecRule ARGS| x \"id:1\"", 1, 14},
                      Wrong{"SecRule ARGS:'a x", 1, 9}, Wrong{"=x", 1, 1}, Wrong{"SecAction", 1, 1},
                      Wrong{"SecRule ARGS \"x\"\"id:1\"", 1, 17}, Wrong{"SecRule ARGS x \"id:1,,deny\"", 1, 22},
                      Wrong{"SecRule ARGS: x id:1", 1, 9}, Wrong{"SecMarker a\rb", 1, 12}));

TEST(SeclangParse, FindsEveryError) {
  const Text text = parse("SecRule ARGS\nSecMarker a\nSecAction\n");
  EXPECT_EQ(text.errors.size(), 2u);
  EXPECT_EQ(text.directives.size(), 1u);
}

TEST(SeclangPlaces, CountFromOne) {
  const auto starts = line_starts("ab\nc\n");
  EXPECT_EQ(place_of(0, starts).line, 1);
  EXPECT_EQ(place_of(0, starts).column, 1);
  EXPECT_EQ(place_of(2, starts).column, 3);
  EXPECT_EQ(place_of(3, starts).line, 2);
  EXPECT_EQ(place_of(5, starts).line, 3);
}

}  // namespace
}  // namespace gatehouse::waf::seclang
