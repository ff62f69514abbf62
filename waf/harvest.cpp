#include "waf/harvest.hpp"

#include <algorithm>

#include "waf/printable.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::size_t message_bytes = 256;
constexpr std::size_t shortest_secret = 4;  // shorter ones would hide every text that has them by chance

// Transformations change case, remove blanks and quotes, decode: letters and digits are what stays of a secret.
std::string essence(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c + ('a' - 'A'));
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      out += c;
    }
  }
  return out;
}

// Targets that do not say where their value came from.
bool is_opaque(std::string_view target) noexcept {
  return target.starts_with("MATCHED_VAR") || target.starts_with("TX:") || target.starts_with("RULE") ||
         target.find(':') == std::string_view::npos;
}

}  // namespace

void Harvest::take(modsecurity::Transaction& transaction) {
  for (const modsecurity::RuleMessage& message : transaction.m_rulesMessages) add(message, transaction);
  transaction.m_rulesMessages.clear();
}

void Harvest::add(const modsecurity::RuleMessage& message, modsecurity::Transaction& transaction) {
  const auto id = static_cast<std::uint32_t>(message.m_ruleId);
  const bool known =
      std::any_of(matches_.begin(), matches_.end(), [&](const RuleMatch& match) { return match.id == id; });
  if (known || matches_.size() >= max_matches) return;
  RuleMatch match;
  match.id = id;
  match.message = masker_.text(message.m_message, message_bytes);
  if (holds_secret(match.message, transaction)) match.message = printable("***");
  if (message.m_rule != nullptr && message.m_rule->hasSeverity()) {
    match.severity = seclang::severity_name(message.m_rule->severity());
  }
  const std::string& target = transaction.m_variableMatchedVarName.m_value;
  match.target = masker_.text(target, event_text_bytes);
  match.match = shown_match(target, transaction);
  matches_.push_back(std::move(match));
}

std::string Harvest::shown_match(std::string_view target, modsecurity::Transaction& transaction) const {
  const std::string& value = transaction.m_variableMatchedVar.m_value;
  std::string_view focus;
  for (const std::string& part : transaction.m_matched) {  // what the pattern captured, the whole match first
    if (!part.empty() && value.find(part) != std::string::npos) {
      focus = part;
      break;
    }
  }
  if (is_opaque(target) && target.find("REQUEST_BODY") == std::string_view::npos && holds_secret(value, transaction))
    return "***";
  std::string text = masker_.shown(target, value, focus);
  if (holds_secret(text, transaction)) return "***";
  return text;
}

// True if the value of something that is secret by its name stands in the text, however it got there.
bool Harvest::holds_secret(std::string_view text, modsecurity::Transaction& transaction) const {
  std::string searched;  // made once there is something to look for
  const auto holds = [&](const modsecurity::AnchoredSetVariable& variables, bool all) {
    for (const auto& [name, value] : variables) {
      if (!all && !masker_.is_secret_name(name)) continue;
      const std::string secret = essence(value->getValue());
      if (secret.size() < shortest_secret) continue;
      if (searched.empty()) searched = essence(text);
      if (searched.find(secret) != std::string::npos) return true;
    }
    return false;
  };
  return holds(transaction.m_variableArgs, false) || holds(transaction.m_variableRequestHeaders, false) ||
         holds(transaction.m_variableRequestCookies, masker_.hides_cookies());
}

}  // namespace gatehouse::waf
