#include "waf/phase_runner.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "waf/interpose.hpp"

namespace gatehouse::waf {
namespace {

std::atomic<bool> everything = false;

constexpr std::size_t work_per_rule = 1'000;  // about what a rule takes apart from its patterns, in nanoseconds

// What a rule's evaluation writes into. The library makes one for each rule; most rules leave it untouched, so that
// it can serve the next one. Of its fields only those that we or the library read after a match are set anew.
class Message {
 public:
  const std::shared_ptr<modsecurity::RuleMessage>& prepare(modsecurity::RuleWithActions& rule,
                                                           modsecurity::Transaction& transaction) {
    if (!message_) {
      message_ = std::make_shared<modsecurity::RuleMessage>(&rule, &transaction);
    } else {
      message_->m_rule = &rule;
      message_->m_ruleId = static_cast<int>(rule.m_ruleId);
      message_->m_ruleLine = rule.getLineNumber();
      message_->m_phase = rule.getPhase() - 1;
    }
    return message_;
  }
  void used(bool matched) noexcept {
    // A chain's first link or a negated operator may have left something although the rule did not match.
    if (matched || !message_->m_match.empty() || !message_->m_reference.empty()) message_.reset();
  }

 private:
  std::shared_ptr<modsecurity::RuleMessage> message_;
};

}  // namespace

PhaseRunner::PhaseRunner(int phase, std::vector<Step> steps, const VariableSlots& slots)
    : modsecurity::Rule(std::make_unique<std::string>("gatehouse"), 0), steps_(std::move(steps)), slots_(slots) {
  setPhase(phase);
  for (const Step& step : steps_) used_ |= step.needs;
}

void PhaseRunner::run_everything(bool on) noexcept { everything = on; }

bool PhaseRunner::skipped(const Step& step, RunTransaction& transaction) const {
  if (transaction.m_skip_next > 0) {
    --transaction.m_skip_next;
    return true;
  }
  if (static_cast<int>(transaction.m_allowType) != 0) return true;  // an "allow" earlier in this phase
  if (step.actions == nullptr) return false;
  if (step.may_be_excluded &&
      std::binary_search(transaction.exclusions.rules.begin(), transaction.exclusions.rules.end(),
                         static_cast<std::uint32_t>(step.actions->m_ruleId))) {
    return true;
  }
  return std::any_of(transaction.m_ruleRemoveByTag.begin(), transaction.m_ruleRemoveByTag.end(),
                     [&](const std::string& tag) { return step.actions->containsTag(tag, &transaction); });
}

bool PhaseRunner::evaluate(modsecurity::Transaction* transaction) {
  auto& t = static_cast<RunTransaction&>(*transaction);  // policies are run by RunTransactions alone
  if (getPhase() == modsecurity::RequestBodyPhase) t.before_body_rules();
  t.harvest.secrets().phase_begins();
  const SlotMask present = everything.load(std::memory_order_relaxed) ? ~SlotMask{0} : slots_.present(t, used_);
  Message message;
  bool matched_vars = true;  // MATCHED_VAR and its like may hold something
  for (const Step& step : steps_) {
    if (t.isInsideAMarker()) {  // skipAfter: on to the marker
      if (step.marker) step.rule->evaluate(&t);
      continue;
    }
    if (step.marker || skipped(step, t)) continue;
    if ((step.needs & present) == 0) {
      // What the library would have done with a rule that finds no value.
      t.m_matched.clear();
      if (std::exchange(matched_vars, false)) modsecurity::RuleWithOperator::cleanMatchedVars(&t);
      continue;
    }
    if (budget_spent(work_per_rule)) break;
    matched_vars = true;
    if (step.actions == nullptr) {
      step.rule->evaluate(&t);
      continue;
    }
    const OwnRuleScope scope(step.own ? &t.tx_account : nullptr);
    std::optional<ExclusionScope> excluded;
    if (step.has_excluded_targets) {
      const auto rule = static_cast<std::uint32_t>(step.actions->m_ruleId);
      excluded.emplace(t, rule, t.exclusions.of(rule));
    }
    const bool matched = step.actions->evaluate(&t, message.prepare(*step.actions, t));
    message.used(matched);
    if (!t.m_rulesMessages.empty()) t.harvest.take(t, step.constants, step.encodes, step.pieces);
    if (t.m_it.disruptive != 0) break;
  }
  return true;
}

bool PhaseRunner::evaluate(modsecurity::Transaction* transaction, std::shared_ptr<modsecurity::RuleMessage>) {
  return evaluate(transaction);
}

}  // namespace gatehouse::waf
