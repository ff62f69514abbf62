// See text.hpp.
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace gatehouse::config {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Format characters and separators of Unicode that a terminal or an editor does not show as they are.
constexpr Range kInvisible[] = {
    {0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x061C, 0x061C},   {0x115F, 0x1160}, {0x17B4, 0x17B5},
    {0x180B, 0x180F}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},   {0x3164, 0x3164}, {0xFE00, 0xFE0F},
    {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF}, {0xFFFE, 0xFFFF},
};

// Keys whose values are secrets wherever they stand. "password_file: /path" is none: the colon must follow.
constexpr std::string_view kSecretKeys[] = {
    "password", "passwd",      "pwd",           "secret",     "token",        "hmac_key",       "api_key",
    "apikey",   "credentials", "client_secret", "access_key", "access_token", "encryption_key", "private_key"};

bool is_word_byte(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// One past the end of the value that begins at `start`: the closing quote, else the end of a flow item or the line.
std::size_t value_end(std::string_view line, std::size_t start) {
  if (start < line.size() && (line[start] == '"' || line[start] == '\'')) {
    const auto end = line.find(line[start], start + 1);
    return end == std::string_view::npos ? line.size() : end + 1;
  }
  if (const auto end = line.find(" #", start); end != std::string_view::npos) line = line.substr(0, end);
  // A secret may hold any byte: only a bracket that ends the line, or a comma before a next key, ends it here.
  std::size_t end = start;
  while (end < line.size()) {
    if (line[end] == ',' && end + 1 < line.size() && line[end + 1] == ' ') break;
    if (line[end] == '}' && line.find_first_not_of(" }],", end) == std::string_view::npos) break;
    ++end;
  }
  return end;
}

/// Where a secret key's value begins if such a key ends right before the colon at `colon`; npos if it is none.
std::size_t secret_after(std::string_view line, std::size_t colon) {
  std::size_t end = colon;
  while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '"' || line[end - 1] == '\'')) --end;
  std::size_t start = end;
  while (start > 0 && is_word_byte(line[start - 1])) --start;
  std::string key(line.substr(start, end - start));
  std::ranges::transform(key, key.begin(), lower);
  std::ranges::replace(key, '-', '_');
  if (std::ranges::find(kSecretKeys, key) == std::end(kSecretKeys)) return std::string_view::npos;
  std::size_t value = colon + 1;
  while (value < line.size() && line[value] == ' ') ++value;
  if (value == colon + 1 && value < line.size() && line[value] != '"' && line[value] != '\'')
    return std::string_view::npos;
  return value;
}

}  // namespace

char32_t take_code_point(std::string_view& text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  std::size_t length = 0;
  char32_t value = 0;
  char32_t least = 0;
  if ((lead & 0xE0) == 0xC0)
    length = 2, value = lead & 0x1FU, least = 0x80;
  else if ((lead & 0xF0) == 0xE0)
    length = 3, value = lead & 0x0FU, least = 0x800;
  else if ((lead & 0xF8) == 0xF0)
    length = 4, value = lead & 0x07U, least = 0x10000;
  bool valid = length != 0 && text.size() >= length;
  for (std::size_t i = 1; valid && i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    valid = (byte & 0xC0) == 0x80;
    value = value << 6 | (byte & 0x3FU);
  }
  valid = valid && value >= least && value <= 0x10FFFF && !(value >= 0xD800 && value <= 0xDFFF);
  text.remove_prefix(valid ? length : 1);
  return valid ? value : kNotUtf8;
}

std::size_t find_invalid_utf8(std::string_view text) noexcept {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t offset = text.size() - rest.size();
    if (take_code_point(rest) == kNotUtf8) return offset;
  }
  return std::string_view::npos;
}

bool is_invisible(char32_t code_point) noexcept {
  return std::ranges::any_of(kInvisible, [=](Range r) { return code_point >= r.first && code_point <= r.last; });
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const std::string_view before = text;
    const char32_t code_point = take_code_point(text);
    const std::size_t length = out.size();
    if (code_point == kNotUtf8)
      out += "\xEF\xBF\xBD";
    else if (code_point == '\n')
      out += "\\n";
    else if (code_point == '\r')
      out += "\\r";
    else if (code_point == '\t')
      out += "\\t";
    else if (code_point < 0x80 && is_invisible(code_point))
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(code_point));
    else if (is_invisible(code_point))
      fmt::format_to(std::back_inserter(out), "\\u{{{:x}}}", static_cast<unsigned>(code_point));
    else
      out += before.substr(0, before.size() - text.size());
    if (out.size() > max_bytes) {
      out.resize(length);
      return out + "...";
    }
  }
  return out;
}

std::string cite(std::string_view text, std::size_t max_bytes) { return "'" + printable(text, max_bytes) + "'"; }

std::string without_secrets(std::string_view line, int& column) {
  std::string out;
  std::size_t copied = 0;
  const auto original_column = static_cast<std::size_t>(std::max(column, 0));
  const auto mask = [&](std::size_t start, std::size_t end) {
    if (start < copied || end <= start) return;
    out += line.substr(copied, start - copied);
    if (original_column > end)
      column += 3 - static_cast<int>(end - start);
    else if (original_column > start + 1)
      column = static_cast<int>(out.size()) + 1;
    out += "***";
    copied = end;
  };
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != ':' || i < copied) continue;
    if (line.substr(i, 3) == "://") {
      const auto start = i + 3;
      const auto end = std::min(line.find_first_of(" \t\"'", start), line.size());
      const auto at = line.substr(start, end - start).rfind('@');
      if (at != std::string_view::npos) mask(start, start + at);
    } else if (const auto start = secret_after(line, i); start != std::string_view::npos && start < line.size()) {
      mask(start, value_end(line, start));
    }
  }
  out += line.substr(copied);
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

}  // namespace gatehouse::config
