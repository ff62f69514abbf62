// Link fields; see links.hpp.
#include "acme/links.hpp"

#include <algorithm>

#include "acme/messages.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::string_view blanks = " \t";

std::string_view trimmed(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

// Takes what is before the next `end` outside of quotes, and leaves `text` behind it.
std::string_view take_until(std::string_view& text, char end) noexcept {
  bool is_quoted = false;
  std::size_t at = 0;
  for (; at < text.size() && (is_quoted || text[at] != end); ++at) {
    if (text[at] == '"') is_quoted = !is_quoted;
    if (text[at] == '\\' && is_quoted && at + 1 < text.size()) ++at;  // the next one is itself
  }
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return taken;
}

bool is_same(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Whether the first "rel" among the parameters has the relation among its words (RFC 8288 section 3.3).
bool has_relation(std::string_view parameters, std::string_view relation) noexcept {
  while (!parameters.empty()) {
    const std::string_view parameter = take_until(parameters, ';');
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    if (!is_same(trimmed(parameter.substr(0, equals)), "rel")) continue;
    std::string_view words = trimmed(parameter.substr(std::min(equals + 1, parameter.size())));
    if (words.size() >= 2 && words.front() == '"' && words.back() == '"') words = words.substr(1, words.size() - 2);
    while (!words.empty())
      if (is_same(take_until(words, ' '), relation)) return true;
    return false;
  }
  return false;
}

}  // namespace

std::vector<std::string> links(std::string_view field, std::string_view relation) {
  std::vector<std::string> urls;
  while (!field.empty()) {
    const std::size_t open = field.find('<');
    const std::size_t close = field.find('>', std::min(open, field.size()));
    if (close == std::string_view::npos) break;
    const std::string_view url = field.substr(open + 1, close - open - 1);
    field.remove_prefix(close + 1);
    if (has_relation(take_until(field, ','), relation) && is_usable_url(url)) urls.emplace_back(url);
  }
  return urls;
}

}  // namespace gatehouse::acme
