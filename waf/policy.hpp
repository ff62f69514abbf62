// A policy: the rules of one or more tenants in the order in which they run, as libmodsecurity's set. Made by
// waf/engine.cpp, run by waf/transaction.cpp.
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "waf/exclusions.hpp"
#include "waf/fold.hpp"
#include "waf/modsecurity.hpp"
#include "waf/phase_runner.hpp"
#include "waf/platform_rules.hpp"
#include "waf/policy_plan.hpp"
#ifdef GATEHOUSE_SCREEN
#include "waf/screen/program.hpp"
#endif
#include "waf/waf.hpp"

namespace gatehouse::waf {

class RulePolicy final : public Policy {
 public:
  /// Fails with libmodsecurity's message if it does not take what our parser took, which would be a defect of ours.
  static std::expected<std::unique_ptr<RulePolicy>, std::string> make(const PolicyPlan& plan,
                                                                      std::shared_ptr<const PlatformRules> platform);

  [[nodiscard]] config::WafMode mode() const noexcept override { return mode_; }
  [[nodiscard]] std::size_t rule_count() const noexcept override { return rule_count_; }

  /// libmodsecurity's interface is not const, but evaluation only reads the set; threads may share it.
  [[nodiscard]] modsecurity::RulesSet& set() const noexcept { return *set_; }
  [[nodiscard]] const Exclusions& exclusions() const noexcept { return exclusions_; }
  [[nodiscard]] std::size_t body_limit() const noexcept { return body_limit_; }
  /// False if what came of the request's body is not looked at after phase 2.
  [[nodiscard]] bool needs_request_body_later() const noexcept { return needs_request_body_later_; }
  /// True if rules of the tenant's own run after phase 2, which may show what earlier ones have copied from the request.
  [[nodiscard]] bool copies_later() const noexcept { return copies_later_; }
  /// True if rules of the tenant's own encode values, so that what rules have copied may be a secret in a form of any kind.
  [[nodiscard]] bool own_rules_encode() const noexcept { return own_rules_encode_; }
  /// For tests that compare: policies that are made from now on run every rule.
  static void fold_rules(bool on) noexcept;

#ifdef GATEHOUSE_SCREEN
  /// What the screen decides of it.
  [[nodiscard]] const screen::Program& program() const noexcept { return *program_; }
#endif

  [[nodiscard]] const PhaseRunner* runner(modsecurity::Phases phase) const noexcept { return runners_[phase].get(); }

  /// False if no rule of this phase would ever run.
  [[nodiscard]] bool has_rules(modsecurity::Phases phase) const noexcept { return runners_[phase] != nullptr; }

 private:
  RulePolicy(const PolicyPlan& plan, std::shared_ptr<const PlatformRules> platform);
  std::expected<void, std::string> assemble(const PolicyPlan& plan);
  void arrange(const PolicyPlan& plan, modsecurity::RulesSet& before, modsecurity::RulesSet& after);

  struct Placed {
    modsecurity::Rule* rule = nullptr;
    modsecurity::RuleWithActions* actions = nullptr;
    SlotMask needs = always_present;
    Folder::Item item;
    bool own = false;  // the tenant's
    bool looks_at_more = false;  // than its text says
  };
  static bool looks_at_request_body(const Folder::Item& item);
  static std::set<std::string> jump_targets(const std::vector<std::vector<Placed>>& phases,
                                            const std::vector<std::vector<Folder::Decision>>& decisions);

  std::shared_ptr<const PlatformRules> platform_;  // the rules that the runners point to
  config::WafMode mode_;
  std::size_t body_limit_;
  std::size_t rule_count_ = 0;
  bool needs_request_body_later_ = false;
  bool copies_later_ = false;
  bool own_rules_encode_ = false;
  std::vector<std::shared_ptr<modsecurity::Rule>> own_;  // the tenant's, to which the runners point as well
  Exclusions exclusions_;
#ifdef GATEHOUSE_SCREEN
  std::shared_ptr<const screen::Program> program_;
#endif
  std::array<std::shared_ptr<PhaseRunner>, phase_count> runners_;
  std::unique_ptr<modsecurity::RulesSet> set_ = std::make_unique<modsecurity::RulesSet>();
};

}  // namespace gatehouse::waf
