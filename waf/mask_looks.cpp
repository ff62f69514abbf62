#include "waf/mask_looks.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "waf/mask_chars.hpp"

namespace gatehouse::waf {
namespace {

char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; }
bool is_alnum(char c) noexcept { return is_digit(c) || is_letter(c); }
bool is_token_char(char c) noexcept {
  return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '+' || c == '/' || c == '=' || c == '%';
}
bool is_base64url(char c) noexcept { return is_alnum(c) || c == '-' || c == '_'; }

bool matches_word(std::string_view text, std::size_t at, std::string_view lower_word) noexcept {
  if (text.size() - at < lower_word.size()) return false;
  for (std::size_t i = 0; i < lower_word.size(); ++i) {
    const char c = text[at + i];
    if (c != lower_word[i] && !(is_letter(c) && upper(c) == upper(lower_word[i]))) return false;
  }
  return true;
}

constexpr std::size_t longest_credentials_bytes = 1024;
constexpr std::size_t shortest_iban = 15;
constexpr std::size_t longest_iban = 34;

// Of the number that letters (as 10 to 35) and digits make, the rest of its division by 97, with one more of them.
int with_next(int rest, char c) noexcept {
  c = upper(c);
  return is_digit(c) ? (rest * 10 + (c - '0')) % 97 : (rest * 100 + (c - 'A' + 10)) % 97;
}

using Report = std::function<void(std::size_t, std::size_t)>;

// "Bearer abc", "Basic dXNlcjpwYXNz" (RFC 6750, RFC 7617): a scheme, a blank, a token of some length.
void credentials(std::string_view text, const Report& report) {
  for (const std::string_view scheme : {"bearer", "basic"}) {
    for (std::size_t at = 0; at + scheme.size() + 1 < text.size(); ++at) {
      if ((text[at] != 'b' && text[at] != 'B') || !matches_word(text, at, scheme) || (at > 0 && is_alnum(text[at - 1])))
        continue;
      std::size_t begin = at + scheme.size();
      const std::size_t blank = begin;
      if (matches_word(text, begin, "%20")) begin += 3;
      while (begin < text.size() && (text[begin] == ' ' || text[begin] == '+')) ++begin;
      if (begin == blank) continue;
      std::size_t end = begin;
      while (end < text.size() && is_token_char(text[end])) ++end;
      if (end - begin >= 8) report(begin, end);
      at = end > at ? end - 1 : at;
    }
  }
}

// A JSON web token: three base64url parts, the first of which begins with {"
void web_tokens(std::string_view text, const Report& report) {
  std::size_t end = 0;
  for (std::size_t at = text.find("eyJ"); at != std::string_view::npos; at = text.find("eyJ", std::max(end, at + 3))) {
    if (at > 0 && is_base64url(text[at - 1])) continue;
    end = at;
    while (end < text.size() && is_base64url(text[end])) ++end;
    const bool dot = end < text.size() && text[end] == '.';
    if (end - at < 10 || (!dot && end != text.size())) continue;
    while (end < text.size() && (is_base64url(text[end]) || text[end] == '.')) ++end;
    report(at, end);
  }
}

// scheme://user:password@host; the password may have been decoded, so that anything may be in it, and slashes merged.
void url_credentials(std::string_view text, const Report& report) {
  std::size_t begin = 0;
  for (std::size_t at = text.find(":/"); at != std::string_view::npos; at = text.find(":/", begin)) {
    begin = std::min(text.find_first_not_of('/', at + 1), text.size());
    const std::string_view rest = text.substr(begin, longest_credentials_bytes);
    const std::size_t end = std::min(rest.find_first_of("/?#\r\n"), rest.size());
    const std::size_t sign = rest.substr(0, end).rfind('@');
    if (sign == std::string_view::npos) continue;
    const std::size_t colon = text.substr(begin, sign).find(':');
    if (colon != std::string_view::npos) report(begin + colon + 1, begin + sign);
  }
}

// Card numbers, also in groups: "4111 1111 1111 1111", "4111-1111-...", "4111+1111+..." in a query.
void cards(std::string_view text, const Report& report) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (!is_digit(text[at]) || (at > 0 && is_alnum(text[at - 1]))) {
      ++at;
      continue;
    }
    std::array<char, 40> digits{};
    std::size_t count = 0;
    std::size_t end = at;
    std::size_t last = at;
    while (end < text.size() && count < digits.size()) {
      if (is_digit(text[end])) {
        digits[count++] = text[end];
        last = ++end;
      } else if ((text[end] == ' ' || text[end] == '-' || text[end] == '+') && end + 1 < text.size() &&
                 is_digit(text[end + 1])) {
        ++end;
      } else if (matches_word(text, end, "%20") && end + 3 < text.size() && is_digit(text[end + 3])) {
        end += 3;
      } else {
        break;
      }
    }
    if (is_card_number({digits.data(), count})) report(at, last);
    at = std::max(last, at + 1);
  }
}

