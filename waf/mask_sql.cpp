#include "waf/mask_sql.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "waf/mask_chars.hpp"

namespace gatehouse::waf {
namespace {

// Bounds, so that texts full of columns take time in proportion to their length.
constexpr std::size_t comment_bytes = 256;  // of all comments between two words
constexpr std::size_t most_words = 5;       // of a comparison: not, like, binary, ...
constexpr std::size_t word_bytes = 16;
constexpr std::size_t name_bytes = 64;
constexpr std::size_t most_brackets = 4;
constexpr std::size_t value_before_bytes = 1024;

constexpr std::string_view signs = "<>=!~*";  // "~*": PostgreSQL's for expressions

bool is_quote(char c) noexcept { return c == '"' || c == '\''; }
bool is_quote_at(std::string_view text, std::size_t at) noexcept { return at < text.size() && is_quote(text[at]); }

// Blanks, comments and `others`.
std::size_t skip_filler(std::string_view text, std::size_t at, std::string_view others = {}) noexcept {
  for (std::size_t left = comment_bytes; at < text.size();) {
    if (is_space(text[at]) || others.contains(text[at])) {
      ++at;
      continue;
    }
    const std::string_view rest = text.substr(at, left);
    const bool block = rest.starts_with("/*");
    if (!block && !rest.starts_with("--") && !rest.starts_with('#')) return at;
    const std::size_t end = block ? rest.find("*/", 2) : rest.find('\n');
    if (end == std::string_view::npos) return at;
    at += end + (block ? 2 : 1);
    left -= end;
  }
  return at;
}

// The same backwards, without the comments that end with the line.
std::size_t before_filler(std::string_view text, std::size_t at, std::string_view others) noexcept {
  for (std::size_t left = comment_bytes; at > 0;) {
    if (is_space(text[at - 1]) || others.contains(text[at - 1])) {
      --at;
      continue;
    }
    const std::string_view rest = text.substr(at - std::min(at, left), std::min(at, left));
    if (rest.size() < 4 || !rest.ends_with("*/")) return at;
    const std::size_t begin = rest.rfind("/*", rest.size() - 4);
    if (begin == std::string_view::npos) return at;
    at -= rest.size() - begin;
    left -= rest.size() - begin;
  }
  return at;
}

std::size_t word_end(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && is_letter(text[at])) ++at;
  return at;
}

bool is_word(std::string_view text, std::string_view lower_word) noexcept {
  return std::ranges::equal(text, lower_word, {}, lower);
}

bool is_any(std::string_view text, std::span<const std::string_view> lower_words) noexcept {
  return std::ranges::any_of(lower_words, [&](std::string_view word) { return is_word(text, word); });
}

constexpr std::array<std::string_view, 11> comparing{"not", "like", "ilike", "rlike",   "regexp", "in",
                                                     "is",  "glob", "match", "similar", "between"};
// like binary 'a', similar to 'a', like text 'a'
constexpr std::array<std::string_view, 6> beside{"binary", "to", "text", "char", "varchar", "bytea"};

// The end of a name, at most so long, that begins at `at`; `at`, if what is there is no name but a number.
std::size_t name_end(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size() || is_digit(text[at]) || text[at] == '-' || text[at] == '.') return at;
  const std::size_t farthest = at + std::min(text.size() - at, name_bytes);
  while (at < farthest && is_name_char(text[at])) ++at;
  return at;
}

std::size_t name_begin(std::string_view text, std::size_t at) noexcept {
  const std::size_t farthest = at - std::min(at, name_bytes);
  while (at > farthest && is_name_char(text[at - 1])) --at;
  return at;
}

// What a number is written with, in any base; the first is a digit.
bool is_number_char(char c) noexcept { return is_digit(c) || is_letter(c) || c == '.' || c == '_'; }

// Where the quote of a string is, behind what tells its characters: N'a', x'61', U&'a', _utf8mb4 'a'. Any other word
// before a quote is more likely the last one of a quoted text.
std::size_t string_begin(std::string_view text, std::size_t at) noexcept {
  std::size_t end = name_end(text, at);
  const std::string_view prefix = text.substr(at, end - at);
  if (prefix.starts_with('_')) return skip_filler(text, end);
  if (is_word(prefix, "u") && end < text.size() && text[end] == '&') ++end;
  return (prefix.size() == 1 && is_letter(prefix[0])) || is_word(prefix, "nq") ? end : at;
}

// What to hide of a string or number that begins at `at`: all but its quotes and what is before them.
std::optional<Masker::Range> literal(std::string_view text, std::size_t at) noexcept {
  if (const std::size_t quote = string_begin(text, at); is_quote_at(text, quote))
    return Masker::Range{quote + 1, sql_quoted_end(text, quote + 1, text[quote])};
  std::size_t end = at;
  if (end < text.size() && (text[end] == '-' || text[end] == '+')) end = skip_spaces(text, end + 1);
  if (end < text.size() && text[end] == '.') ++end;
  if (end >= text.size() || !is_digit(text[end])) return std::nullopt;
  while (end < text.size() && is_number_char(text[end])) ++end;
  return Masker::Range{at, end};
}

// The first value within brackets, maybe a function's: 'a', ('a', lower(('a'.
struct Inside {
  std::size_t at;
  std::size_t depth;
};
Inside inside(std::string_view text, std::size_t at) noexcept {
  std::size_t depth = 0;
  for (; depth < most_brackets; ++depth) {
    const std::size_t open = skip_filler(text, name_end(text, at));
    if (open >= text.size() || text[open] != '(') break;
    at = skip_filler(text, open + 1);
  }
  return {at, depth};
}

