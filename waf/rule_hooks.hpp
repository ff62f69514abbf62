// Bounds on what one rule does inside libmodsecurity, where the growth and the time are: at each expansion of a text
// with macros, each value that is set, each transformation and each value that an operator looks at.
//
// As with PCRE2 (waf/interpose.hpp), the library finds our definitions of some of its own functions first; they ask the
// budget, keep to bounds while a tenant's rule runs, and leave out what a tenant has excluded. Used by
// waf/phase_runner.cpp and waf/interpose.cpp.
#pragma once

#include <cstddef>
#include <list>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "waf/exclusions.hpp"
#include "waf/modsecurity.hpp"

namespace gatehouse::waf {

/// What a tenant's rules keep in TX of one transaction, and the longest text that one of them makes of macros. More is
/// an engine error, but for messages, which are cut.
inline constexpr std::size_t max_tx_bytes = std::size_t{64} * 1024;

/// The bytes that a transaction holds in TX by its tenant's rules.
class TxAccount {
 public:
  /// The variable becomes a value of so many bytes. False if that is too much.
  [[nodiscard]] bool set(const std::string& name, std::size_t bytes);

 private:
  std::unordered_map<std::string, std::size_t> values_;
  std::size_t bytes_ = 0;
};

/// While it lives, a tenant's rule runs on this thread; with null, one of the platform's.
class OwnRuleScope {
 public:
  explicit OwnRuleScope(TxAccount* account) noexcept;
  ~OwnRuleScope();
  OwnRuleScope(const OwnRuleScope&) = delete;
  OwnRuleScope& operator=(const OwnRuleScope&) = delete;
};

/// While it lives, the rule that runs on this thread does not look at `targets`: neither do the hooks let a value of
/// them to its operator, nor does the library ask for whole variables of them, which may take long (XML, bodies).
class ExclusionScope {
 public:
  using Targets = std::span<const ExclusionTarget* const>;

  ExclusionScope(modsecurity::Transaction& transaction, std::uint32_t rule, Targets targets);
  ~ExclusionScope();
  ExclusionScope(const ExclusionScope&) = delete;
  ExclusionScope& operator=(const ExclusionScope&) = delete;

 private:
  using Told = std::list<std::pair<int, std::string>>;
  Told& told_;  // the transaction's; entries of rules' own, by ctl, may come behind ours
  std::size_t count_ = 0;
};

/// True while a tenant's rule runs on this thread.
[[nodiscard]] bool own_rule_runs() noexcept;

/// True if every one of our definitions that the self-test's rules need has been called on this thread.
[[nodiscard]] bool rule_hooks_active() noexcept;

/// The same of those in waf/linear.cpp.
[[nodiscard]] bool linear_functions_active() noexcept;

}  // namespace gatehouse::waf