void accounts(std::string_view text, const Report& report) {
  for (std::size_t at = 0; at + 15 <= text.size(); ++at) {
    if (at > 0 && is_alnum(text[at - 1])) continue;
    if (!is_letter(text[at]) || !is_letter(text[at + 1]) || !is_digit(text[at + 2]) || !is_digit(text[at + 3]))
      continue;
    // Printed in groups of four; the longest prefix that checks counts, since words may follow.
    std::size_t count = 0;
    int rest = 0;
    std::size_t end = at;
    std::size_t found = 0;
    while (end < text.size() && count < longest_iban) {
      if (is_alnum(text[end])) {
        if (++count > 4) rest = with_next(rest, text[end]);
        ++end;
        if (count < shortest_iban || (end < text.size() && is_alnum(text[end]))) continue;
        int whole = rest;
        for (const char c : text.substr(at, 4)) whole = with_next(whole, c);
        if (whole == 1) found = end;
      } else if ((text[end] == ' ' || text[end] == '+') && end + 1 < text.size() && is_alnum(text[end + 1])) {
        ++end;
      } else {
        break;
      }
    }
    if (found > 0) {
      report(at, found);
      at = found;
    }
  }
}

// SQL that sets a password without its name: create user a identified by 'secret'
void sql_passwords(std::string_view text, const Report& report) {
  constexpr std::string_view words[] = {"identified", "by", "password"};  // the last one may be missing
  for (std::size_t at = 0; at + words[0].size() < text.size(); ++at) {
    if (!matches_word(text, at, words[0])) continue;
    std::size_t end = at;
    std::size_t count = 0;
    for (; count < std::size(words) && matches_word(text, end, words[count]); ++count) {
      end += words[count].size();
      while (end < text.size() && (text[end] == ' ' || text[end] == '\t' || text[end] == '\n' || text[end] == '\r'))
        ++end;
    }
    if (count < 2 || end >= text.size() || (text[end] != '\'' && text[end] != '"')) continue;
    at = sql_quoted_end(text, end + 1, text[end]);
    report(end + 1, at);
  }
}

}  // namespace

bool is_card_number(std::string_view digits) noexcept {
  if (digits.size() < 13 || digits.size() > 19 || !std::all_of(digits.begin(), digits.end(), is_digit)) return false;
  if (std::all_of(digits.begin(), digits.end(), [&](char c) { return c == digits[0]; })) return false;
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    int value = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) value = value > 4 ? value * 2 - 9 : value * 2;
    sum += value;
  }
  return sum % 10 == 0;
}

bool is_iban(std::string_view text) noexcept {
  if (text.size() < shortest_iban || text.size() > longest_iban) return false;
  if (!is_letter(text[0]) || !is_letter(text[1]) || !is_digit(text[2]) || !is_digit(text[3])) return false;
  int rest = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[(i + 4) % text.size()];  // country and check digits move to the end
    if (!is_alnum(c)) return false;
    rest = with_next(rest, c);
  }
  return rest == 1;
}

void find_url_credentials(std::string_view text, const Report& report) { url_credentials(text, report); }

void find_by_looks(std::string_view text, const std::function<void(std::size_t, std::size_t)>& report) {
  credentials(text, report);
  sql_passwords(text, report);
  web_tokens(text, report);
  url_credentials(text, report);
  cards(text, report);
  accounts(text, report);
}

}  // namespace gatehouse::waf