// The end of what is within so many brackets: where the last one closes.
std::size_t brackets_end(std::string_view text, std::size_t at, std::size_t depth) noexcept {
  while (at < text.size()) {
    const char c = text[at];
    if (c == ')' && --depth == 0) return at;
    if (c == '(') ++depth;
    if (is_quote(c)) {
      at = sql_quoted_end(text, at + 1, c) + 1;
    } else {
      at = std::max(at + 1, skip_filler(text, at));
    }
  }
  return text.size();
}

// Where the comparison begins that ends at `end`, if one does.
std::optional<std::size_t> comparison_begin(std::string_view text, std::size_t end) noexcept {
  std::size_t at = end;
  while (at > 0 && signs.contains(text[at - 1])) --at;
  const std::string_view sign = text.substr(at, end - at);
  if (!sign.empty()) {
    // Of "<" and ">", alone or "><", there are more in markup: <a b='c'>password
    return sign.find_first_of("=!~") != std::string_view::npos || sign == "<>" ? std::optional(at) : std::nullopt;
  }
  while (at > 0 && end - at < word_bytes && is_letter(text[at - 1])) --at;
  constexpr std::array<std::string_view, 5> words{"like", "ilike", "rlike", "regexp", "glob"};
  if (!is_any(text.substr(at, end - at), words)) return std::nullopt;
  const std::size_t negated = before_filler(text, at, {});
  return negated >= 3 && is_word(text.substr(negated - 3, 3), "not") ? negated - 3 : at;
}

// The number that ends at `end`.
std::optional<Masker::Range> number_before(std::string_view text, std::size_t end) noexcept {
  const std::size_t farthest = end - std::min(end, value_before_bytes);
  std::size_t at = end;
  while (at > farthest && is_number_char(text[at - 1])) --at;
  return at < end && (is_digit(text[at]) || (at == farthest && at > 0)) ? std::optional(Masker::Range{at, end})
                                                                        : std::nullopt;
}

}  // namespace

std::optional<Masker::Range> sql_value(std::string_view text, std::size_t after) noexcept {
  const std::size_t begin = skip_filler(text, after, ")`");
  const bool direct = begin == skip_spaces(text, after);
  std::size_t at = begin;
  bool compared = false;
  bool between = false;
  for (std::size_t words = 0; words < most_words && at < text.size(); ++words) {
    const std::size_t end = std::min(text.find_first_not_of(signs, at), text.size());
    if (end > at) {
      if (text[at] == '*') return std::nullopt;
      if (direct && at == begin && end == at + 1 && text[at] == '=') return std::nullopt;
      compared = true;
      at = skip_filler(text, end);
      continue;
    }
    const std::size_t stop = word_end(text, at);
    const std::string_view word = text.substr(at, stop - at);
    if (is_word(word, "collate")) {
      at = skip_filler(text, stop);
      while (at < text.size() && is_name_char(text[at])) ++at;
      at = skip_filler(text, at);
      continue;
    }
    if (!is_any(word, comparing) && !is_any(word, beside)) break;
    compared = compared || is_any(word, comparing);
    between = between || is_word(word, "between");
    at = skip_filler(text, stop);
  }
  if (!compared) return std::nullopt;
  const Inside first = inside(text, at);
  std::optional<Masker::Range> value = literal(text, first.at);
  if (!value) return std::nullopt;
  if (first.depth > 0) value->end = brackets_end(text, first.at, first.depth);
  if (!between) return first.depth > 0 ? Masker::Range{first.at, value->end} : *value;
  // What is behind the first one, from its closing quote or bracket on.
  const bool closed = value->end < text.size() && (is_quote(text[value->end]) || text[value->end] == ')');
  const std::size_t word = skip_filler(text, value->end + (closed ? 1 : 0), ")");
  const std::size_t stop = word_end(text, word);
  if (!is_word(text.substr(word, stop - word), "and")) return value;
  const Inside second = inside(text, skip_filler(text, stop));
  if (const auto other = literal(text, second.at))
    value->end = second.depth > 0 ? brackets_end(text, second.at, second.depth) : other->end;
  return value;
}

std::optional<Masker::Range> sql_value_before(std::string_view text, std::size_t begin) noexcept {
  std::size_t at = before_filler(text, begin, "(`");
  std::optional<std::size_t> comparison = comparison_begin(text, at);
  for (std::size_t calls = 0; !comparison && calls < most_brackets; ++calls) {
    // Behind a function's name, or a table's.
    const std::size_t name = name_begin(text, at);
    const std::size_t bracket = skip_filler(text, at);
    if (name == at || (text[at - 1] != '.' && (bracket >= text.size() || text[bracket] != '('))) break;
    at = before_filler(text, name, "(`");
    comparison = comparison_begin(text, at);
  }
  if (!comparison) return std::nullopt;
  at = *comparison;
  at = before_filler(text, at, ")");
  if (at == 0 || !is_quote(text[at - 1])) return number_before(text, at);
  const std::size_t end = at - 1;
  const char quote = text[end];
  const std::size_t farthest = end - std::min(end, value_before_bytes);
  for (std::size_t open = end; open > farthest;) {
    if (text[--open] != quote) continue;
    if (open > farthest && text[open - 1] == quote) {  // "''" stands for one within
      --open;
    } else if (open == farthest || text[open - 1] != '\\') {
      return Masker::Range{open + 1, end};
    }
  }
  if (farthest == 0) return std::nullopt;  // it is no value, but the end of one
  return Masker::Range{farthest, end};
}

}  // namespace gatehouse::waf
