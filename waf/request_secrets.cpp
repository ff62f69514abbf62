#include "waf/request_secrets.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <utility>

#include "waf/seclang.hpp"
#include "waf/unescape.hpp"
#include "waf/xml_secrets.hpp"

namespace gatehouse::waf {
namespace {

// Real requests have a handful. Of one with more than this, what comes of none knows where is not shown.
constexpr std::size_t most_secrets = 256;
constexpr std::size_t most_bytes = std::size_t{256} * 1024;
constexpr std::size_t shortest_secret = 4;   // shorter ones would hide every text that has them by chance
constexpr std::size_t searched_bytes = std::size_t{64} * 1024;
constexpr std::size_t compared_bytes = 512;  // more than any event shows
// So much in common is no chance: for what a rule has made, and for what is another part of the request.
constexpr std::size_t copied_part_bytes = 6;
constexpr std::size_t shown_part_bytes = 8;

// What transformations leave of a value: letters, in lower case, digits and what is not ASCII. They change case, remove
// blanks and quotes, decode.
std::string essence(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c + ('a' - 'A'));
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80) {
      out += c;
    }
  }
  return out;
}

// What base64 stands for, as far as it can be read; user and password of Basic credentials (RFC 7617).
std::string base64_decoded(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::uint32_t value = c >= 'A' && c <= 'Z'   ? static_cast<std::uint32_t>(c - 'A')
                                : c >= 'a' && c <= 'z' ? static_cast<std::uint32_t>(c - 'a' + 26)
                                : c >= '0' && c <= '9' ? static_cast<std::uint32_t>(c - '0' + 52)
                                : c == '+' || c == '-' ? 62u
                                : c == '/' || c == '_' ? 63u
                                                       : 64u;
    if (value == 64) break;
    bits = bits << 6 | value;
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

// Whether a part of some length of one text is in another. The first is short.
class Parts {
 public:
  Parts(std::string_view text, std::size_t part_bytes)
      : part_bytes_(part_bytes), mask_(~std::uint64_t{0} >> (64 - 8 * part_bytes)) {
    each(text, [&](std::uint64_t part) {
      parts_.push_back(part);
      filter_.set(hash(part));
      return false;
    });
    std::ranges::sort(parts_);
  }
  [[nodiscard]] bool in(std::string_view text) const {
    return each(text,
                [&](std::uint64_t part) { return filter_[hash(part)] && std::ranges::binary_search(parts_, part); });
  }

 private:
  static constexpr std::size_t filter_bits = 13;
  static std::size_t hash(std::uint64_t part) noexcept { return part * 0x9E3779B97F4A7C15u >> (64 - filter_bits); }

  // Until `done` says so.
  template <typename Done>
  bool each(std::string_view text, Done done) const {
    std::uint64_t part = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      part = (part << 8 | static_cast<unsigned char>(text[i])) & mask_;
      if (i + 1 >= part_bytes_ && done(part)) return true;
    }
    return false;
  }

  std::size_t part_bytes_;  // 1 to 8
  std::uint64_t mask_;
  std::vector<std::uint64_t> parts_;
  std::bitset<std::size_t{1} << filter_bits> filter_;
};

bool has_unread_body(const modsecurity::Transaction& transaction) {
  return transaction.m_requestBodyProcessor == modsecurity::Transaction::UnknownFormat &&
         !transaction.m_requestBody.view().empty();
}

}  // namespace

void RequestSecrets::add(std::string_view value, Form form, List& list) {
  if (value.size() < shortest_secret) {
    list.has_short = list.has_short || !value.empty();
    return;
  }
  if (list.essences.size() + list.raw.size() + list.within.size() >= most_secrets ||
      list.bytes + value.size() > most_bytes) {
    list.complete = false;
    return;
  }
  list.bytes += value.size();
  std::string what_stays = essence(value);
  if (what_stays.size() >= shortest_secret) {
    (form == Form::within ? list.within : list.essences).push_back(std::move(what_stays));
  } else if (form != Form::within) {
    list.raw.emplace_back(value);
  }
}

// Also as rules see it after the transformations that decode.
void RequestSecrets::add_forms(std::string_view value, Form form, List& list) {
  add(value, form, list);
  if (value.size() > most_bytes) return;
  if (const auto plain = unescaped(value)) add(plain->text, form, list);
  const std::size_t blank = value.find(' ');
  if (form == Form::credentials && blank != std::string_view::npos) {  // "Bearer abc": the token alone
    value.remove_prefix(blank + 1);
    add(value, form, list);
  }
  add(base64_decoded(value), form, list);
}

// What is secret within a value that is not: in an address, JSON, XML, ... .
void RequestSecrets::collect_within(std::string_view text, List& list) const {
  if (text.size() < shortest_secret) return;
  if (text.size() > most_bytes - list.searched_bytes) {
    list.complete = false;
    return;
  }
  list.searched_bytes += text.size();
  for (const Masker::Range& range : masker_.secrets(text))
    add_forms(text.substr(range.begin, range.end - range.begin), Form::within, list);
}

void RequestSecrets::collect(const modsecurity::AnchoredSetVariable& variables, bool all, List& list) const {
  const auto is_secret = [&](std::string_view name) { return all || masker_.is_secret_name(name); };
  // Each cookie is collected.
  const auto passed_over = [&](const std::string& name) {
    return masker_.hides_cookies() && seclang::equals_ignoring_case(name, "cookie");
  };
  // Those that are known by name come first, however much else there is.
  for (const auto& [name, found] : variables) {
    if (passed_over(name) || !is_secret(name)) continue;
    const bool credentials = seclang::lower_case(name).ends_with("authorization");
    add_forms(found->getValue(), credentials ? Form::credentials : Form::value, list);
  }
  for (const auto& [name, found] : variables) {
    if (passed_over(name) || is_secret(name)) continue;
    collect_within(found->getValue(), list);
    if (!list.complete) return;
  }
}

