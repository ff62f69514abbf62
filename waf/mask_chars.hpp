// Characters as the mask reads them. Used by waf/mask*.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace gatehouse::waf {

inline char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
inline bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) noexcept { return lower(c) >= 'a' && lower(c) <= 'z'; }

/// NUL as well: some servers cut it off.
inline bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0'; }

inline bool is_name_char(char c) noexcept {
  return is_digit(c) || is_letter(c) || c == '_' || c == '-' || c == '.' || c == '[' || c == ']' || c == '%' ||
         static_cast<unsigned char>(c) >= 0x80;
}

inline std::size_t skip_spaces(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

/// The end of a quoted string whose content begins at `at`; a truncated one ends with the text.
inline std::size_t quoted_end(std::string_view text, std::size_t at, char quote) noexcept {
  for (; at < text.size() && text[at] != quote; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at, text.size());
}

/// The same of what may be SQL, where two quotes stand for one within.
inline std::size_t sql_quoted_end(std::string_view text, std::size_t at, char quote) noexcept {
  std::size_t end = quoted_end(text, at, quote);
  while (end + 1 < text.size() && text[end + 1] == quote) end = quoted_end(text, end + 2, quote);
  return end;
}

}  // namespace gatehouse::waf
