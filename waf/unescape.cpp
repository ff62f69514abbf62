#include "waf/unescape.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace gatehouse::waf {
namespace {

struct Escape {
  std::size_t length = 0;  // 0: there is none
  std::uint32_t code = 0;
};

Escape number(std::string_view text, std::size_t begin, std::size_t digits, int base) noexcept {
  if (text.size() - std::min(begin, text.size()) < digits) return {};
  std::uint32_t code = 0;
  const char* const end = text.data() + begin + digits;
  const auto [last, error] = std::from_chars(text.data() + begin, end, code, base);
  return error == std::errc{} && last == end ? Escape{begin + digits, code} : Escape{};
}

// "&quot;", "&#34;", "&#x22;"
Escape entity(std::string_view text) noexcept {
  constexpr std::array<std::pair<std::string_view, char>, 5> named{
      {{"&quot;", '"'}, {"&apos;", '\''}, {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}}};
  for (const auto& [name, c] : named) {
    if (text.starts_with(name)) return {name.size(), static_cast<std::uint32_t>(c)};
  }
  if (!text.starts_with("&#")) return {};
  constexpr std::size_t longest = 12;
  const std::size_t end = text.substr(0, longest).find(';');
  if (end == std::string_view::npos) return {};
  const bool hex = text[2] == 'x' || text[2] == 'X';
  const std::size_t begin = hex ? 3 : 2;
  if (end <= begin) return {};
  Escape escape = number(text, begin, end - begin, hex ? 16 : 10);
  if (escape.length != 0) ++escape.length;  // the semicolon
  return escape;
}

Escape escape_at(std::string_view text) noexcept {
  const char next = text.size() > 1 ? text[1] : '\0';
  switch (text[0]) {
    case '+': return {1, ' '};
    case '&': return entity(text);
    case '%': return next == 'u' || next == 'U' ? number(text, 2, 4, 16) : number(text, 1, 2, 16);
    case '\\':
      if (next == 'u' || next == 'U') return number(text, 2, 4, 16);
      if (next == 'x' || next == 'X') return number(text, 2, 2, 16);
      if (next == '"' || next == '\'' || next == '/' || next == '\\') return {2, static_cast<std::uint32_t>(next)};
      return {};
    default: return {};
  }
}

}  // namespace

std::optional<Unescaped> unescaped(std::string_view text) {
  constexpr std::string_view starts = "+&%\\";
  if (text.find_first_of(starts) == std::string_view::npos) return std::nullopt;
  Unescaped out;
  out.text.reserve(text.size());
  out.from.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size();) {
    const Escape escape = starts.contains(text[at]) ? escape_at(text.substr(at)) : Escape{};
    // Names and quotes are ASCII; of other characters it only matters that they are some.
    out.text += escape.length == 0 ? text[at] : escape.code <= 0xFF ? static_cast<char>(escape.code) : '\xFF';
    out.from.push_back(static_cast<std::uint32_t>(at));
    at += std::max<std::size_t>(escape.length, 1);
  }
  if (out.text.size() == text.size() && out.text == text) return std::nullopt;
  out.from.push_back(static_cast<std::uint32_t>(text.size()));
  return out;
}

}  // namespace gatehouse::waf
