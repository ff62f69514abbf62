// A tenant's exclusions as users mean them: a rule does not look at "ARGS:comment", on one path or everywhere.
// Compiled by waf/policy.cpp, asked by waf/phase_runner.cpp for each rule and by waf/rule_hooks.cpp for each value.
//
// libmodsecurity's own means fall short: SecRuleUpdateTargetById with a regular expression compares the element's
// name alone, so that excluding an argument excludes the cookie of the same name; ctl:ruleRemoveTargetById compares
// exactly and with case, so that ARGS:comment misses ARGS:Comment and ARGS:json.comment. And every value of every rule
// is compared with each entry of its list, so that names by the hundred in it would take seconds. We are asked about
// the values of those rules alone that are excluded from something.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waf/modsecurity.hpp"
#include "waf/seclang.hpp"

namespace gatehouse::waf {

/// A compiled regular expression on names, case-insensitive and with limits; copies share it.
class NamePattern {
 public:
  /// Empty if it does not compile.
  static std::optional<NamePattern> compile(std::string_view pattern);
  [[nodiscard]] bool matches(std::string_view name) const noexcept;

 private:
  std::shared_ptr<const void> code_;  // pcre2_code
};

/// What an exclusion's target or "!ARGS:x" of SecRuleUpdateTargetById names.
struct ExclusionTarget {
  std::string collection;               // "ARGS", "REQUEST_URI"; upper case
  std::string key;                      // "comment"; empty: the whole collection, or a scalar
  std::optional<NamePattern> pattern;   // instead of key
};

/// Reads "ARGS:comment", "ARGS:/^c/", "ARGS", "REQUEST_URI". On failure `error` says why.
[[nodiscard]] std::optional<ExclusionTarget> parse_target(std::string_view text, std::string& error);

/// True if a rule that looks at `variables` looks at the target at all.
[[nodiscard]] bool looks_at(const std::vector<seclang::Variable>& variables, const ExclusionTarget& target);

/// True if the rule that `targets` are about must not look at the value that the library calls `key`: "ARGS:comment",
/// "REQUEST_URI". Also once the transaction's budget is spent.
[[nodiscard]] bool excluded(std::span<const ExclusionTarget* const> targets, std::string_view key);

/// True if `path` lies under `prefix` by whole segments: "/api" and "/api/" hold "/api" and "/api/x", not "/apix".
[[nodiscard]] bool path_within(std::string_view path, std::string_view prefix) noexcept;

class Exclusions {
 public:
  void add_target(std::uint32_t rule, ExclusionTarget target, std::string path);
  void add_rule(std::uint32_t rule,
                std::string path);  // with a path; without one the rule is simply left out of the policy

  [[nodiscard]] bool empty() const noexcept { return entries_.empty() && rules_.empty(); }

  /// True if some path may take this rule out; asked once a rule when a policy is made.
  [[nodiscard]] bool may_remove(std::uint32_t rule) const noexcept;

  /// True if some exclusion is about a part of what this rule looks at.
  [[nodiscard]] bool have_target(std::uint32_t rule) const noexcept;

  /// True if some exclusion is about this rule, whole or in part.
  [[nodiscard]] bool concern(std::uint32_t rule) const noexcept { return may_remove(rule) || have_target(rule); }

  /// What applies to one transaction; the policy, which owns the targets, outlives it.
  struct Active {
    std::vector<std::uint32_t> rules;  // taken out whole, sorted
    std::vector<std::uint32_t> target_rules;  // sorted; of each of `targets`, the rule that it is about
    std::vector<const ExclusionTarget*> targets;

    [[nodiscard]] std::span<const ExclusionTarget* const> of(std::uint32_t rule) const noexcept;
  };
  /// `path`: normalised, as routing used it. Exclusions with a path do not apply if it is empty.
  [[nodiscard]] Active activate(std::string_view path) const;

 private:
  struct Entry {
    std::uint32_t rule;
    ExclusionTarget target;
    std::string path;  // empty: everywhere
  };
  struct Removed {
    std::uint32_t rule;
    std::string path;
  };
  std::vector<Entry> entries_;  // sorted by rule
  std::vector<Removed> rules_;
};

}  // namespace gatehouse::waf
