#include "waf/policy_plan.hpp"

#include <algorithm>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "waf/seclang_check.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

using config::Place;
using config::Problem;
using config::Problems;
using config::Severity;

constexpr std::size_t max_exclusions = 200;  // each costs every request something
constexpr std::size_t max_problems = 300;    // a list of ten thousand ids may have as many that do not exist

// Line `number` of a text, without its end.
std::string_view line_of(std::string_view text, int number) {
  for (; number > 1; --number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

// The line of a tenant's file, for the caret; empty if the file cannot be read.
std::string file_line(const Place& place) {
  if (place.line <= 0) return {};
  std::ifstream file(place.file);
  std::string line;
  for (int i = 0; i < place.line; ++i) {
    if (!std::getline(file, line)) return {};
  }
  return line;
}

/// Collects the plan and what is wrong with it.
class Planner {
 public:
  Planner(const config::TenantConfig& tenant, const PlatformRules& platform, Problems& problems)
      : tenant_(tenant), platform_(platform), problems_(problems) {}

  PolicyPlan plan(config::TenantRules allowed) {
    const config::TenantWaf& waf = tenant_.waf;
    plan_.block = waf.mode == config::WafMode::block;
    plan_.paranoia = std::clamp(waf.paranoia, 1u, 4u);
    plan_.inbound_threshold = std::max(waf.inbound_threshold, 1u);
    plan_.outbound_threshold = std::max(waf.outbound_threshold, 1u);
    plan_.body_limit = waf.body_limit;
    plan_.response_body = waf.inspect_response_body;
    // Both texts before exclusions, which may name the tenant's own rules.
    const auto before = rules(waf.rules_before, waf.rules_before_place, allowed);
    const auto after = rules(waf.rules_after, waf.rules_after_place, allowed);
    for (const auto& [checked, place] :
         {std::pair(&before, &waf.rules_before_place), std::pair(&after, &waf.rules_after_place)}) {
      directives(*checked, *place);
    }
    plan_.rules_before = before.text;
    plan_.rules_after = after.text;
    if (waf.exclusions.size() > max_exclusions) {
      report(Severity::error, waf.exclusions[max_exclusions].place,
             fmt::format("more than {} exclusions", max_exclusions));
    }
    std::size_t exclusions = waf.exclusions.size();
    for (const auto& [checked, place] :
         {std::pair(&before, &waf.rules_before_place), std::pair(&after, &waf.rules_after_place)}) {
      const auto& removals = checked->target_removals;
      if (exclusions + removals.size() > max_exclusions && !removals.empty()) {
        const std::size_t first = exclusions < max_exclusions ? max_exclusions - exclusions : 0;
        report(Severity::error, place_in(*place, removals[first].at),
               fmt::format("more than {} exclusions, those by SecRuleUpdateTargetById among them", max_exclusions));
      }
      exclusions += removals.size();
    }
    for (const config::Exclusion& exclusion : waf.exclusions) add(exclusion);
    return std::move(plan_);
  }

 private:
  // A tenant must not make the list longer than memory and logs bear.
  void report(Severity severity, const Place& place, std::string message, std::string source_line = {}) {
    if (reported_ >= max_problems) {
      bool& told = severity == Severity::error ? more_errors_told_ : more_warnings_told_;
      if (std::exchange(told, true)) return;
      message = severity == Severity::error ? "and more errors, which are not shown"
                                            : "and more warnings, which are not shown";
    }
    ++reported_;
    Problem problem;
    problem.severity = severity;
    problem.place = place;
    problem.message = std::move(message);
    if (!source_line.empty())
      problem.source_line = std::move(source_line);
    else if (tenant_.text)
      problem.show_source(*tenant_.text);
    else
      problem.source_line = file_line(place);
    problems_.push_back(std::move(problem));
  }

  // The text's place in the YAML file: its lines share the indentation of the first. A text in quotes, whose lines are
  // not the file's, has one place.
  [[nodiscard]] Place place_in(const Place& start, seclang::Position at) const {
    Place place = start;
    if (tenant_.text) {
      const std::string& rules =
          &start == &tenant_.waf.rules_after_place ? tenant_.waf.rules_after : tenant_.waf.rules_before;
      std::string_view written = line_of(*tenant_.text, start.line + at.line - 1);
      written.remove_prefix(std::min(static_cast<std::size_t>(std::max(start.column, 1) - 1), written.size()));
      if (written != line_of(rules, at.line)) return place;
    }
    place.line = start.line + at.line - 1;
    place.column = std::max(start.column, 1) + at.column - 1;
    return place;
  }

  seclang::CheckedRules rules(const std::string& text, const Place& start, config::TenantRules allowed) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return {};
    if (allowed == config::TenantRules::no) {
      report(Severity::error, start, "the platform does not allow tenants' own rules (policy.tenant_rules is false)");
      return {};
    }
    seclang::CheckedRules checked = seclang::check(text, allowed == config::TenantRules::trusted, own_ids_);
    for (const seclang::Error& error : checked.errors) {
      const Place place = place_in(start, error.at);
      std::string line;
      if (!tenant_.text) {
        line.assign(static_cast<std::size_t>(std::max(start.column, 1) - 1), ' ');
        line += line_of(text, error.at.line);
      }
      report(Severity::error, place, error.message, std::move(line));
    }
    return checked;
  }

  [[nodiscard]] bool known(std::uint32_t rule) const {
    return platform_.facts(rule) != nullptr || own_ids_.contains(rule);
  }

  // The directives that change other rules, from the tenant's SecLang.
  void directives(const seclang::CheckedRules& checked, const Place& start) {
    for (const seclang::Removal& removal : checked.removals) {
      if (!more_errors_told_ && removal.first == removal.last && !known(removal.first)) {
        report(Severity::error, place_in(start, removal.at), fmt::format("there is no rule {}", removal.first));
      }
      plan_.removals.push_back({removal.first, removal.last});
    }
    for (const seclang::TargetRemoval& removal : checked.target_removals) {
      const Place place = place_in(start, removal.at);
      if (!known(removal.rule)) {
        report(Severity::error, place, fmt::format("there is no rule {}", removal.rule));
        continue;
      }
      std::string target = removal.target.name;
      if (removal.target.has_selector) {
        target += ':';
        target += removal.target.regex ? "/" + removal.target.selector + "/" : removal.target.selector;
      }
      add_target(removal.rule, target, {}, place);
    }
    for (const seclang::TargetAddition& addition : checked.additions) {
      if (!known(addition.rule))
        report(Severity::error, place_in(start, addition.at), fmt::format("there is no rule {}", addition.rule));
    }
  }

  void add(const config::Exclusion& exclusion) {
    if (!known(exclusion.rule)) {
      report(
          Severity::error, exclusion.place,
          fmt::format("there is no rule {} in the platform's rules (waf.rules) or the tenant's own", exclusion.rule));
      return;
    }
    if (is_never_run(exclusion.rule)) {
      report(Severity::warning, exclusion.place,
             fmt::format("rule {} is never run by this gateway; the exclusion has no effect", exclusion.rule));
    }
    if (!exclusion.path.empty() && !exclusion.path.starts_with('/')) {
      report(Severity::error, exclusion.place, "an exclusion's path begins with \"/\"");
      return;
    }
    const std::string path = path_within("/", exclusion.path) ? std::string{} : exclusion.path;  // "/" is everywhere
    if (!exclusion.target.empty()) {
      add_target(exclusion.rule, exclusion.target, path, exclusion.place);
    } else if (path.empty()) {
      plan_.removals.push_back({exclusion.rule, exclusion.rule});
    } else {
      plan_.rule_exclusions.push_back({exclusion.rule, path});
    }
  }

  void add_target(std::uint32_t rule, const std::string& text, const std::string& path, const Place& place) {
    std::string error;
    const auto target = parse_target(text, error);
    if (!target) {
      report(Severity::error, place, std::move(error));
      return;
    }
    const RuleFacts* const facts = platform_.facts(rule);
    if (facts != nullptr && !facts->variables().empty() && !looks_at(facts->variables(), *target)) {
      report(Severity::warning, place,
             fmt::format("rule {} does not look at {} in its first condition; an exclusion does not reach the later "
                         "ones of a chain",
                         rule, shown(text)));
    }
    plan_.target_exclusions.push_back({rule, text, path});
    // A rule that names elements of the collection itself does not look at those either.
    if (facts == nullptr || !target->key.empty() || target->pattern) return;
    for (const seclang::Variable& variable : facts->variables()) {
      if (variable.name == target->collection && variable.has_selector && !variable.regex && !variable.exclude) {
        plan_.target_exclusions.push_back({rule, variable.name + ":" + variable.selector, path});
      }
    }
  }

  static std::string shown(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    return out;
  }

  const config::TenantConfig& tenant_;
  const PlatformRules& platform_;
  Problems& problems_;
  std::size_t reported_ = 0;
  bool more_errors_told_ = false;
  bool more_warnings_told_ = false;
  std::set<std::uint32_t> own_ids_;
  PolicyPlan plan_;
};

// Lengths before texts, so that no two plans give the same key.
void append(std::string& key, std::string_view text) { key += fmt::format("{}:{};", text.size(), text); }
void append(std::string& key, std::uint64_t value) { key += fmt::format("{};", value); }

}  // namespace

std::string PolicyPlan::key() const {
  std::string key;
  for (const std::uint64_t value :
       {std::uint64_t{block}, std::uint64_t{paranoia}, std::uint64_t{inbound_threshold},
        std::uint64_t{outbound_threshold}, std::uint64_t{body_limit}, std::uint64_t{response_body}}) {
    append(key, value);
  }
  append(key, rules_before);
  append(key, rules_after);
  append(key, target_exclusions.size());
  for (const TargetExclusion& exclusion : target_exclusions) {
    append(key, exclusion.rule);
    append(key, exclusion.target);
    append(key, exclusion.path);
  }
  append(key, rule_exclusions.size());
  for (const RuleExclusion& exclusion : rule_exclusions) {
    append(key, exclusion.rule);
    append(key, exclusion.path);
  }
  for (const IdRange& range : removals) {
    append(key, range.first);
    append(key, range.last);
  }
  return key;
}

PolicyPlan plan_policy(const config::TenantConfig& tenant, config::TenantRules allowed, const PlatformRules& platform,
                       Problems& problems) {
  return Planner(tenant, platform, problems).plan(allowed);
}

}  // namespace gatehouse::waf
