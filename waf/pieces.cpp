#include "waf/pieces.hpp"

#include <algorithm>

namespace gatehouse::waf {
namespace {

// TX:0 to TX:9 are what the last rule with "capture" has found.
bool is_capture(std::string_view name) noexcept {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Pieces::Pieces(const std::unordered_map<std::uint32_t, RuleText>& own) {
  // What is set from a piece is one: until nothing is added.
  for (bool added = true; added;) {
    added = false;
    for (const auto& [id, rule] : own) {
      const bool looks = looks_at(rule, true);
      any_ = any_ || looks;
      for (const RuleLink& link : rule.links) {
        for (const seclang::Action& action : link.actions) {
          if (action.name == "capture" || has_macro(action.value, true, false)) any_ = true;
          if (action.name != "setvar" || action.value.size() < 4) continue;
          const std::string lower = seclang::lower_case(action.value);
          const std::size_t equals = lower.find('=');
          if (equals == std::string::npos || equals < 4 || !has_macro(lower.substr(equals), true, looks)) continue;
          added = names_.insert(lower.substr(3, equals - 3)).second || added;  // behind "tx."
        }
      }
    }
  }
}

bool Pieces::is_piece(std::string_view name, bool own) const {
  return names_.contains(name) || (own && is_capture(name));
}

// `of_matched`: what has matched is a piece.
bool Pieces::has_macro(std::string_view text, bool own, bool of_matched) const {
  const std::string lower = seclang::lower_case(text);
  for (std::size_t at = lower.find("%{"); at != std::string::npos; at = lower.find("%{", at + 2)) {
    const std::string_view macro = std::string_view(lower).substr(at + 2, lower.find('}', at) - at - 2);
    if (macro.starts_with("tx") && macro.size() > 3 && is_piece(macro.substr(3), own)) return true;
    if (of_matched && macro.starts_with("matched_var")) return true;
  }
  return false;
}

bool Pieces::looks_at(const RuleText& rule, bool own) const {
  for (const RuleLink& link : rule.links) {
    const bool first = &link == &rule.links.front();
    for (const seclang::Variable& variable : link.variables) {
      if (variable.exclude) continue;
      if (own && first && variable.name.starts_with("MATCHED_VAR")) return true;  // of a rule before
      if (variable.name != "TX") continue;
      const bool many = !variable.has_selector || variable.regex || variable.selector.contains("%{");
      if (many ? own || !names_.empty() : is_piece(seclang::lower_case(variable.selector), own)) return true;
    }
  }
  return false;
}

bool Pieces::shown_by(const RuleText& rule, bool own) const {
  const bool looks = looks_at(rule, own);
  return looks || std::ranges::any_of(rule.links, [&](const RuleLink& link) {
           return std::ranges::any_of(link.actions, [&](const seclang::Action& action) {
             return action.name == "msg" && has_macro(action.value, own, looks);
           });
         });
}

}  // namespace gatehouse::waf
