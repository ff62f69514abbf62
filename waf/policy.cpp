#include "waf/policy.hpp"

#include <algorithm>
#include <mutex>
#include <sstream>
#include <utility>

#include "waf/base_rules.hpp"
#include "waf/library.hpp"

namespace gatehouse::waf {
namespace {

/// Sets a tenant's values where CRS looks for them: under the names of CRS 3 and of CRS 4.
class TenantValues final : public modsecurity::Rule {
 public:
  explicit TenantValues(const PolicyPlan& plan) : modsecurity::Rule(std::make_unique<std::string>("gatehouse"), 0) {
    setPhase(modsecurity::RequestHeadersPhase);
    const std::string paranoia = std::to_string(plan.paranoia);
    for (const char* name : {"paranoia_level", "executing_paranoia_level", "blocking_paranoia_level", "detection_paranoia_level"}) {
      values_.emplace_back(name, paranoia);
    }
    values_.emplace_back("inbound_anomaly_score_threshold", std::to_string(plan.inbound_threshold));
    values_.emplace_back("outbound_anomaly_score_threshold", std::to_string(plan.outbound_threshold));
  }
  bool evaluate(modsecurity::Transaction* transaction) override {
    for (const auto& [name, value] : values_) transaction->m_collections.m_tx_collection->storeOrUpdateFirst(name, value);
    return true;
  }
  bool evaluate(modsecurity::Transaction* transaction, std::shared_ptr<modsecurity::RuleMessage>) override {
    return evaluate(transaction);
  }

 private:
  std::vector<std::pair<std::string, std::string>> values_;
};

std::expected<void, std::string> load(modsecurity::RulesSet& set, const std::string& text) {
  if (!text.empty() && set.load(text.c_str(), "tenant-rules") < 0) return std::unexpected(set.getParserError());
  return {};
}

}  // namespace

RulePolicy::RulePolicy(const PolicyPlan& plan, std::shared_ptr<const PlatformRules> platform)
    : platform_(std::move(platform)), mode_(plan.block ? config::WafMode::block : config::WafMode::detect), body_limit_(plan.body_limit) {}

std::expected<std::unique_ptr<RulePolicy>, std::string> RulePolicy::make(const PolicyPlan& plan, std::shared_ptr<const PlatformRules> platform) {
  std::unique_ptr<RulePolicy> policy(new RulePolicy(plan, std::move(platform)));
  if (auto done = policy->assemble(plan); !done) return std::unexpected(std::move(done.error()));
  return policy;
}

std::expected<void, std::string> RulePolicy::assemble(const PolicyPlan& plan) {
  modsecurity::RulesSet before;
  modsecurity::RulesSet after;
  {
    const std::lock_guard lock(parse_mutex());
    if (auto loaded = load(before, plan.rules_before); !loaded) return loaded;
    if (auto loaded = load(after, plan.rules_after); !loaded) return loaded;
    std::ostringstream error;
    if (modsecurity::RulesSetProperties::mergeProperties(&platform_->properties(), set_.get(), &error) < 0) {
      return std::unexpected(error.str());
    }
    set_->m_exceptions.merge(&before.m_exceptions);  // variables that the tenant adds to rules
    set_->m_exceptions.merge(&after.m_exceptions);
  }
  set_->m_auditLog->setStatus(modsecurity::audit_log::AuditLog::OffAuditLogStatus);
  set_->m_debugLog->setDebugLogLevel(0);
  apply_properties({.block = plan.block, .response_body = plan.response_body, .request_body_bytes = plan.body_limit}, *set_);

  for (const auto& e : plan.target_exclusions) {
    std::string error;
    auto target = parse_target(e.target, error);
    if (!target) return std::unexpected(std::move(error));
    exclusions_.add_target(e.rule, std::move(*target), e.path);
  }
  for (const auto& e : plan.rule_exclusions) exclusions_.add_rule(e.rule, e.path);

  const auto removed = [&](std::uint32_t id) {
    return std::any_of(plan.removals.begin(), plan.removals.end(), [&](const auto& range) { return id >= range.first && id <= range.last; });
  };
  const auto looks_at_more = [&](std::uint32_t id) {
    return set_->m_exceptions.m_variable_update_target_by_id.contains(static_cast<double>(id));
  };
  const auto values = std::make_shared<TenantValues>(plan);
  own_.push_back(values);
  for (std::size_t number = 0; number < phase_count; ++number) {
    std::vector<PhaseRunner::Step> steps;
    std::size_t rules = 0;
    const auto add = [&](const std::shared_ptr<modsecurity::Rule>& rule, bool own) {
      PhaseRunner::Step step{.rule = rule.get(),
                             .actions = dynamic_cast<modsecurity::RuleWithActions*>(rule.get()),
                             .needs = always_present,
                             .marker = rule->isMarker(),
                             .may_be_excluded = false};
      if (step.actions != nullptr) {
        const auto id = static_cast<std::uint32_t>(step.actions->m_ruleId);
        if (removed(id)) return;
        step.may_be_excluded = exclusions_.may_remove(id);
        const RuleFacts* const facts = own ? nullptr : platform_->facts(id);
        if (facts != nullptr && !looks_at_more(id)) step.needs = facts->needs;
        ++rules;
      }
      if (own) own_.push_back(rule);
      steps.push_back(step);
    };
    const PlatformRules::Phase& phase = platform_->phase(number);
    const auto add_own = [&](modsecurity::RulesSet& from) {
      for (const auto& rule : from.m_rulesSetPhases[static_cast<int>(number)]->m_rules) add(rule, true);
    };
    for (std::size_t i = 0; i < phase.setup_end; ++i) add(phase.rules[i], false);
    if (number == modsecurity::RequestHeadersPhase) add(values, false);
    add_own(before);
    for (std::size_t i = phase.setup_end; i < phase.rules.size(); ++i) add(phase.rules[i], false);
    add_own(after);
    if (rules == 0) continue;
    rule_count_ += rules;
    steps.shrink_to_fit();
    runners_[number] = std::make_shared<PhaseRunner>(static_cast<int>(number), std::move(steps), platform_->slots(), exclusions_);
    set_->m_rulesSetPhases[static_cast<int>(number)]->m_rules.push_back(runners_[number]);
  }
  return {};
}

}  // namespace gatehouse::waf
