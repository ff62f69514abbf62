#include "waf/secret_names.hpp"

#include <algorithm>

namespace gatehouse::waf {
namespace {

bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
char lower(char c) noexcept { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; }

// Cut off by PHP in front, by others behind, and what a "+" of a form is.
constexpr std::string_view padding{" \t\r\n\0+", 6};

std::string_view without_padding(std::string_view name) noexcept {
  const std::size_t begin = name.find_first_not_of(padding);
  if (begin == std::string_view::npos) return {};
  return name.substr(begin, name.find_last_not_of(padding) + 1 - begin);
}

// "accessToken", "AccessToken", "APIToken2fa": a word begins at each capital that is not within capitals.
std::string split_at_humps(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool begins = is_upper(name[i]) && i > 0 &&
                        (is_lower(name[i - 1]) || is_digit(name[i - 1]) ||
                         (is_upper(name[i - 1]) && i + 1 < name.size() && is_lower(name[i + 1])));
    if (begins) out += '_';
    out += name[i];
  }
  return out;
}

std::string without_underscores(std::string name) {
  std::erase(name, '_');
  return name;
}

}  // namespace

std::string folded_name(std::string_view name) {
  std::string out;
  for (const char c : without_padding(name)) out += c == '-' || padding.contains(c) ? '_' : lower(c);
  if (out.starts_with("x_")) out.erase(0, 2);
  return out;
}

SecretNames::SecretNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string folded = folded_name(name);
    if (folded.empty()) continue;
    for (std::string form : {folded, folded_name(split_at_humps(name)), without_underscores(folded)}) {
      longest_ = std::max(longest_, form.size());
      names_.insert(std::move(form));
    }
  }
}

// Also several of them, and with a number behind it: "passwords", "password1", "password_2".
bool SecretNames::is_known(std::string_view word) const {
  const auto known = [&](std::string_view name) {
    if (name.size() > longest_ + 1) return false;
    return names_.contains(name) || (name.ends_with('s') && names_.contains(name.substr(0, name.size() - 1)));
  };
  if (known(word)) return true;
  const std::size_t end = word.find_last_not_of("0123456789_") + 1;  // npos + 1 is 0
  return end < word.size() && known(word.substr(0, end));
}

bool SecretNames::has_known_end(std::string_view words) const {
  for (std::size_t at = words.find('_'); at != std::string_view::npos; at = words.find('_', at + 1)) {
    if (is_known(words.substr(0, at)) || is_known(words.substr(at + 1))) return true;
  }
  return false;
}

bool SecretNames::match(std::string_view name) const {
  if (name.empty() || name.size() > longest_name_bytes) return false;
  const std::string folded = folded_name(name);
  if (is_known(folded) || is_known(without_underscores(folded)) || has_known_end(folded)) return true;
  const std::string words = folded_name(split_at_humps(name));
  return words != folded && has_known_end(words);
}

}  // namespace gatehouse::waf
