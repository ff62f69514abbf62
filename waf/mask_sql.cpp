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
constexpr std::array<std::string_view, 2> beside{"binary", "to"};  // like binary 'a', similar to 'a'

// The end of the values of a list, the first of which, a quoted one, begins at `at`.
std::size_t list_end(std::string_view text, std::size_t at) noexcept {
  while (true) {
    at = quoted_end(text, at + 1, text[at]);
    const std::size_t comma = skip_filler(text, std::min(at + 1, text.size()));
    if (comma >= text.size() || text[comma] != ',') return std::min(text.find(')', at), text.size());
    const std::size_t next = skip_filler(text, comma + 1);
    if (!is_quote_at(text, next)) return std::min(text.find(')', next), text.size());
    at = next;
  }
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
  const bool listed = at < text.size() && text[at] == '(';
  if (listed) at = skip_filler(text, at + 1);
  if (!is_quote_at(text, at)) return std::nullopt;
  if (listed && !between) return Masker::Range{at, list_end(text, at)};
  std::size_t end = quoted_end(text, at + 1, text[at]);
  if (between && end < text.size()) {
    const std::size_t word = skip_filler(text, end + 1, ")");
    const std::size_t stop = word_end(text, word);
    const std::size_t second = skip_filler(text, stop, "(");
    if (is_word(text.substr(word, stop - word), "and") && is_quote_at(text, second))
      end = quoted_end(text, second + 1, text[second]);
  }
  return Masker::Range{at + 1, end};
}

std::optional<Masker::Range> sql_value_before(std::string_view text, std::size_t begin) noexcept {
  std::size_t at = before_filler(text, begin, "(`");
  const std::size_t sign_end = at;
  while (at > 0 && signs.contains(text[at - 1])) --at;
  if (at < sign_end) {
    // Of "<" and ">", alone or "><", there are more in markup: <a b='c'>password
    if (text.substr(at, sign_end - at).find_first_of("=!~") == std::string_view::npos &&
        text.substr(at, sign_end - at) != "<>")
      return std::nullopt;
  } else {
    while (at > 0 && sign_end - at < word_bytes && is_letter(text[at - 1])) --at;
    constexpr std::array<std::string_view, 5> words{"like", "ilike", "rlike", "regexp", "glob"};
    if (!is_any(text.substr(at, sign_end - at), words)) return std::nullopt;
    const std::size_t negated = before_filler(text, at, {});
    if (negated >= 3 && is_word(text.substr(negated - 3, 3), "not")) at = negated - 3;
  }
  at = before_filler(text, at, ")");
  if (at == 0 || !is_quote(text[at - 1])) return std::nullopt;
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
