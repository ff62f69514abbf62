#include "waf/charsets.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "waf/seclang.hpp"

namespace gatehouse::waf {
namespace {

using seclang::equals_ignoring_case;

constexpr std::string_view blanks = " \t";

// "iso-8859-15", "windows-1252": the number is no matter, all of them have ASCII as their lower half.
bool is_of_family(std::string_view name, std::string_view family) noexcept {
  return name.size() > family.size() && equals_ignoring_case(name.substr(0, family.size()), family) &&
         name.find_first_not_of("0123456789", family.size()) == std::string_view::npos;
}

void skip_blanks(std::string_view& text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
}

// The rest of a text behind a word, if it is there.
std::optional<std::string_view> behind(std::string_view text, std::string_view word) noexcept {
  for (; text.size() >= word.size(); text.remove_prefix(1)) {
    if (equals_ignoring_case(text.substr(0, word.size()), word)) return text.substr(word.size());
  }
  return std::nullopt;
}

}  // namespace

bool is_like_ascii(std::string_view charset) noexcept {
  constexpr std::array<std::string_view, 4> names{"utf-8", "utf8", "us-ascii", "ascii"};
  return std::ranges::any_of(names, [&](std::string_view name) { return equals_ignoring_case(charset, name); }) ||
         is_of_family(charset, "iso-8859-") || is_of_family(charset, "windows-125");
}

bool has_known_charset(std::string_view content_type) noexcept {
  constexpr std::string_view word = "charset";
  const std::optional<std::string_view> found = behind(content_type, word);
  if (!found) return true;
  std::string_view rest = *found;
  if (behind(rest, word)) return false;  // one reader takes the first, another the last
  skip_blanks(rest);
  if (!rest.starts_with('=')) return false;  // charset*=, charset:
  rest.remove_prefix(1);
  skip_blanks(rest);
  // The single quote is none by RFC 9110, but some clients believe it is.
  const char quote = rest.starts_with('"') || rest.starts_with('\'') ? rest.front() : '\0';
  if (quote != '\0') rest.remove_prefix(1);
  const std::string_view charset = rest.substr(0, rest.find_first_of("\"'; \t"));
  rest.remove_prefix(charset.size());
  if (quote != '\0') {
    if (!rest.starts_with(quote)) return false;
    rest.remove_prefix(1);
  }
  skip_blanks(rest);
  return is_like_ascii(charset) && (rest.empty() || rest.starts_with(';'));
}

}  // namespace gatehouse::waf
