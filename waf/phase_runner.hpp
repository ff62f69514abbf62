// Runs the rules of one phase of one policy in the place of libmodsecurity's own loop, with the same result.
//
// A policy's set holds, for each phase, one rule: the runner. The library evaluates it as it would any rule, and the
// runner evaluates the policy's rules in order. That puts a tenant's rules between the platform's without parsing
// those anew, shares them without counting references on every evaluation, leaves out rules that have nothing to
// look at, and stops when the transaction's time is spent. Made by waf/policy.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "waf/exclusions.hpp"
#include "waf/harvest.hpp"
#include "waf/modsecurity.hpp"
#include "waf/rule_hooks.hpp"
#include "waf/variable_slots.hpp"

namespace gatehouse::waf {

/// libmodsecurity's transaction with what the runner needs of ours.
class RunTransaction : public modsecurity::Transaction {
 public:
  RunTransaction(modsecurity::ModSecurity& library, modsecurity::RulesSet& rules, char* id, const Masker& masker)
      : modsecurity::Transaction(&library, &rules, id, nullptr), harvest(masker) {}

  Harvest harvest;
  Exclusions::Active exclusions;
  TxAccount tx_account;
  std::function<void()> before_body_rules;  // called when the body has been parsed
};

class PhaseRunner final : public modsecurity::Rule {
 public:
  struct Step {
    modsecurity::Rule* rule;                    // owned by the policy or the platform's rules
    modsecurity::RuleWithActions* actions;      // the same, if it has actions; null for markers
    SlotMask needs;
    bool marker;
    bool may_be_excluded;                       // whole, on some path
    bool has_excluded_targets = false;          // on some path
    bool own = false;                           // the tenant's: what it makes is bounded
    std::vector<std::string> constants = {};    // of msg, see Harvest::take
    bool encodes = false;                       // the same
    bool pieces = false;                        // the same
  };

  /// `slots` belong to whoever owns the runner and outlive it.
  PhaseRunner(int phase, std::vector<Step> steps, const VariableSlots& slots);

  bool evaluate(modsecurity::Transaction* transaction) override;
  bool evaluate(modsecurity::Transaction* transaction, std::shared_ptr<modsecurity::RuleMessage> message) override;

  [[nodiscard]] const std::vector<Step>& steps() const noexcept { return steps_; }

  /// For tests that compare: run every rule, whether it has something to look at or not.
  static void run_everything(bool on) noexcept;

 private:
  bool skipped(const Step& step, RunTransaction& transaction) const;

  std::vector<Step> steps_;
  SlotMask used_ = always_present;  // by any step
  const VariableSlots& slots_;
};

}  // namespace gatehouse::waf
