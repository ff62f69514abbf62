#include "waf/harvest.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "waf/printable.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::size_t message_bytes = 256;
constexpr std::size_t searched_bytes = std::size_t{64} * 1024;

// What a rule sees of the request and the answer themselves. All else a rule has made: TX, MATCHED_VAR, ... .
bool is_part_of_exchange(std::string_view target) noexcept {
  constexpr std::array<std::string_view, 13> names{
      "ARGS",     "FILES",     "FULL_REQUEST", "MULTIPART_",  "PATH_INFO",    "REMOTE_", "REQBODY_",
      "REQUEST_", "RESPONSE_", "SERVER_",      "STATUS_LINE", "QUERY_STRING", "XML"};
  return std::ranges::any_of(names, [&](std::string_view name) { return target.starts_with(name); });
}

// A whole text of which the value may be anywhere.
bool is_whole_text(std::string_view target) noexcept {
  return target.find(':') == std::string_view::npos && target != "REQUEST_BODY";
}

bool is_of_xml(std::string_view target) noexcept { return target.starts_with("XML") || target.contains(":XML:"); }

using Ranges = std::vector<Masker::Range>;

// Where the constants are in what became of them and the macros. Only what equals a constant is ever taken for one, so
// that a wrong guess shows nothing of a macro's value that the rule's author has not written.
Ranges places_of(std::string_view text, std::span<const std::string> constants, std::string_view all_constants) {
  Ranges out;
  std::size_t end = text.size();
  std::size_t at = 0;
  if (constants.size() < 2) {  // unknown: what it begins and ends with
    while (at < std::min(text.size(), all_constants.size()) && text[at] == all_constants[at]) ++at;
    std::size_t tail = 0;
    while (tail < std::min(text.size(), all_constants.size()) - at &&
           text[text.size() - 1 - tail] == all_constants[all_constants.size() - 1 - tail])
      ++tail;
    return {{0, at}, {text.size() - tail, text.size()}};
  }
  const auto found = [&](std::size_t begin, std::size_t length) {
    if (length > 0) out.push_back({begin, begin + length});
    at = begin + length;
  };
  if (text.starts_with(constants.front())) found(0, constants.front().size());
  if (text.substr(at).ends_with(constants.back())) end -= constants.back().size();
  for (const std::string& constant : constants.subspan(1, constants.size() - 2)) {
    const std::size_t begin = text.substr(0, end).find(constant, at);
    if (begin != std::string_view::npos) found(begin, constant.size());
  }
  if (end < text.size()) out.push_back({end, text.size()});
  return out;
}

// What `ranges` leave of a text; both in order.
Ranges gaps(std::size_t size, const Ranges& ranges) {
  Ranges out;
  std::size_t at = 0;
  for (const Masker::Range& range : ranges) {
    if (range.begin > at) out.push_back({at, range.begin});
    at = std::max(at, range.end);
  }
  if (at < size) out.push_back({at, size});
  return out;
}

// The parts that are in both; each in order, without overlaps.
Ranges common(const Ranges& a, const Ranges& b) {
  Ranges out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const std::size_t begin = std::max(a[i].begin, b[j].begin);
    const std::size_t end = std::min(a[i].end, b[j].end);
    if (begin < end) out.push_back({begin, end});
    a[i].end < b[j].end ? ++i : ++j;
  }
  return out;
}

std::string joined(std::string_view text, const Ranges& ranges) {
  std::string out;
  for (const Masker::Range& range : ranges) out.append(text.substr(range.begin, range.end - range.begin));
  return out;
}

// A chain's message is that of its first rule that has one: each overwrites those of the rules behind it.
modsecurity::RuleWithActions* with_message(modsecurity::RuleWithActions* rule) noexcept {
  while (rule != nullptr && !rule->hasMsg()) rule = rule->m_chainedRuleChild.get();
  return rule;
}

}  // namespace

void Harvest::take(modsecurity::Transaction& transaction, std::span<const std::string> constants, bool encodes,
                   bool pieces) {
  for (const modsecurity::RuleMessage& message : transaction.m_rulesMessages)
    add(message, constants, encodes, pieces, transaction);
  transaction.m_rulesMessages.clear();
}

void Harvest::add(const modsecurity::RuleMessage& message, std::span<const std::string> constants, bool encodes,
                  bool pieces, modsecurity::Transaction& transaction) {
  const auto id = static_cast<std::uint32_t>(message.m_ruleId);
  const bool known =
      std::any_of(matches_.begin(), matches_.end(), [&](const RuleMatch& match) { return match.id == id; });
  if (known || matches_.size() >= max_matches) return;
  RuleMatch match;
  match.id = id;
  const std::string& target = transaction.m_variableMatchedVarName.m_value;
  const bool cut = pieces && secrets_.may_be_in_pieces(transaction);
  match.message = shown_message(message, constants, encodes || cut || masker_.is_secret_target(target), transaction);
  if (message.m_rule != nullptr && message.m_rule->hasSeverity()) {
    match.severity = seclang::severity_name(message.m_rule->severity());
  }
  match.target = masker_.target(with_client_shown(target));
  match.match = encodes || (cut && !is_part_of_exchange(target)) ? "***" : shown_match(target, transaction);
  matches_.push_back(std::move(match));
}