void RequestSecrets::gather(modsecurity::Transaction& transaction) {
  if (!stale_) return;
  stale_ = false;
  if (!std::exchange(have_headers_, true)) {
    collect(transaction.m_variableRequestHeaders, false, headers_);
    collect(transaction.m_variableRequestCookies, masker_.hides_cookies(), headers_);
  }
  if (!gone_ && transaction.m_variableArgs.size() != argument_count_) {
    argument_count_ = transaction.m_variableArgs.size();
    arguments_ = {};
    collect(transaction.m_variableArgs, false, arguments_);
  }
  if (!gone_ && !have_body_ && has_unread_body(transaction)) {
    have_body_ = true;
    const std::string_view body = transaction.m_requestBody.view();
    collect_within(body.substr(0, searched_bytes), arguments_);
    if (body.size() > searched_bytes) arguments_.complete = false;
  }
  if (!transaction.m_variableResponseHeaders.empty()) {
    answer_ = {};
    collect(transaction.m_variableResponseHeaders, false, answer_);
    if (const std::string_view body = transaction.m_responseBody.view(); !body.empty()) {
      collect_within(body.substr(0, searched_bytes), answer_);
      if (body.size() > searched_bytes) answer_.complete = false;
    }
  }
}

void RequestSecrets::body_goes(modsecurity::Transaction& transaction, bool gather_first) {
  if (gather_first) {
    stale_ = true;
    gather(transaction);
    (void)in_xml(transaction);
  } else {
    lost_ = !transaction.m_variableArgs.empty() || has_unread_body(transaction) ||
            transaction.m_requestBodyProcessor == modsecurity::Transaction::XMLRequestBody;
  }
  gone_ = true;
}

bool RequestSecrets::stand_in(std::string_view text, modsecurity::Transaction& transaction) {
  gather(transaction);
  text = text.substr(0, searched_bytes);
  std::string searched;  // made once there is something to look for
  for (const List* const list : {&headers_, &arguments_, &answer_}) {
    for (const std::string& secret : list->raw) {
      if (text.contains(secret)) return true;
    }
    for (const std::string& secret : list->essences) {
      if (secret.size() > text.size()) continue;
      if (searched.empty()) searched = essence(text);
      if (searched.contains(secret)) return true;
    }
  }
  return false;
}

bool RequestSecrets::show_in(std::string_view text, modsecurity::Transaction& transaction) {
  return stand_in(text, transaction) || have_parts_of(essence(text.substr(0, compared_bytes)), shown_part_bytes, false);
}

bool RequestSecrets::may_be(std::string_view text, modsecurity::Transaction& transaction, Sum sum) {
  if (stand_in(text, transaction)) return true;
  const std::string compared = essence(text.substr(0, compared_bytes));
  if (compared.size() < shortest_secret) return false;
  const bool scores = sum == Sum::yes && std::ranges::all_of(compared, [](char c) { return c >= '0' && c <= '9'; });
  if (!scores && (lost_ || !is_complete() || in_xml(transaction) || (encoded_ && are_there()))) return true;
  if (have_parts_of(compared, copied_part_bytes, text.size() <= compared_bytes)) return true;
  // Shorter than such a part.
  return std::ranges::any_of(std::array{&headers_, &arguments_, &answer_}, [&](const List* list) {
    return std::ranges::any_of(list->within, [&](const std::string& secret) { return compared.contains(secret); });
  });
}

bool RequestSecrets::may_be_in_pieces(modsecurity::Transaction& transaction) {
  gather(transaction);
  const auto has_short = [](const List* list) { return list->has_short; };
  return lost_ || !is_complete() || in_xml(transaction) || are_there() ||
         std::ranges::any_of(std::array{&headers_, &arguments_, &answer_}, has_short);
}

bool RequestSecrets::is_complete() const noexcept {
  return headers_.complete && arguments_.complete && answer_.complete;
}

bool RequestSecrets::are_there() const noexcept {
  return std::ranges::any_of(std::array{&headers_, &arguments_, &answer_}, [](const List* list) {
    return !list->essences.empty() || !list->raw.empty() || !list->within.empty();
  });
}

// `whole`: also whether all of the text is a part, if it is shorter.
bool RequestSecrets::have_parts_of(std::string_view text, std::size_t part_bytes, bool whole) const {
  const Parts parts(text, part_bytes);
  const auto part = [&](const std::string& secret) { return (whole && secret.contains(text)) || parts.in(secret); };
  return std::ranges::any_of(std::array{&headers_, &arguments_, &answer_}, [&](const List* list) {
    return std::ranges::any_of(list->essences, part) || std::ranges::any_of(list->within, part);
  });
}

bool RequestSecrets::in_xml(modsecurity::Transaction& transaction) {
  if (in_xml_) return *in_xml_;
  if (transaction.m_requestBodyProcessor != modsecurity::Transaction::XMLRequestBody) return false;
  const std::string_view body = transaction.m_requestBody.view();
  if (body.empty()) return false;  // not there yet
  in_xml_ = may_name_secret(body, masker_);
  return *in_xml_;
}

}  // namespace gatehouse::waf
