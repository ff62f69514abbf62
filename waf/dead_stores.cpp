#include "waf/dead_stores.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "waf/exclusions.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

using seclang::equals_ignoring_case;
using seclang::lower_case;

/// What some rule, or the gateway itself, reads of TX.
struct Reads {
  std::set<std::string> names;
  std::vector<NamePattern> patterns;
  bool everything = false;

  Reads() {
    // waf/transaction.cpp
    for (const char* name : {"anomaly_score", "blocking_inbound_anomaly_score"}) names.insert(name);
    for (const char level : {'1', '2', '3', '4'}) {
      names.insert(std::string("anomaly_score_pl") + level);
      names.insert(std::string("inbound_anomaly_score_pl") + level);
    }
  }
  void note_macros(std::string_view text) {
    const std::string lower = lower_case(text);
    for (std::size_t at = lower.find("%{tx"); at != std::string::npos; at = lower.find("%{tx", at + 1)) {
      const std::size_t close = lower.find('}', at);
      if (close == std::string::npos || close < at + 6) {
        everything = true;
        return;
      }
      names.insert(lower.substr(at + 5, close - at - 5));
    }
  }
  void note(const RuleText& text) {
    for (const RuleLink& link : text.links) {
      for (const seclang::Variable& variable : link.variables) {
        if (variable.name != "TX" || variable.exclude) continue;
        if (!variable.has_selector || variable.selector.find("%{") != std::string::npos) {
          everything = true;
        } else if (variable.regex) {
          if (auto pattern = NamePattern::compile(variable.selector)) {
            patterns.push_back(std::move(*pattern));
          } else {
            everything = true;
          }
        } else {
          names.insert(lower_case(variable.selector));
        }
      }
      note_macros(link.op.argument);
      for (const seclang::Action& action : link.actions) note_macros(action.value);
    }
  }
  [[nodiscard]] bool of(const std::string& name) const {
    return everything || names.contains(name) ||
           std::any_of(patterns.begin(), patterns.end(),
                       [&](const NamePattern& pattern) { return pattern.matches(name); });
  }
};

bool is_pure_operator(std::string_view name) {
  if (seclang::operator_word(name) != nullptr) return true;
  for (const std::string_view pure :
       {"unconditionalMatch", "containsWord", "strmatch", "pmf", "pmFromFile", "ipMatchF", "ipMatchFromFile"}) {
    if (equals_ignoring_case(pure, name)) return true;
  }
  return false;
}

// True if the action changes nothing that anyone can see.
bool is_unseen(const seclang::Action& action, const Reads& reads) {
  static constexpr std::string_view unseen[] = {"id",  "phase", "pass", "nolog",   "noauditlog", "auditlog", "ver",
                                                "rev", "tag",   "msg",  "logdata", "t",          "chain"};
  if (std::find(std::begin(unseen), std::end(unseen), action.name) != std::end(unseen)) return true;
  if (action.name == "ctl") {
    // Of libmodsecurity's audit log there is none; forceRequestBodyVariable it accepts and ignores.
    const std::string name = lower_case(std::string_view(action.value).substr(0, action.value.find('=')));
    return name == "auditlogparts" || name == "auditengine" || name == "forcerequestbodyvariable";
  }
  if (action.name != "setvar") return false;
  std::string name = lower_case(std::string_view(action.value).substr(0, action.value.find('=')));
  if (name.starts_with('!')) name.erase(0, 1);
  if (!name.starts_with("tx.") && !name.starts_with("tx:")) return false;
  name.erase(0, 3);
  return name.find("%{") == std::string::npos && !reads.of(name);
}

bool is_unseen(const RuleText& text, const Reads& reads) {
  const auto& first = text.links.front().actions;
  const auto says = [&](std::string_view name) {
    return std::any_of(first.begin(), first.end(), [&](const auto& action) { return action.name == name; });
  };
  if (!says("pass") || !says("nolog")) return false;
  return std::all_of(text.links.begin(), text.links.end(), [&](const RuleLink& link) {
    return (link.variables.empty() || is_pure_operator(link.op.name)) &&
           std::all_of(link.actions.begin(), link.actions.end(),
                       [&](const auto& action) { return is_unseen(action, reads); });
  });
}

}  // namespace

std::vector<std::vector<bool>> without_effect(const std::vector<std::vector<Folder::Item>>& phases, bool tx_is_read) {
  std::vector<std::vector<bool>> out;
  out.reserve(phases.size());
  for (const auto& items : phases) out.emplace_back(items.size(), false);
  while (true) {  // a rule that is left out reads nothing any more
    Reads reads;
    reads.everything = tx_is_read;
    for (std::size_t phase = 0; phase < phases.size(); ++phase) {
      for (std::size_t i = 0; i < phases[phase].size(); ++i) {
        const Folder::Item& item = phases[phase][i];
        if (item.marker != nullptr || item.values != nullptr || out[phase][i]) continue;
        if (item.text == nullptr || item.text->links.empty()) return out;
        reads.note(*item.text);
      }
    }
    bool changed = false;
    for (std::size_t phase = 0; phase < phases.size(); ++phase) {
      for (std::size_t i = 0; i < phases[phase].size(); ++i) {
        const Folder::Item& item = phases[phase][i];
        if (item.marker != nullptr || item.values != nullptr || out[phase][i] || !is_unseen(*item.text, reads))
          continue;
        out[phase][i] = true;
        changed = true;
      }
    }
    if (!changed) return out;
  }
}

}  // namespace gatehouse::waf
