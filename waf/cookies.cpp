#include "waf/cookies.hpp"

#include <algorithm>

namespace gatehouse::waf {
namespace {

constexpr std::string_view blanks = " \t";

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t begin = std::min(text.find_first_not_of(blanks), text.size());
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

bool is_octal(char c) noexcept { return c >= '0' && c <= '7'; }

// The quote that ends what begins at `at`; none: npos.
std::size_t closing_quote(std::string_view text, std::size_t at) noexcept {
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at < text.size() ? at : std::string_view::npos;
}

// "\ooo" is a byte, "\" before anything else is that.
std::string unquoted(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else if (i + 3 < text.size() && text[i + 1] <= '3' && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
               is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[++i];
    }
  }
  return out;
}

}  // namespace

void unseen_cookies(std::string_view header,
                    const std::function<void(const std::string&, const std::string&)>& report) {
  bool may_be_quoted = true;  // no quote is left that would end a value
  for (std::size_t at = 0; at < header.size();) {
    const std::size_t end = std::min(header.find(';', at), header.size());
    const std::string_view cookie = header.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = cookie.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = trimmed(cookie.substr(0, equals));
    const std::string_view value = trimmed(cookie.substr(equals + 1));
    if (name.empty() && !value.empty()) report({}, std::string(value));
    if (!value.starts_with('"') || !may_be_quoted) continue;

    const std::size_t begin = static_cast<std::size_t>(value.data() - header.data()) + 1;
    const std::size_t quote = closing_quote(header, begin);
    if (quote == std::string_view::npos) {
      may_be_quoted = false;
      continue;
    }
    const std::string_view whole = header.substr(begin, quote - begin);
    if (whole.find_first_of(";\\") == std::string_view::npos) continue;
    report(std::string(name), unquoted(whole));
    at = std::max(at, quote + 1);
  }
}

}  // namespace gatehouse::waf
