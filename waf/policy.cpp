#include "waf/policy.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <sstream>
#include <utility>

#include "waf/base_rules.hpp"
#include "waf/dead_stores.hpp"
#include "waf/library.hpp"
#include "waf/pieces.hpp"

namespace gatehouse::waf {
namespace {

std::atomic<bool> folding = true;

/// A step that sets variables of TX: a tenant's values, or what folded rules would have set.
class SetValues final : public modsecurity::Rule {
 public:
  SetValues(int phase, TxValues values)
      : modsecurity::Rule(std::make_unique<std::string>("gatehouse"), 0), values_(std::move(values)) {
    setPhase(phase);
  }
  bool evaluate(modsecurity::Transaction* transaction) override {
    for (const auto& [name, value] : values_)
      transaction->m_collections.m_tx_collection->storeOrUpdateFirst(name, value);
    return true;
  }
  bool evaluate(modsecurity::Transaction* transaction, std::shared_ptr<modsecurity::RuleMessage>) override {
    return evaluate(transaction);
  }

 private:
  TxValues values_;
};

// A tenant's values where CRS looks for them: under the names of CRS 3 and of CRS 4.
TxValues tenant_values(const PolicyPlan& plan) {
  const std::string paranoia = std::to_string(plan.paranoia);
  return {{"paranoia_level", paranoia},
          {"executing_paranoia_level", paranoia},
          {"blocking_paranoia_level", paranoia},
          {"detection_paranoia_level", paranoia},
          {"inbound_anomaly_score_threshold", std::to_string(plan.inbound_threshold)},
          {"outbound_anomaly_score_threshold", std::to_string(plan.outbound_threshold)}};
}

std::expected<void, std::string> load(modsecurity::RulesSet& set, const std::string& text) {
  if (!text.empty() && set.load(text.c_str(), "tenant-rules") < 0) return std::unexpected(set.getParserError());
  return {};
}

}  // namespace

RulePolicy::RulePolicy(const PolicyPlan& plan, std::shared_ptr<const PlatformRules> platform)
    : platform_(std::move(platform)),
      mode_(plan.block ? config::WafMode::block : config::WafMode::detect),
      body_limit_(plan.body_limit) {}

std::expected<std::unique_ptr<RulePolicy>, std::string> RulePolicy::make(
    const PolicyPlan& plan, std::shared_ptr<const PlatformRules> platform) {
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
  apply_properties({.block = plan.block, .response_body = plan.response_body, .request_body_bytes = plan.body_limit},
                   *set_);

  for (const auto& e : plan.target_exclusions) {
    std::string error;
    auto target = parse_target(e.target, error);
    if (!target) return std::unexpected(std::move(error));
    exclusions_.add_target(e.rule, std::move(*target), e.path);
  }
  for (const auto& e : plan.rule_exclusions) exclusions_.add_rule(e.rule, e.path);

  arrange(plan, before, after);
  return {};
}

void RulePolicy::arrange(const PolicyPlan& plan, modsecurity::RulesSet& before, modsecurity::RulesSet& after) {
  const TxValues values = tenant_values(plan);
  // The tenant's texts, which are as we wrote them.
  const seclang::Text text_before = seclang::parse(plan.rules_before);
  const seclang::Text text_after = seclang::parse(plan.rules_after);
  auto own_texts = rule_texts(text_before);
  own_texts.merge(rule_texts(text_after));
  AddedTargets added = platform_->added_targets();
  added |= added_targets(text_before);
  added |= added_targets(text_after);
  const Pieces pieces(own_texts);

  // Every rule in its place.
  std::vector<std::vector<Placed>> phases(phase_count);
  for (std::size_t number = 0; number < phase_count; ++number) {
    const auto add = [&](const std::shared_ptr<modsecurity::Rule>& rule, bool own) {
      Placed placed{.rule = rule.get(), .actions = dynamic_cast<modsecurity::RuleWithActions*>(rule.get())};
      if (auto* const marker = dynamic_cast<modsecurity::RuleMarker*>(rule.get()))
        placed.item.marker = marker->getName().get();
      if (placed.actions != nullptr) {
        const auto id = static_cast<std::uint32_t>(placed.actions->m_ruleId);
        if (std::any_of(plan.removals.begin(), plan.removals.end(),
                        [&](const auto& range) { return id >= range.first && id <= range.last; }))
          return;
        placed.looks_at_more = set_->m_exceptions.m_variable_update_target_by_id.contains(static_cast<double>(id));
        const RuleFacts* const facts = own ? nullptr : platform_->facts(id);
        if (facts != nullptr && !placed.looks_at_more) placed.needs = facts->needs;
        placed.item.id = id;
        placed.item.keep = placed.looks_at_more || exclusions_.concern(id);
        if (facts != nullptr) placed.item.text = &facts->text;
        if (const auto text = own_texts.find(id); own && text != own_texts.end()) placed.item.text = &text->second;
        ++rule_count_;
      }
      placed.own = own;
      if (own) own_.push_back(rule);
      phases[number].push_back(placed);
    };
    const PlatformRules::Phase& phase = platform_->phase(number);
    const auto add_own = [&](modsecurity::RulesSet& from) {
      for (const auto& rule : from.m_rulesSetPhases[static_cast<int>(number)]->m_rules) add(rule, true);
    };
    for (std::size_t i = 0; i < phase.setup_end; ++i) add(phase.rules[i], false);
    if (number == modsecurity::RequestHeadersPhase) phases[number].push_back({.item = {.values = &values}});
    add_own(before);
    for (std::size_t i = phase.setup_end; i < phase.rules.size(); ++i) add(phase.rules[i], false);
    add_own(after);
  }

  // What does not depend on the request is decided now. Twice, since rules that are gone no longer stand in the way of
  // others: CRS brings exclusions for applications that are off by default, which would take out whole ranges.
  const auto items = [&] {
    std::vector<std::vector<Folder::Item>> out(phase_count);
    for (std::size_t number = 0; number < phase_count; ++number) {
      for (const Placed& placed : phases[number]) out[number].push_back(placed.item);
    }
    return out;
  };
  const auto leave_out = [&](const auto& goes) {
    for (std::size_t number = 0; number < phase_count; ++number) {
      std::size_t i = 0;
      std::erase_if(phases[number], [&](const Placed&) { return goes(number, i++); });
    }
  };
  const bool allowed = platform_->texts_tell_all() && folding;
  {
    const auto all = items();
    const auto first = Folder(all, allowed).fold(modsecurity::RequestHeadersPhase);
    leave_out([&](std::size_t number, std::size_t i) { return first[number][i].action == Folder::Action::drop; });
    const auto rest = items();
    if (Folder(rest, allowed).allowed()) {
      const auto unseen = without_effect(rest, added.tx);
      leave_out([&](std::size_t number, std::size_t i) { return bool{unseen[number][i]}; });
    }
  }
  const auto remaining = items();
  const auto decisions = Folder(remaining, allowed).fold(modsecurity::RequestHeadersPhase);
  const std::set<std::string> targets = jump_targets(phases, decisions);

#ifdef GATEHOUSE_SCREEN
  std::vector<std::vector<screen::Program::Step>> screened(phase_count);
  for (std::size_t number = 0; number < phase_count; ++number) {
    for (std::size_t i = 0; i < phases[number].size(); ++i) {
      const Placed& placed = phases[number][i];
      const Folder::Decision& decision = decisions[number][i];
      if (decision.action == Folder::Action::drop) continue;
      screened[number].push_back(
          {.item = placed.item, .rule = placed.actions, .looks_at_more = placed.looks_at_more || added.by_name});
      if (decision.action == Folder::Action::set) screened[number].back().item.values = &decision.values;
    }
  }
  program_ = screen::Program::compile(screened, allowed);
#endif

  for (std::size_t number = 0; number < phase_count; ++number) {
    const int phase = static_cast<int>(number);
    std::vector<PhaseRunner::Step> steps;
    TxValues pending;  // of folded rules since the last step
    bool any_rule = false;
    const auto flush = [&] {
      if (pending.empty()) return;
      own_.push_back(std::make_shared<SetValues>(phase, std::exchange(pending, {})));
      steps.push_back({.rule = own_.back().get(),
                       .actions = nullptr,
                       .needs = always_present,
                       .marker = false,
                       .may_be_excluded = false});
      any_rule = true;
    };
    for (std::size_t i = 0; i < phases[number].size(); ++i) {
      const Placed& placed = phases[number][i];
      const Folder::Decision& decision = decisions[number][i];
      const TxValues& set = placed.item.values != nullptr ? *placed.item.values : decision.values;
      if (placed.item.values != nullptr || decision.action == Folder::Action::set) {
        for (const auto& [name, value] : set) {
          std::erase_if(pending, [&](const auto& earlier) { return earlier.first == name; });
          pending.emplace_back(name, value);
        }
        continue;
      }
      if (decision.action == Folder::Action::drop) continue;
      const bool looks_at_body =
          looks_at_request_body(placed.item) ||
          (added.request_body && placed.actions != nullptr && (placed.looks_at_more || added.by_name));
      if (number > modsecurity::RequestBodyPhase && looks_at_body) needs_request_body_later_ = true;
      const bool marker = placed.item.marker != nullptr;
      if (marker && platform_->texts_tell_all() && !targets.contains(*placed.item.marker)) continue;
      flush();
      any_rule = any_rule || !marker;
      if (number > modsecurity::RequestBodyPhase && placed.own) copies_later_ = true;
      steps.push_back({.rule = placed.rule,
                       .actions = placed.actions,
                       .needs = placed.needs,
                       .marker = marker,
                       .may_be_excluded = placed.actions != nullptr && exclusions_.may_remove(placed.item.id),
                       .has_excluded_targets = placed.actions != nullptr && exclusions_.have_target(placed.item.id),
                       .own = placed.own,
                       .constants = placed.item.text != nullptr ? constants_of_message(*placed.item.text)
                                                                : std::vector<std::string>{},
                       .encodes = placed.item.text != nullptr && encodes_values(*placed.item.text),
                       .pieces = pieces.any() && (placed.looks_at_more || placed.item.text == nullptr ||
                                                  pieces.shown_by(*placed.item.text, placed.own))});
      if (placed.own && steps.back().encodes) own_rules_encode_ = true;
    }
    flush();
    if (!any_rule) continue;
    steps.shrink_to_fit();
    runners_[number] = std::make_shared<PhaseRunner>(phase, std::move(steps), platform_->slots());
    set_->m_rulesSetPhases[phase]->m_rules.push_back(runners_[number]);
  }
}

// Whether a rule that runs uses arguments, files or the body itself; if its text is not known, it does.
bool RulePolicy::looks_at_request_body(const Folder::Item& item) {
  if (item.marker != nullptr) return false;
  if (item.text == nullptr || item.text->links.empty()) return true;
  const auto has_macro = [&](std::string_view text) {
    const std::string upper = seclang::upper_case(text);
    for (std::size_t at = upper.find("%{"); at != std::string::npos; at = upper.find("%{", at + 2))
      if (is_of_request_body(std::string_view(upper).substr(at + 2))) return true;
    return false;
  };
  return std::ranges::any_of(item.text->links, [&](const RuleLink& link) {
    return has_macro(link.op.argument) ||
           std::ranges::any_of(link.variables,
                               [](const auto& v) { return is_of_request_body(seclang::upper_case(v.name)); }) ||
           std::ranges::any_of(link.actions, [&](const auto& action) { return has_macro(action.value); });
  });
}

// The markers that some rule which is left may skip to; all of them, if a rule is left whose text is not known.
std::set<std::string> RulePolicy::jump_targets(const std::vector<std::vector<Placed>>& phases,
                                               const std::vector<std::vector<Folder::Decision>>& decisions) {
  std::set<std::string> named;
  std::set<std::string> all;
  bool known = true;
  for (std::size_t number = 0; number < phases.size(); ++number) {
    for (std::size_t i = 0; i < phases[number].size(); ++i) {
      const Folder::Item& item = phases[number][i].item;
      if (item.marker != nullptr) all.insert(*item.marker);
      if (item.marker != nullptr || item.values != nullptr || decisions[number][i].action != Folder::Action::run)
        continue;
      if (item.text == nullptr || item.text->links.empty()) {
        known = false;
        continue;
      }
      for (const RuleLink& link : item.text->links) {
        for (const seclang::Action& action : link.actions) {
          if (action.name == "skipafter") named.insert(action.value);
        }
      }
    }
  }
  return known ? named : all;
}

void RulePolicy::fold_rules(bool on) noexcept { folding = on; }

}  // namespace gatehouse::waf
