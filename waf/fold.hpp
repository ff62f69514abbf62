// Decides, when a policy is made, what does not depend on requests.
//
// Most of what CRS runs on a request is book-keeping: it sets a few dozen variables to constants unless they are set,
// and before each group of rules asks whether the paranoia level is below one, two, three, four. With a tenant's
// values given, the answers are the same for every request. Rules whose outcome is certain are left out of the
// policy, together with what they would have skipped; what they would have set is set at once. A rule is left alone
// as soon as anything that the policy can do might change its outcome. Called by waf/policy.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "waf/rule_text.hpp"

namespace gatehouse::waf {

using TxValues = std::vector<std::pair<std::string, std::string>>;  // variables of TX, in the order of setting

class Folder {
 public:
  /// One step of a phase.
  struct Item {
    std::uint32_t id = 0;
    const RuleText* text = nullptr;        // null: nothing is known of the rule
    const std::string* marker = nullptr;   // the name, if this is a SecMarker
    const TxValues* values = nullptr;      // a step that sets these, if it is one
    bool keep = false;                     // may be left out at run time, or does other than its text says
  };
  enum class Action { run, drop, set };
  struct Decision {
    Action action = Action::run;
    TxValues values;  // Action::set: to be set in the place of the rule
  };

  /// `phases`: every step of the policy, since a rule anywhere may change what another sees. `allowed`: false if the
  /// platform's configuration changes what rules mean (SecDefaultAction with transformations and the like).
  Folder(const std::vector<std::vector<Item>>& phases, bool allowed);

  /// False if some rule depends on whether others were run, so that none may be left out.
  [[nodiscard]] bool allowed() const noexcept { return allowed_; }

  /// Decisions for the phases in order, one for each item.
  [[nodiscard]] std::vector<std::vector<Decision>> fold(std::size_t first_phase);
#ifdef GATEHOUSE_SCREEN
  /// The same where no phase is ever ended by one of its rules, so that each begins with what the one before has left.
  [[nodiscard]] std::vector<std::vector<Decision>> fold_running_through(std::size_t first_phase);
#endif

 private:
  struct Region {  // steps that a kept rule may skip
    std::string marker;
    std::set<std::string> changed;
  };
  /// What is known of TX at some point. A name of which nothing is noted is not set.
  struct State {
    std::map<std::string, std::string> known;
    std::size_t known_bytes = 0;
    std::set<std::string> unknown;
    std::vector<std::string> unknown_prefixes;

    void set(const std::string& name, const std::string& value);
    void drop(const std::string& name);
    void forget(const std::string& name);
    void forget_prefix(const std::string& prefix);
    [[nodiscard]] bool is_unknown(const std::string& name) const;
  };

  std::vector<Decision> fold_phase(const std::vector<Item>& items, State& state, bool first);
  [[nodiscard]] static bool skips_past(const std::vector<Item>& items, std::size_t at,
                                       const std::vector<Region>& regions);
  Decision decide(const Item& item, const State& state) const;
  [[nodiscard]] std::optional<bool> outcome(const RuleLink& link, const State& state) const;
#ifdef GATEHOUSE_SCREEN
  [[nodiscard]] std::optional<std::string> summed(const std::string& name, const std::string& value,
                                                  const State& state) const;
#endif
  [[nodiscard]] std::optional<std::string> expanded(const std::string& text, const State& state) const;
  void note_effects(const RuleText* text, State& state, std::vector<Region>& regions);
  [[nodiscard]] bool removable_at_run_time(const Item& item) const;
  void look_for_obstacles(const RuleText& text);

  const std::vector<std::vector<Item>>& phases_;
  bool allowed_;
  // By ctl:ruleRemoveById and ctl:ruleRemoveByTag of some rule, or a variable of TX in them by ...TargetById and ByTag.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> removed_ids_;
  std::set<std::string> removed_tags_;
  std::set<std::string> uncertain_;  // set in the first phase behind a rule that may end it
  bool may_have_left_ = false;
};

}  // namespace gatehouse::waf
