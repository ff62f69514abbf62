// Turns what libmodsecurity says of a match into what an event may show: the rule, where it matched and on what,
// without secrets. Called by waf/phase_runner.cpp right after a rule has matched, while MATCHED_VAR still is its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "waf/mask.hpp"
#include "waf/modsecurity.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf {

inline constexpr std::size_t max_matches = 100;  // CONTRACT: Outcome::rules

class Harvest {
 public:
  explicit Harvest(const Masker& masker) : masker_(masker) {}

  /// Takes the messages that the library has collected since the last call. A rule counts once a transaction.
  void take(modsecurity::Transaction& transaction);

  [[nodiscard]] const std::vector<RuleMatch>& matches() const noexcept { return matches_; }
  [[nodiscard]] std::vector<RuleMatch> release() noexcept { return std::move(matches_); }

 private:
  void add(const modsecurity::RuleMessage& message, modsecurity::Transaction& transaction);
  [[nodiscard]] std::string shown_match(std::string_view target, modsecurity::Transaction& transaction) const;
  [[nodiscard]] bool holds_secret(std::string_view text, modsecurity::Transaction& transaction) const;

  const Masker& masker_;  // the engine's, which outlives every transaction
  std::vector<RuleMatch> matches_;
};

}  // namespace gatehouse::waf
