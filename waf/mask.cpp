#include "waf/mask.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "waf/mask_chars.hpp"
#include "waf/mask_looks.hpp"
#include "waf/mask_sql.hpp"
#include "waf/mask_values.hpp"
#include "waf/printable.hpp"
#include "waf/secret_names.hpp"
#include "waf/unescape.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::string_view hidden = "***";
// Of a long value only this much is searched for secrets; nothing behind it is ever shown.
constexpr std::size_t searched_bytes = std::size_t{64} * 1024;
constexpr std::size_t searched_layers = 3;  // of escapes: JSON in JSON in a query
// Of a path, which each record of the access log has: 16 KiB of the worst would cost milliseconds.
constexpr std::size_t searched_path_bytes = 2048;
constexpr std::size_t before_focus_bytes = 20;
constexpr std::size_t shortest_by_looks = 10;  // what is secret without a name: a token, a number

int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Where the name begins that somebody else has chosen: behind the collection's, and behind that of a chained rule, which
// names the first one's target within its own: "MATCHED_VARS:REQUEST_COOKIES:id".
std::size_t name_begin(std::string_view target) noexcept {
  for (std::size_t at = 0;;) {
    const std::string_view rest = target.substr(at);
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos) return at;
    at += colon + 1;
    if (!rest.starts_with("MATCHED_VARS")) return at;
  }
}

// A token of RFC 9110 section 5.6.2, and the brackets of PHP's names.
bool is_cookie_name(std::string_view name) noexcept {
  static constexpr std::string_view others = "!#$%&'*+-.^_`|~[]";
  return std::ranges::all_of(
      name, [](char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || others.contains(c); });
}

// What `find(plain, layers, found)` finds in a text and in what is under its escapes, at its places in the text.
// `layers`: how many there are below.
template <typename Find>
std::vector<Masker::Range> in_layers(std::string_view text, Find find) {
  std::vector<Masker::Range> found;
  find(text, searched_layers, found);
  std::optional<Unescaped> plain = unescaped(text);
  for (std::size_t layers = searched_layers; plain && layers > 0; --layers) {
    const std::size_t first = found.size();
    find(plain->text, layers - 1, found);
    for (Masker::Range& range : std::span(found).subspan(first))
      range = {plain->from[range.begin], plain->from[range.end]};
    std::optional<Unescaped> next = unescaped(plain->text);
    if (next) std::ranges::for_each(next->from, [&](std::uint32_t& at) { at = plain->from[at]; });
    plain = std::move(next);
  }
  return found;
}

// Sorted, without overlaps and without what is empty.
void settle(std::vector<Masker::Range>& ranges) {
  std::erase_if(ranges, [](const Masker::Range& range) { return range.begin >= range.end; });
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<Masker::Range> merged;
  for (const Masker::Range& range : ranges) {
    if (!merged.empty() && range.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, range.end);
    } else {
      merged.push_back(range);
    }
  }
  ranges = std::move(merged);
}

}  // namespace

Masker::Masker(const std::vector<std::string>& names) : names_(names), cookies_(names_.contains("cookie")) {}

bool Masker::is_secret_name(std::string_view name) const { return is_secret_name(name, searched_layers); }

// `layers`: how often somebody may decode the name again and find a secret's.
bool Masker::is_secret_name(std::string_view name, std::size_t layers) const {
  if (has_secret_segment(name)) return true;
  if (name.size() > longest_name_bytes) return false;
  std::string decoded;
  for (; layers > 0 && name.contains('%'); --layers) {
    std::string next = percent_decoded(name);
    if (next.size() == name.size()) return false;
    decoded = std::move(next);
    name = decoded;
    if (has_secret_segment(name)) return true;
  }
  return false;
}

bool Masker::has_secret_segment(std::string_view name) const {
  constexpr std::string_view separators = ".[]:";
  // Where a name is a path into a structure, what is inside of a secret is one as well.
  const bool path = name.find_first_of("[.") != std::string_view::npos;
  // The last segment that is more than a number or an index: a.b, a[b], ARGS:a.
  while (!name.empty()) {
    const std::size_t end = name.find_last_not_of(separators);
    if (end == std::string_view::npos) return false;
    name = name.substr(0, end + 1);
    const std::size_t begin = name.find_last_of(separators) + 1;  // npos + 1 is 0
    const std::string_view segment = name.substr(begin);
    const bool index = segment.starts_with("array_") || std::all_of(segment.begin(), segment.end(), is_digit);
    if (!index && names_.match(segment)) return true;
    if (begin == 0 || (!index && !path)) return begin == 0 && index && names_.match(segment);
    name = name.substr(0, begin - 1);
  }
  return false;
}

bool Masker::is_secret_target(std::string_view target) const {
  if (const std::size_t colon = target.find(':'); colon != std::string_view::npos) {
    const std::string_view collection = target.substr(0, colon);
    if (cookies_ && collection == "REQUEST_COOKIES_NAMES")
      return true;  // parts of the Cookie header, as the values are
    if (collection.ends_with("_NAMES")) return false;  // the name of a secret is none
    if (cookies_ && collection == "REQUEST_COOKIES") return true;
    // A chained rule names the first one's target within its own: "MATCHED_VARS:REQUEST_COOKIES:id".
    if (cookies_ && (target.contains(":REQUEST_COOKIES:") || target.contains(":REQUEST_COOKIES_NAMES:"))) return true;
    return is_secret_name(target.substr(colon + 1));
  }
  return false;
}

