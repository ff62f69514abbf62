// The parts of a tenant's SecRule that carry text: variables, operators, the values of actions. Each is checked and
// written in a form that libmodsecurity's scanner reads as we do. Used by waf/seclang_check.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waf/seclang.hpp"

namespace gatehouse::waf::seclang {

inline constexpr std::size_t max_pattern_bytes = 4096;
inline constexpr std::size_t max_macros = 4;         // of a value or an argument: each may be as long as a body
inline constexpr std::size_t max_label_macros = 16;  // of msg and logdata, which go nowhere else

class ValueWriter {
 public:
  /// What is refused goes to `errors`.
  explicit ValueWriter(std::vector<Error>& errors) : errors_(errors) {}

  // Each returns the canonical form, or nothing after it has reported an error.
  std::optional<std::string> variables(const std::vector<Variable>& list);
  std::optional<std::string> variable(const Variable& variable);
  std::optional<std::string> operator_text(const Operator& op);
  std::optional<std::string> label(const Action& action, bool macros);  // msg, logdata, tag
  std::optional<std::string> setvar(const Action& action);
  std::optional<std::string> ctl(const Action& action);

 private:
  using Result = std::optional<std::string>;
  enum class Text { label, argument, words, variable_value };

  std::nullopt_t refuse(Position at, std::string message);
  Result variable(const Variable& variable, bool& alternation);
  Result name_pattern(const Variable& variable, bool& alternation);
  Result pattern(std::string_view text, Position at, std::string_view what);
  Result argument(std::string_view operator_name, const Operator& op);
  Result text(std::string_view text, Position at, Text kind, bool macros, std::string_view what);
  bool macro(std::string_view text, std::size_t& at, Position place, std::string& out);

  std::vector<Error>& errors_;
};

/// Letters, digits, "_", "-" and ".": 1 to 128 of them.
[[nodiscard]] bool is_key(std::string_view text) noexcept;

[[nodiscard]] std::optional<std::uint32_t> whole_number(std::string_view text) noexcept;

/// What an error shows of the tenant's words: short, without what a terminal would act on.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace gatehouse::waf::seclang
