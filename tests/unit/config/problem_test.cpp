// How problems are printed.
#include "config/problem.hpp"

#include <gmock/gmock.h>

namespace gatehouse::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Problem at(int line, int column, std::string_view text) {
  Problem problem{Severity::error, {"a.yaml", line, column}, "this is wrong", {}, 0};
  problem.show_source(text);
  return problem;
}

TEST(Problem, ShowsPlaceMessageLineAndCaret) {
  EXPECT_EQ(at(2, 5, "a: 1\nbcd: 2\n").to_string(), "a.yaml:2:5: error: this is wrong\n  bcd: 2\n      ^");
  Problem warning = at(1, 1, "a: 1\n");
  warning.severity = Severity::warning;
  EXPECT_EQ(warning.to_string(), "a.yaml:1:1: warning: this is wrong\n  a: 1\n  ^");
}

TEST(Problem, OfTheWholeFileIsAtItsBeginningAndShowsNoLine) {
  EXPECT_EQ(at(0, 0, "a: 1\n").to_string(), "a.yaml:1:1: error: this is wrong");
  EXPECT_EQ(at(7, 0, "a: 1\n").to_string(), "a.yaml:7:1: error: this is wrong");
  EXPECT_EQ(at(9, 1, "a: 1\n").to_string(), "a.yaml:9:1: error: this is wrong");
}

TEST(Problem, PutsTheCaretUnderTheCharacterBehindTabsAndUmlauts) {
  EXPECT_EQ(at(1, 4, "\tä: 1").to_string(), "a.yaml:1:4: error: this is wrong\n   ä: 1\n    ^");
}

TEST(Problem, ReplacesControlsAndInvalidBytesOfTheLine) {
  EXPECT_EQ(at(1, 6, "\x1b[2J\xFF!").to_string(),
            "a.yaml:1:6: error: this is wrong\n  \xEF\xBF\xBD[2J\xEF\xBF\xBD!\n       ^");
}

TEST(Problem, KeepsMessageAndFileToOneLine) {
  Problem problem{Severity::error, {"a\nb", 1, 1}, "x\r\ny", "", 0};
  EXPECT_EQ(problem.to_string(), "a\\nb:1:1: error: x\\r\\ny");
}

TEST(Problem, CutsALongLineAroundTheColumn) {
  const std::string line = std::string(5000, 'a') + "X" + std::string(5000, 'b');
  const Problem problem = at(1, 5001, line);
  EXPECT_EQ(problem.source_line.size(), 200U);
  ASSERT_GT(problem.caret, 0);
  EXPECT_EQ(problem.source_line[static_cast<std::size_t>(problem.caret) - 1], 'X');
  const std::string shown = problem.to_string();
  const auto caret_column = shown.size() - shown.rfind('\n') - 2;
  EXPECT_EQ(shown[shown.find('\n') + 1 + caret_column], 'X');
}

TEST(Problem, CutsALongLineAtItsEnds) {
  EXPECT_EQ(at(1, 1, std::string(5000, 'a')).caret, 1);
  const Problem last = at(1, 5000, std::string(4999, 'a') + "X");
  EXPECT_EQ(last.source_line[static_cast<std::size_t>(last.caret) - 1], 'X');
  EXPECT_EQ(at(1, 9000, std::string(5000, 'a')).source_line.size(), 200U);  // a column beyond the line
}

TEST(Problem, CutsALineGivenWhole) {
  const Problem problem{
      Severity::error, {"a.yaml", 1, 3000}, "x", std::string(2999, 'a') + "X" + std::string(3000, 'b'), 0};
  const std::string shown = problem.to_string();
  EXPECT_LT(shown.size(), 500U);
  const auto caret_column = shown.size() - shown.rfind('\n') - 2;
  EXPECT_EQ(shown[shown.find('\n') + 1 + caret_column], 'X');
}

TEST(Problem, DoesNotCutInsideACharacter) {
  std::string line;
  for (int i = 0; i < 1000; ++i) line += "ä";
  EXPECT_THAT(at(1, 1001, line).to_string(), Not(HasSubstr("\xEF\xBF\xBD")));
}

TEST(Problem, CutsALineOfBytesThatOnlyContinueCharacters) {
  EXPECT_LE(at(1, 1, std::string(5000, '\xBD')).source_line.size(), 203U);
}

TEST(Problem, NeverShowsASecretOfTheLine) {
  EXPECT_THAT(at(1, 2, "{url: \"redis://:hunter2@h\", password: hunter3}").to_string(), Not(HasSubstr("hunter")));
}

TEST(Problem, DropsCarriageReturns) { EXPECT_EQ(at(1, 1, "a: 1\r\nb: 2").source_line, "a: 1"); }

TEST(HasErrors, LooksPastWarnings) {
  const Problem warning{Severity::warning, {}, "w", "", 0};
  const Problem error{Severity::error, {}, "e", "", 0};
  EXPECT_FALSE(has_errors({}));
  EXPECT_FALSE(has_errors({warning}));
  EXPECT_TRUE(has_errors({warning, error}));
}

TEST(SortByPlace, GoesByLineThenColumn) {
  Problems problems{{Severity::error, {"f", 2, 1}, "c", "", 0},
                    {Severity::error, {"f", 1, 9}, "b", "", 0},
                    {Severity::error, {"f", 1, 2}, "a", "", 0}};
  sort_by_place(problems);
  EXPECT_EQ(problems[0].message + problems[1].message + problems[2].message, "abc");
}

}  // namespace
}  // namespace gatehouse::config