// The rule's own words as they are, and what its macros have put between them without secrets; `hide`: not at all.
std::string Harvest::shown_message(const modsecurity::RuleMessage& message, std::span<const std::string> constants,
                                   bool hide, modsecurity::Transaction& transaction) {
  const std::string shown = with_client_shown(std::string_view(message.m_message).substr(0, searched_bytes));
  const std::string_view text = shown;
  modsecurity::RuleWithActions* const rule = with_message(message.m_rule);
  const std::string own = rule != nullptr ? rule->msg(nullptr) : std::string{};  // macros are left out
  if (text == own) return printable(text, message_bytes);
  const Ranges from_macros = gaps(text.size(), places_of(text, constants, own));
  if (hide) return Masker::without(text, from_macros, message_bytes);
  Ranges hidden = common(masker_.secrets(text), from_macros);
  // A secret may be in one macro's value or, cut by what looked like the rule's words, in several.
  const Ranges seen = common(gaps(text.size(), hidden), from_macros);
  bool secret = secrets_.may_be(joined(text, from_macros), transaction, RequestSecrets::Sum::yes) ||
                secrets_.may_be(joined(text, seen), transaction, RequestSecrets::Sum::yes);
  for (const Masker::Range& range : from_macros)
    secret = secret || secrets_.may_be(text.substr(range.begin, range.end - range.begin), transaction);
  return Masker::without(text, secret ? from_macros : hidden, message_bytes);
}

std::string Harvest::shown_match(std::string_view target, modsecurity::Transaction& transaction) {
  const std::string value = with_client_shown(transaction.m_variableMatchedVar.m_value);
  std::string_view focus;
  for (const std::string& part : transaction.m_matched) {  // what the pattern captured, the whole match first
    if (!part.empty() && value.find(part) != std::string::npos) {
      focus = part;
      break;
    }
  }
  const bool of_xml = is_of_xml(target) || target == "REQUEST_BODY" || target == "FULL_REQUEST";
  if (of_xml && !value.empty() && secrets_.in_xml(transaction)) return "***";
  const bool made = !is_part_of_exchange(target);
  if (made ? secrets_.may_be(value, transaction) : is_whole_text(target) && secrets_.stand_in(value, transaction))
    return "***";
  std::string text = masker_.shown(target, value, focus);
  // Of a body's secrets a part may be left where its form is none that the mask knows.
  const bool in_part = made || target == "REQUEST_BODY";
  if (in_part ? secrets_.may_be(text, transaction) : secrets_.show_in(text, transaction)) return "***";
  return text;
}

std::string Harvest::with_client_shown(std::string_view text) const {
  if (client_.empty()) return std::string(text.substr(0, searched_bytes));
  return replaced(text, client_, client_shown_, searched_bytes);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to, std::size_t max_bytes) {
  std::string out;
  while (out.size() < max_bytes) {
    const std::size_t missing = max_bytes - out.size();
    // One that begins before the end counts.
    const std::size_t at = text.substr(0, missing + from.size() - 1).find(from);
    if (at == std::string_view::npos) return out.append(text.substr(0, missing));
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  out.resize(max_bytes);
  return out;
}

bool encodes_values(const RuleText& rule) {
  // And what takes it back: CRS's rules turn UTF-8 into "%uXXXX" so that the next transformation turns it into Latin-1.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> encodings{{{"hexencode", "hexdecode"},
                                                                                    {"base64encode", "base64decode"},
                                                                                    {"urlencode", "urldecode"},
                                                                                    {"utf8tounicode", "urldecode"},
                                                                                    {"md5", "none"},
                                                                                    {"sha1", "none"},
                                                                                    {"parityeven7bit", "none"},
                                                                                    {"parityodd7bit", "none"},
                                                                                    {"parityzero7bit", "none"}}};
  return std::ranges::any_of(rule.links, [&](const RuleLink& link) {
    std::vector<std::string_view> taken_back_by;
    bool each_step = false;
    bool encoded = false;
    for (const seclang::Action& action : link.actions) {
      if (action.name == "multimatch") each_step = true;
      if (action.name != "t") continue;
      const std::string name = seclang::lower_case(action.value);
      if (name == "none") {
        taken_back_by.clear();
        encoded = false;
      } else if (!taken_back_by.empty() && name.starts_with(taken_back_by.back())) {
        taken_back_by.pop_back();
      }
      for (const auto& [encoding, decoding] : encodings) {
        if (name != encoding) continue;
        taken_back_by.push_back(decoding);
        encoded = encoded || decoding != "urldecode";
      }
    }
    return !taken_back_by.empty() || (each_step && encoded);
  });
}

std::vector<std::string> constants_of_message(const RuleText& rule) {
  for (const RuleLink& link : rule.links) {
    for (const seclang::Action& action : link.actions) {
      if (action.name != "msg") continue;
      std::vector<std::string> out(1);
      const std::string& text = action.value;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.compare(at, 2, "%{") == 0 ? text.find('}', at) : std::string::npos;
        if (end != std::string::npos) {
          out.emplace_back();
          at = end + 1;
        } else {
          out.back() += text[at++];
        }
      }
      if (out.size() < 2) out.clear();
      return out;
    }
  }
  return {};
}

}  // namespace gatehouse::waf
