#include "waf/exclusions.hpp"

#include <algorithm>
#include <array>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include "waf/interpose.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

using seclang::equals_ignoring_case;

// About the nanoseconds that these take.
constexpr std::size_t work_per_target = 20;
constexpr std::size_t work_per_pattern = 500;

constexpr std::uint32_t name_match_limit = 10'000;  // a name is short; a pattern that needs more matches nothing

// Who excludes the argument means it wherever it came from.
constexpr std::array<std::string_view, 3> arguments{"ARGS", "ARGS_GET", "ARGS_POST"};
constexpr std::array<std::string_view, 3> argument_names{"ARGS_NAMES", "ARGS_GET_NAMES", "ARGS_POST_NAMES"};
bool means(std::string_view target, std::string_view collection) noexcept {
  const auto is_it = [&](std::string_view name) { return equals_ignoring_case(name, collection); };
  if (target == arguments.front()) return std::ranges::any_of(arguments, is_it);
  if (target == argument_names.front()) return std::ranges::any_of(argument_names, is_it);
  return is_it(target);
}

bool is_argument(std::string_view collection) noexcept { return collection.starts_with("ARGS"); }

// JSON bodies become arguments "json.a.b"; who excludes "a.b" need not know.
std::string_view without_json(std::string_view name) noexcept {
  return name.size() > 5 && equals_ignoring_case(name.substr(0, 5), "json.") ? name.substr(5) : name;
}

bool selects(const ExclusionTarget& target, std::string_view name) {
  const std::string_view bare = is_argument(target.collection) ? without_json(name) : name;
  if (target.pattern)
    return target.pattern->matches(name) || (bare.size() != name.size() && target.pattern->matches(bare));
  return equals_ignoring_case(name, target.key) || equals_ignoring_case(bare, target.key);
}

bool selects(const ExclusionTarget& target, std::string_view collection, std::string_view name) {
  if (!means(target.collection, collection)) return false;
  return (target.key.empty() && !target.pattern) || selects(target, name);
}

}  // namespace

std::optional<NamePattern> NamePattern::compile(std::string_view pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                         PCRE2_DOTALL | PCRE2_CASELESS, &error, &offset, nullptr);
  if (code == nullptr) return std::nullopt;
  NamePattern out;
  out.code_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
  return out;
}

bool NamePattern::matches(std::string_view name) const noexcept {
  const auto* const code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!data || !context) return false;
  pcre2_set_match_limit(context.get(), name_match_limit);
  return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, data.get(), context.get()) > 0;
}

std::optional<ExclusionTarget> parse_target(std::string_view text, std::string& error) {
  ExclusionTarget target;
  const std::size_t colon = text.find(':');
  target.collection = seclang::upper_case(text.substr(0, colon));
  const seclang::VariableKind kind = seclang::variable_kind(target.collection);
  if (kind == seclang::VariableKind::refused) {
    error = fmt::format(
        "\"{}\" is not a variable; targets are ARGS, REQUEST_COOKIES, REQUEST_HEADERS and the like, with the element's "
        "name "
        "after a colon: ARGS:comment",
        target.collection.substr(0, 40));
    for (char& c : error) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    return std::nullopt;
  }
  if (colon == std::string_view::npos) {
    if (kind == seclang::VariableKind::tx || kind == seclang::VariableKind::xml) {
      error = target.collection + " needs a name after a colon";
      return std::nullopt;
    }
    return target;
  }
  std::string_view key = text.substr(colon + 1);
  if (kind == seclang::VariableKind::scalar) {
    error = target.collection + " is one value and has no elements; leave out what follows the colon";
    return std::nullopt;
  }
  if (key.size() >= 2 && key.front() == '\'' && key.back() == '\'') key = key.substr(1, key.size() - 2);
  if (key.size() > 2 && key.front() == '/' && key.back() == '/' && kind == seclang::VariableKind::collection) {
    target.pattern = NamePattern::compile(key.substr(1, key.size() - 2));
    if (!target.pattern) {
      error = "the regular expression after the colon does not compile";
      return std::nullopt;
    }
    return target;
  }
  if (key.empty()) {
    error = "the name after the colon is missing";
    return std::nullopt;
  }
  target.key = key;
  if (is_argument(target.collection)) target.key = without_json(key);
  return target;
}

bool looks_at(const std::vector<seclang::Variable>& variables, const ExclusionTarget& target) {
  for (const seclang::Variable& variable : variables) {
    if (variable.exclude) continue;
    if (!means(target.collection, variable.name)) continue;
    // A regular expression on either side may cover the other: not asked further.
    if (!variable.has_selector || variable.regex || target.pattern || target.key.empty()) return true;
    if (selects(target, variable.selector)) return true;
  }
  return false;
}

bool excluded(std::span<const ExclusionTarget* const> targets, std::string_view key) {
  const std::size_t colon = std::min(key.find(':'), key.size());
  const std::string_view collection = key.substr(0, colon);
  const std::string_view name = key.substr(std::min(colon + 1, key.size()));
  return std::ranges::any_of(targets, [&](const ExclusionTarget* target) {
    const std::size_t work = work_per_target + (target->pattern ? work_per_pattern + name.size() : 0);
    return budget_spent(work) || selects(*target, collection, name);
  });
}

bool path_within(std::string_view path, std::string_view prefix) noexcept {
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

void Exclusions::add_target(std::uint32_t rule, ExclusionTarget target, std::string path) {
  const auto behind = std::ranges::upper_bound(entries_, rule, {}, &Entry::rule);
  entries_.insert(behind, {rule, std::move(target), std::move(path)});
}

void Exclusions::add_rule(std::uint32_t rule, std::string path) { rules_.push_back({rule, std::move(path)}); }

bool Exclusions::may_remove(std::uint32_t rule) const noexcept {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Removed& removed) { return removed.rule == rule; });
}

bool Exclusions::have_target(std::uint32_t rule) const noexcept {
  return std::ranges::binary_search(entries_, rule, {}, &Entry::rule);
}

Exclusions::Active Exclusions::activate(std::string_view path) const {
  Active active;
  const auto applies = [&](const std::string& prefix) {
    return prefix.empty() || (!path.empty() && path_within(path, prefix));
  };
  for (const Removed& removed : rules_) {
    if (applies(removed.path)) active.rules.push_back(removed.rule);
  }
  std::sort(active.rules.begin(), active.rules.end());
  for (const Entry& entry : entries_) {
    if (!applies(entry.path)) continue;
    active.target_rules.push_back(entry.rule);
    active.targets.push_back(&entry.target);
  }
  return active;
}

std::span<const ExclusionTarget* const> Exclusions::Active::of(std::uint32_t rule) const noexcept {
  const auto [first, last] = std::ranges::equal_range(target_rules, rule);
  return std::span(targets).subspan(static_cast<std::size_t>(first - target_rules.begin()),
                                    static_cast<std::size_t>(last - first));
}

}  // namespace gatehouse::waf
