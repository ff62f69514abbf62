// A platform rule as its text says it, kept beside libmodsecurity's opaque object. Made by waf/platform_rules.cpp.
#pragma once

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

}  // namespace gatehouse::waf
