// SecLang as data. A parser of our own, so that what a tenant wrote is understood before libmodsecurity sees any of
// it, and so that we know of each platform rule what it looks at. Used by waf/seclang_check.cpp and
// waf/rule_index.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::waf::seclang {

/// A place in the text; both count from 1, columns in bytes.
struct Position {
  int line = 1;
  int column = 1;
};

struct Error {
  Position at;
  std::string message;
};

/// One argument of a directive as written, without its double quotes; line continuations are resolved, backslashes
/// are kept.
struct Word {
  std::string text;
  std::vector<std::uint32_t> offsets;  // of each byte in the source, and one of the end
  bool quoted = false;
};

/// One of the things that a rule looks at: "ARGS", "!ARGS:x", "&REQUEST_HEADERS:Host", "ARGS:/^a/".
struct Variable {
  Position at;
  bool exclude = false;
  bool count = false;
  std::string name;      // upper case
  std::string selector;  // as written, without slashes if it is a regular expression
  bool has_selector = false;
  bool regex = false;
};

struct Operator {
  Position at;
  Position argument_at;
  bool negated = false;
  std::string name;      // as written, without "@"; "rx" where none is named
  std::string argument;  // everything behind the blank that follows the name
};

struct Action {
  Position at;
  std::string name;      // lower case
  std::string value;     // without single quotes
  Position value_at;
  bool has_value = false;
};

struct Directive {
  Position at;
  std::string name;                  // as written
  std::vector<Word> words;           // of directives other than SecRule and SecAction
  std::vector<Variable> variables;   // SecRule
  Operator op;                       // SecRule
  std::vector<Action> actions;       // SecRule, SecAction
};

struct Text {
  std::vector<Directive> directives;
  std::vector<Error> errors;         // a directive with an error is left out
  std::vector<Error> doubts;         // what libmodsecurity reads as we do, and an author may not
};

/// Splits the text into directives, and SecRule and SecAction into their parts. Never throws for any input.
[[nodiscard]] Text parse(std::string_view text);

/// A list of variables, as in SecRule ("|" between them) and SecRuleUpdateTargetById ("," as well).
[[nodiscard]] std::vector<Variable> parse_variables(const Word& word, std::string_view separators,
                                                    const std::vector<std::uint32_t>& line_starts,
                                                    std::vector<Error>& errors);

/// Offsets at which lines begin, for place_of.
[[nodiscard]] std::vector<std::uint32_t> line_starts(std::string_view text);
[[nodiscard]] Position place_of(std::uint32_t offset, const std::vector<std::uint32_t>& line_starts);

[[nodiscard]] std::string upper_case(std::string_view text);
[[nodiscard]] std::string lower_case(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

}  // namespace gatehouse::waf::seclang
