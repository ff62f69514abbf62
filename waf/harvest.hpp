// Turns what libmodsecurity says of a match into what an event may show: the rule, where it matched and on what,
// without secrets. Called by waf/phase_runner.cpp right after a rule has matched, while MATCHED_VAR still is its own.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waf/mask.hpp"
#include "waf/modsecurity.hpp"
#include "waf/request_secrets.hpp"
#include "waf/rule_text.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf {

inline constexpr std::size_t max_matches = 100;  // CONTRACT: Outcome::rules

class Harvest {
 public:
  explicit Harvest(const Masker& masker) : masker_(masker), secrets_(masker) {}

  /// Takes the messages that the library has collected since the last call. A rule counts once a transaction.
  /// `constants`: what stands around the macros of the rule's msg, in order; empty if it has none or is not known.
  /// `encodes`: see encodes_values(). `pieces`: see Pieces::shown_by().
  void take(modsecurity::Transaction& transaction, std::span<const std::string> constants, bool encodes, bool pieces);

  /// The client's address is shown as `shown`, wherever rules put it.
  void show_client(std::string_view address, std::string_view shown) {
    client_ = address;
    client_shown_ = shown;
  }

  /// To be told when a phase begins, and when arguments and body are released.
  [[nodiscard]] RequestSecrets& secrets() noexcept { return secrets_; }

  [[nodiscard]] const std::vector<RuleMatch>& matches() const noexcept { return matches_; }
  [[nodiscard]] std::vector<RuleMatch> release() noexcept { return std::move(matches_); }

 private:
  void add(const modsecurity::RuleMessage& message, std::span<const std::string> constants, bool encodes, bool pieces,
           modsecurity::Transaction& transaction);
  [[nodiscard]] std::string shown_message(const modsecurity::RuleMessage& message,
                                          std::span<const std::string> constants, bool hide,
                                          modsecurity::Transaction& transaction);
  [[nodiscard]] std::string shown_match(std::string_view target, modsecurity::Transaction& transaction);
  /// As much of it as is ever searched for secrets; nothing behind that is shown.
  [[nodiscard]] std::string with_client_shown(std::string_view text) const;

  const Masker& masker_;  // the engine's, which outlives every transaction
  RequestSecrets secrets_;
  std::string client_;  // empty: it may be shown
  std::string client_shown_;
  std::vector<RuleMatch> matches_;
};

/// The first `max_bytes` of `text` with `to` for each `from`, which is not empty. In one pass, whatever is replaced by
/// what, and reads no more of `text` than that takes.
[[nodiscard]] std::string replaced(std::string_view text, std::string_view from, std::string_view to,
                                   std::size_t max_bytes);

/// The texts around the macros of a rule's msg, in order: n + 1 for n macros, of which some may be empty. None if
/// there is no macro.
[[nodiscard]] std::vector<std::string> constants_of_message(const RuleText& rule);

/// True if the rule turns values into texts by which no mask knows them, and people do: hexadecimal digits, base64, digests.
[[nodiscard]] bool encodes_values(const RuleText& rule);

}  // namespace gatehouse::waf
