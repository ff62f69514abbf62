// Finds which variables of TX may hold pieces that a tenant's rules have cut out of values: a letter of a password is no
// text that a mask could know again. And which rules show them. Used by waf/policy.cpp.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "waf/rule_text.hpp"

namespace gatehouse::waf {

class Pieces {
 public:
  /// `own`: the tenant's rules by id.
  explicit Pieces(const std::unordered_map<std::uint32_t, RuleText>& own);

  /// True if the rule looks at a piece or has one in its message. Rules of the platform's are told from what the tenant's
  /// have set alone, not from what they capture themselves.
  [[nodiscard]] bool shown_by(const RuleText& rule, bool own) const;

  /// False if the tenant's rules make no pieces.
  [[nodiscard]] bool any() const noexcept { return any_; }

 private:
  [[nodiscard]] bool is_piece(std::string_view name, bool own) const;
  [[nodiscard]] bool has_macro(std::string_view text, bool own, bool of_matched) const;
  [[nodiscard]] bool looks_at(const RuleText& rule, bool own) const;

  std::set<std::string, std::less<>> names_;  // lower case
  bool any_ = false;
};

}  // namespace gatehouse::waf
