#include "waf/secret_names.hpp"

#include <algorithm>
#include <array>

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
bool begins_word(std::string_view name, std::size_t i) noexcept {
  return is_upper(name[i]) && i > 0 &&
         (is_lower(name[i - 1]) || is_digit(name[i - 1]) ||
          (is_upper(name[i - 1]) && i + 1 < name.size() && is_lower(name[i + 1])));
}

// Names come by the thousand in what clients send: made in place, so that looking at one allocates nothing.
class Folded {
 public:
  enum class Form { plain, split_at_humps, without_underscores };

  // `name` is of at most longest_name_bytes.
  Folded(std::string_view name, Form form) noexcept {
    name = without_padding(name);
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (form == Form::split_at_humps && begins_word(name, i)) text_[size_++] = '_';
      text_[size_++] = name[i] == '-' || padding.contains(name[i]) ? '_' : lower(name[i]);
    }
    if (std::string_view(text_.data(), size_).starts_with("x_")) begin_ = 2;
    if (form == Form::without_underscores)
      size_ = static_cast<std::size_t>(std::remove(text_.begin() + begin_, text_.begin() + size_, '_') - text_.begin());
  }
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data() + begin_, size_ - begin_}; }

 private:
  std::array<char, 2 * longest_name_bytes> text_;  // a hump at each letter
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

constexpr std::string_view numbering = "0123456789_";

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
    if (folded.empty() || name.size() > longest_name_bytes) continue;
    for (const auto form : {Folded::Form::plain, Folded::Form::split_at_humps, Folded::Form::without_underscores}) {
      const Folded known(name, form);
      longest_ = std::max(longest_, known.text().size());
      names_.emplace(known.text());
    }
  }
}

// Also several of them: "passwords".
bool SecretNames::is_word(std::string_view word) const {
  if (word.empty() || word.size() > longest_ + 1) return false;
  return names_.contains(word) || (word.ends_with('s') && names_.contains(word.substr(0, word.size() - 1)));
}

// Also with a number behind it: "password1", "password_2".
bool SecretNames::is_known(std::string_view word) const {
  if (is_word(word)) return true;
  const std::size_t end = word.find_last_not_of(numbering) + 1;  // npos + 1 is 0
  return end < word.size() && is_word(word.substr(0, end));
}

// is_known() of what is before and behind each underscore, in one pass.
bool SecretNames::has_known_end(std::string_view words) const {
  const std::size_t end = words.find_last_not_of(numbering) + 1;  // without the number behind all
  std::size_t before = 0;  // the end of what stands before the underscore, without a number
  for (std::size_t at = 0; at < words.size(); ++at) {
    if (words[at] != '_') {
      if (!is_digit(words[at])) before = at + 1;
      continue;
    }
    if (is_word(words.substr(0, at)) || is_word(words.substr(0, before)) || is_word(words.substr(at + 1))) return true;
    if (end < words.size() && end > at && is_word(words.substr(at + 1, end - at - 1))) return true;
  }
  return false;
}

bool SecretNames::match(std::string_view name) const {
  if (name.empty() || name.size() > longest_name_bytes) return false;
  const Folded folded(name, Folded::Form::plain);
  if (is_known(folded.text())) return true;
  if (folded.text().contains('_') &&
      (is_known(Folded(name, Folded::Form::without_underscores).text()) || has_known_end(folded.text())))
    return true;
  if (std::ranges::none_of(name, is_upper)) return false;
  const Folded words(name, Folded::Form::split_at_humps);
  return words.text() != folded.text() && has_known_end(words.text());
}

}  // namespace gatehouse::waf
