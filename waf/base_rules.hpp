// Our own base configuration, in the place of the modsecurity.conf that other connectors ask their users to write.
// Loaded by waf/engine.cpp before the platform's files.
#pragma once

#include <cstddef>
#include <string_view>

#include "waf/modsecurity.hpp"

namespace gatehouse::waf {

inline constexpr std::size_t max_arguments = 999;  // a thousand and more are refused by rule 200007
inline constexpr std::size_t max_json_depth = 64;

// What INBOUND_DATA_ERROR says, beside the library's 1, of a body that its parser is not given (waf/body_bounds.hpp).
inline constexpr int xml_beyond_bounds = 2;        // rule 200008
inline constexpr int multipart_beyond_bounds = 3;  // rule 200009
inline constexpr int json_beyond_bounds = 5;  // rule 200013
// And of one that its parser is given all the same.
inline constexpr int unknown_charset = 4;  // rule 200012
inline constexpr int unknown_charset_and_multipart = 7;  // rules 200009 and 200012

/// SecLang: which body is read by which processor, and what is refused because it could not be read for certain.
/// Rules 200000 to 200013.
[[nodiscard]] std::string_view base_rules() noexcept;

/// What a policy says about its set beyond rules.
struct SetProperties {
  bool block = true;                  // false: rules are evaluated, nothing is denied
  bool response_body = false;
  std::size_t request_body_bytes = 0; // what the gateway reads at most; longer never reaches the library
};

/// Limits and switches, set as values so that no text has to be parsed: nothing is inherited from silence, since an
/// unset limit in libmodsecurity means "drop what is over it" or "no limit".
void apply_properties(const SetProperties& properties, modsecurity::RulesSet& set);

}  // namespace gatehouse::waf
