// See problem.hpp.
#include "config/problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::size_t kShownBytes = 200;    // of a line; more does not fit a terminal or a log record
constexpr std::size_t kLongestMessage = 1000;

bool continues_code_point(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Masks and cuts a line; `caret` (from 1, 0: none) is moved along.
std::string excerpt(std::string_view line, int& caret) {
  // The mask looks at a wider window than is shown, so that neither a secret's key is cut off nor a line of
  // megabytes costs more than a short one.
  constexpr std::size_t window = 16 * kShownBytes;
  if (line.size() > window) {
    const auto at = std::min(static_cast<std::size_t>(std::max(caret, 1)) - 1, line.size());
    const std::size_t start = std::min(at > window / 2 ? at - window / 2 : 0, line.size() - window);
    line = line.substr(start, window);
    if (caret > 0) caret -= static_cast<int>(start);
  }
  std::string masked = without_secrets(line, caret);
  if (masked.size() <= kShownBytes) return masked;
  const auto at = std::min(static_cast<std::size_t>(std::max(caret, 1)) - 1, masked.size());
  std::size_t start = std::min(at > kShownBytes / 2 ? at - kShownBytes / 2 : 0, masked.size() - kShownBytes);
  std::size_t end = start + kShownBytes;
  for (int i = 0; i < 3 && start < at && continues_code_point(masked[start]); ++i) ++start;
  for (int i = 0; i < 3 && end < masked.size() && continues_code_point(masked[end]); ++i) ++end;
  if (caret > 0) caret -= static_cast<int>(start);
  return masked.substr(start, end - start);
}

/// One column a code point; what would move the cursor or hide is one visible character.
std::string one_column_each(std::string_view line, std::size_t caret_byte, std::size_t& caret_column) {
  std::string out;
  caret_column = 0;
  const std::size_t size = line.size();
  while (!line.empty()) {
    if (size - line.size() < caret_byte) ++caret_column;
    const std::string_view before = line;
    const char32_t code_point = take_code_point(line);
    if (code_point == '\t')
      out += ' ';
    else if (code_point == kNotUtf8 || is_invisible(code_point))
      out += "\xEF\xBF\xBD";
    else
      out += before.substr(0, before.size() - line.size());
  }
  return out;
}

}  // namespace

std::string Problem::to_string() const {
  std::string out = printable(place.file, kLongestMessage);
  if (!place.file.empty()) out += fmt::format(":{}:{}", place.shown_line(), place.shown_column());
  out += severity == Severity::error ? ": error: " : ": warning: ";
  out += printable(message, kLongestMessage);
  if (source_line.empty()) return out;
  int at = caret > 0 ? caret : place.column;
  const std::string shown = excerpt(source_line, at);
  std::size_t column = 0;
  out += "\n  " + one_column_each(shown, at > 0 ? static_cast<std::size_t>(at) - 1 : 0, column);
  if (at > 0) out += "\n  " + std::string(column, ' ') + "^";
  return out;
}

void Problem::show_source(std::string_view text) {
  source_line.clear();
  caret = 0;
  if (place.line <= 0) return;
  for (int line = 1; line < place.line; ++line) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  caret = place.column;
  source_line = excerpt(text, caret);
}

bool has_errors(const Problems& problems) noexcept {
  return std::ranges::any_of(problems, [](const Problem& p) { return p.severity == Severity::error; });
}

void sort_by_place(Problems& problems) {
  std::ranges::sort(problems, {},
                    [](const Problem& p) { return std::tie(p.place.line, p.place.column, p.severity, p.message); });
}

}  // namespace gatehouse::config
