#include "waf/mask_values.hpp"

#include <algorithm>
#include <string>

#include "waf/mask_chars.hpp"
#include "waf/mask_sql.hpp"
#include "waf/secret_names.hpp"

namespace gatehouse::waf {
namespace {

// The end of an unquoted value after "name=": "&" or a line's end, or ";" if another "name=" follows (cookies). A
// blank does not end it: transformations may have decoded one inside a password.
std::size_t plain_end(std::string_view text, std::size_t at) noexcept {
  for (; at < text.size(); ++at) {
    if (text[at] == '&' || text[at] == '\n' || text[at] == '\r') return at;
    if (text[at] != ';') continue;
    std::size_t name = skip_spaces(text, at + 1);
    const std::size_t start = name;
    while (name < text.size() && is_name_char(text[name])) ++name;
    if (name > start && name < text.size() && text[name] == '=') return at;
  }
  return at;
}

std::size_t line_end(std::string_view text, std::size_t at) noexcept {
  return std::min(text.find_first_of("\r\n", at), text.size());
}

// Where the element's name begins with its prefix, if what is at `begin` is one's local name: <wsse:Password.
std::optional<std::size_t> element_name(std::string_view text, std::size_t begin) noexcept {
  std::size_t at = begin;
  if (at > 0 && text[at - 1] == ':') {
    const std::size_t farthest = at - std::min(at, longest_name_bytes);
    for (--at; at > farthest && is_name_char(text[at - 1]);) --at;
  }
  return at > 0 && text[at - 1] == '<' ? std::optional(at) : std::nullopt;
}

// What is in an element whose local name begins at `begin` and ends at `after`, whatever it holds: CDATA, comments,
// other elements. Of one without content what may be in its attributes.
std::optional<Masker::Range> content_of(std::string_view text, std::size_t begin, std::size_t after) {
  const std::string name = folded_name(text.substr(begin, after - begin));
  const std::size_t open = text.find('>', after);
  if (open == std::string_view::npos) return Masker::Range{after, text.size()};
  if (text[open - 1] == '/') return Masker::Range{after, open - 1};
  std::size_t end = text.size();
  for (std::size_t at = text.find("</", open); at != std::string_view::npos; at = text.find("</", at + 2)) {
    std::size_t stop = at + 2;
    while (stop < text.size() && stop - at < longest_name_bytes && (is_name_char(text[stop]) || text[stop] == ':'))
      ++stop;
    const std::string_view closed = text.substr(at + 2, stop - at - 2);
    if (folded_name(closed.substr(closed.rfind(':') + 1)) != name) continue;
    end = at;
    break;
  }
  return Masker::Range{skip_spaces(text, open + 1) < end ? open + 1 : after, end};
}

// The value behind a name in what PHP serialises: s:8:"password";s:4:"abcd"; - of an array or object all that follows.
std::optional<Masker::Range> serialised_value(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size() || text[at + 1] != ':') return std::nullopt;
  if (text[at] == 'a' || text[at] == 'O' || text[at] == 'C') return Masker::Range{at, text.size()};
  const std::string_view end = text[at] == 's' ? "\";" : ";";
  const std::size_t begin = text[at] == 's' ? std::min(text.find('"', at), text.size() - 1) + 1 : at + 2;
  return Masker::Range{begin, std::min(text.find(end, begin), text.size())};
}

}  // namespace

std::optional<Masker::Range> value_after(std::string_view text, std::size_t begin, std::size_t after, bool quoted) {
  if (after < text.size() && (text[after] == '>' || text[after] == '/' || is_space(text[after])) &&
      element_name(text, begin))
    return content_of(text, begin, after);
  std::size_t at = skip_spaces(text, after);
  if (quoted && begin >= 6 && text.substr(begin - 6, 5) == "name=") {
    // multipart: name="password" CRLF CRLF value CRLF --boundary
    const std::size_t part_end = std::min(text.find("\n--", after), text.size());
    return Masker::Range{after, part_end};
  }
  if (at >= text.size()) return std::nullopt;
  if (quoted && text[at] == ';') return serialised_value(text, at + 1);
  if (const auto compared = sql_value(text, after)) return compared;
  if (text[at] == '=') {
    at = at + 1 < text.size() ? skip_spaces(text, at + 1) : at + 1;
    if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
      return Masker::Range{at + 1, sql_quoted_end(text, at + 1, text[at])};
    }
    return Masker::Range{at, plain_end(text, at)};
  }
  if (text[at] != ':') return std::nullopt;
  at = skip_spaces(text, at + 1);
  if (!quoted) return Masker::Range{at, line_end(text, at)};  // a header line
  if (at >= text.size()) return std::nullopt;
  if (text[at] == '"' || text[at] == '\'') return Masker::Range{at + 1, quoted_end(text, at + 1, text[at])};
  if (text[at] == '{' || text[at] == '[') return Masker::Range{at, text.size()};  // what is inside is secret as well
  return Masker::Range{at, std::min(text.find_first_of(",}] \r\n\t", at), text.size())};
}

}  // namespace gatehouse::waf
