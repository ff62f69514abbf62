#include "waf/screen/multipart.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "waf/base_rules.hpp"
#include "waf/seclang.hpp"

namespace gatehouse::waf::screen {
namespace {

constexpr std::size_t most_boundary_bytes = 70;  // RFC 2046, section 5.1.1
constexpr std::size_t most_head_line_bytes = 1'000;  // the library's buffer for one has 4,096
constexpr std::size_t most_parts = 200;

bool is_boundary_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("'+_.-").contains(c);
}

// "multipart/form-data; boundary=X" with nothing behind X.
std::string_view boundary_of(std::string_view content_type) {
  constexpr std::string_view type = "multipart/form-data;";
  if (!content_type.starts_with(type)) return {};
  content_type.remove_prefix(type.size());
  if (content_type.starts_with(' ')) content_type.remove_prefix(1);
  constexpr std::string_view parameter = "boundary=";
  if (!content_type.starts_with(parameter)) return {};
  content_type.remove_prefix(parameter.size());
  return content_type.size() <= most_boundary_bytes && std::ranges::all_of(content_type, is_boundary_char)
             ? content_type
             : std::string_view{};
}

bool take(std::string_view& text, std::string_view what) noexcept {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

// A value in quotes without a quote or an escape in it.
std::optional<std::string_view> take_quoted(std::string_view& text) noexcept {
  if (!take(text, "\"")) return std::nullopt;
  const std::size_t end = text.find_first_of("\"\\");
  if (end == std::string_view::npos || text[end] == '\\') return std::nullopt;
  const std::string_view value = text.substr(0, end);
  text.remove_prefix(end + 1);
  return value;
}

// form-data; name="X", with a filename="Y" behind it or not.
bool read_disposition(std::string_view value, BodyPart& part) noexcept {
  if (!take(value, "form-data; name=")) return false;
  const auto name = take_quoted(value);
  if (!name || name->empty()) return false;
  part.name = *name;
  if (value.empty()) return true;
  if (!take(value, "; filename=")) return false;
  part.file_name = take_quoted(value);
  return part.file_name && value.empty();
}

// The lines up to the blank one; `text` is then what follows it.
bool read_head(std::string_view& text, BodyPart& part) {
  bool has_disposition = false;
  bool has_type = false;
  for (;;) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos || end > most_head_line_bytes || end == 0 || text[end - 1] != '\r') return false;
    std::string_view line = text.substr(0, end - 1);
    const std::string_view whole = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    if (line.empty()) return has_disposition;
    if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) return false;
    if (take(line, "Content-Disposition: ")) {
      if (std::exchange(has_disposition, true) || !read_disposition(line, part)) return false;
    } else if (take(line, "Content-Type: ")) {
      if (std::exchange(has_type, true)) return false;
    } else {
      return false;
    }
    part.head_lines.push_back(whole);
  }
}

}  // namespace

std::optional<std::vector<BodyPart>> read_parts(std::string_view content_type, std::string_view body) {
  const std::string_view boundary = boundary_of(content_type);
  if (boundary.empty() || seclang::lower_case(boundary).contains("boundary=")) return std::nullopt;
  const std::string delimiter = "--" + std::string(boundary);
  const std::string line_and_delimiter = "\r\n" + delimiter;
  std::vector<BodyPart> parts;
  if (!take(body, delimiter)) return std::nullopt;
  while (take(body, "\r\n")) {
    if (parts.size() == most_parts) return std::nullopt;
    BodyPart& part = parts.emplace_back();
    if (!read_head(body, part)) return std::nullopt;
    const std::size_t end = body.find(line_and_delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    part.data = body.substr(0, end);
    body.remove_prefix(end + line_and_delimiter.size());
    // Nothing that looks like a boundary, to anybody.
    if (part.data.starts_with("--") || part.data.contains("\n--") || part.data.contains(delimiter)) return std::nullopt;
  }
  if (!take(body, "--") || (!body.empty() && body != "\r\n") || parts.empty()) return std::nullopt;
  // A head's line may not look like one either.
  const auto is_odd = [&](std::string_view line) { return line.contains(delimiter); };
  if (std::ranges::any_of(parts, [&](const BodyPart& part) { return std::ranges::any_of(part.head_lines, is_odd); }))
    return std::nullopt;
  return parts;
}

}  // namespace gatehouse::waf::screen
