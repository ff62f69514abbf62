// The part of SecLang's vocabulary that tenants may use (CONTRACT: Tenant SecLang). Used by waf/seclang_check.cpp
// and, for the names of collections, by waf/exclusions.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gatehouse::waf::seclang {

enum class VariableKind : std::uint8_t {
  refused,     // not on the list
  scalar,      // one value, no selector: REQUEST_URI
  collection,  // many values, a selector names one: ARGS
  tx,          // the transaction's own variables
  xml,         // XPath, of which two expressions are on the list
};

/// `name` in upper case.
[[nodiscard]] VariableKind variable_kind(std::string_view name) noexcept;

enum class Argument : std::uint8_t {
  none,        // detectSQLi
  pattern,     // rx: PCRE2
  text,        // streq, contains ...: text and macros
  words,       // pm: words separated by blanks, no macros
  number,      // eq ...: a number or a macro
  networks,    // ipMatch
  byte_ranges, // validateByteRange
};

struct OperatorWord {
  std::string_view name;  // as libmodsecurity spells it
  Argument argument;
};

/// Looks an operator up without regard to case; null if it is not on the list.
[[nodiscard]] const OperatorWord* operator_word(std::string_view name) noexcept;

/// The transformation's canonical name, empty if there is none of this name.
[[nodiscard]] std::string_view transformation(std::string_view name) noexcept;

/// "CRITICAL" for "critical" and "2"; empty if there is none.
[[nodiscard]] std::string_view severity_name(std::string_view value) noexcept;
[[nodiscard]] std::string_view severity_name(int value) noexcept;

/// What messages say is allowed.
[[nodiscard]] std::string_view allowed_operators() noexcept;
[[nodiscard]] std::string_view allowed_actions(bool trusted) noexcept;

}  // namespace gatehouse::waf::seclang