std::string Masker::target(std::string_view target) const {
  const std::size_t begin = name_begin(target);
  const std::string_view collection = target.substr(0, begin);
  const std::string_view name = target.substr(begin);
  std::string out;
  if (!append_printable(collection, event_text_bytes, out)) return out;
  // Of REQUEST_COOKIES_NAMES the name is the value.
  const bool hides = cookies_ && (collection.ends_with("REQUEST_COOKIES_NAMES:") ||
                                  (collection.ends_with("REQUEST_COOKIES:") && !is_cookie_name(name)));
  return out += hides ? hidden : text(name, event_text_bytes - out.size());
}

void Masker::named(std::string_view text, std::size_t layers, std::vector<Range>& found) const {
  std::size_t at = 0;
  while (at < text.size()) {
    if (!is_name_char(text[at])) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < text.size() && is_name_char(text[at])) ++at;
    const std::string_view raw = text.substr(begin, at - begin);
    if (!is_secret_name(raw, layers)) continue;
    // In quotes, maybe with blanks between, which are cut off by who reads it.
    std::size_t before = begin;
    while (before > 0 && is_space(text[before - 1])) --before;
    const std::size_t behind = skip_spaces(text, at);
    const char quote = before > 0 ? text[before - 1] : '\0';
    const bool quoted = (quote == '"' || quote == '\'') && behind < text.size() && text[behind] == quote;
    if (const auto range = quoted ? value_after(text, before, behind + 1, true) : value_after(text, begin, at, false)) {
      found.push_back(*range);
      at = std::max(at, range->end);
    }
    if (const auto range = sql_value_before(text, quoted ? before - 1 : begin)) found.push_back(*range);
  }
}

std::vector<Masker::Range> Masker::secrets(std::string_view text) const {
  std::vector<Range> found = in_layers(text, [&](std::string_view plain, std::size_t layers, std::vector<Range>& out) {
    named(plain, layers, out);
    find_by_looks(plain, [&](std::size_t begin, std::size_t end) { out.push_back({begin, end}); });
  });
  settle(found);
  return found;
}

std::string Masker::shown(std::string_view target, std::string_view value, std::string_view focus) const {
  if (value.empty()) return {};
  if (is_secret_target(target)) return std::string(hidden);
  value = value.substr(0, searched_bytes);
  std::size_t start = 0;
  if (value.size() > event_text_bytes && !focus.empty()) {
    const std::size_t at = value.find(focus);
    if (at != std::string_view::npos && at > before_focus_bytes) start = at - before_focus_bytes;
  }
  return without(value, secrets(value), event_text_bytes, start);
}

std::string Masker::text(std::string_view text, std::size_t max_bytes) const {
  text = text.substr(0, searched_bytes);
  return without(text, secrets(text), max_bytes);
}

std::string Masker::without(std::string_view text, const std::vector<Range>& ranges, std::size_t max_bytes,
                            std::size_t start) {
  std::string out;
  std::size_t at = start;
  for (const Range& range : ranges) {
    if (range.end <= at) continue;
    if (range.begin > at && !append_printable(text.substr(at, range.begin - at), max_bytes, out)) return out;
    if (!append_printable(hidden, max_bytes, out)) return out;
    at = range.end;
  }
  append_printable(text.substr(at), max_bytes, out);
  return out;
}

std::string Masker::path(std::string_view path) const {
  const bool whole = path.size() <= searched_path_bytes;
  // Whole segments: of a part of one nobody could tell what it is.
  if (!whole) path = path.substr(0, path.substr(0, searched_path_bytes).rfind('/') + 1);  // npos + 1 is 0
  // The slashes of a URL part segments here.
  std::vector<Range> found = in_layers(path, [](std::string_view plain, std::size_t, std::vector<Range>& out) {
    find_url_credentials(plain, [&](std::size_t begin, std::size_t end) { out.push_back({begin, end}); });
  });
  // A "/" ends a segment and its parameters, a ";" begins another parameter, whatever a value was meant to hold (RFC 3986
  // section 3.3): of "/;session=a/b" endpoints see the segment "b", and it tells where the request went.
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find_first_of("/;", at), path.size());
    const std::string_view piece = path.substr(at, end - at);  // a segment or one of its parameters
    const std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos && is_secret_name(piece.substr(0, equals))) {
      found.push_back({at + equals + 1, end});
    } else if (piece.size() >= shortest_by_looks || piece.find_first_of("=:%") != std::string_view::npos) {
      for (const Range& range : secrets(piece)) found.push_back({at + range.begin, at + range.end});
    }
    at = end + 1;
  }
  settle(found);
  std::string out;
  std::size_t shown = 0;
  for (const Range& range : found) {
    out.append(path.substr(shown, range.begin - shown)).append(hidden);
    shown = range.end;
  }
  out.append(path.substr(shown));
  if (!whole) out.append(hidden);
  return out;
}

std::string Masker::query(std::string_view query) const {
  std::string out;
  while (true) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && is_secret_name(percent_decoded(pair.substr(0, equals)))) {
      out.append(pair.substr(0, equals + 1)).append(hidden);
    } else {
      std::size_t at = 0;
      for (const Range& range : secrets(pair)) {
        out.append(pair.substr(at, range.begin - at)).append(hidden);
        at = range.end;
      }
      out.append(pair.substr(at));
    }
    if (end == query.size()) return out;
    out += '&';
    query.remove_prefix(end + 1);
  }
}

}  // namespace gatehouse::waf
