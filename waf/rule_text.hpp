// A rule as its text says it, kept beside libmodsecurity's opaque object. Made by waf/platform_rules.cpp.
#pragma once

#include <string_view>
#include <vector>

#include "waf/seclang.hpp"

namespace gatehouse::waf {

struct RuleLink {
  std::vector<seclang::Variable> variables;  // empty: SecAction
  seclang::Operator op;
  std::vector<seclang::Action> actions;
};

/// A rule and, if it is a chain, the rules that follow. No links: the text is not known.
struct RuleText {
  std::vector<RuleLink> links;
};

/// What rules look at beyond their texts, by SecRuleUpdateTargetById and its like.
struct AddedTargets {
  bool tx = false;            // some rule at a variable of TX
  bool request_body = false;  // some rule at the request's body or what comes of it
  bool by_name = false;       // there are additions by tag or message, to whichever rules

  AddedTargets& operator|=(const AddedTargets& other) noexcept {
    tx = tx || other.tx;
    request_body = request_body || other.request_body;
    by_name = by_name || other.by_name;
    return *this;
  }
};

/// Of a text in which there is an error: all of them.
[[nodiscard]] AddedTargets added_targets(const seclang::Text& text);

/// Whether a variable, in upper case, comes of the request's body: arguments, files or the body itself.
[[nodiscard]] bool is_of_request_body(std::string_view variable) noexcept;

}  // namespace gatehouse::waf
