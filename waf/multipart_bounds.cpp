// The scan of multipart bodies; see body_bounds.hpp. libmodsecurity reads lines; after an error in a part's head it goes
// on with the next line as if it were in the head, and a blank line only ends a head whose Content-Disposition it has
// understood. This scan follows it, but for heads that are unusual, which it takes for longer than they may be.
#include <algorithm>
#include <array>

#include "waf/body_bounds.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::string_view blanks = " \t";

bool is_alphanumeric(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_token_char(char c) noexcept {
  return c > ' ' && c < '\x7f' && !std::string_view("()<>@,;:\\\"/[]?='").contains(c);
}

void skip_blanks(std::string_view& text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
}

template <typename Condition>
std::string_view take_while(std::string_view& text, Condition condition) noexcept {
  const auto end = std::ranges::find_if_not(text, condition);
  const std::string_view taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(taken.size());
  return taken;
}

// The rest after a quoted or plain value; false: it is none, or an odd one. `empty` tells whether there is something in it.
bool take_value(std::string_view& text, bool& empty) noexcept {
  if (!text.starts_with('"')) {
    empty = take_while(text, is_token_char).empty();
    return !empty;
  }
  std::size_t at = 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  if (at >= text.size()) return false;
  empty = at == 1;
  text.remove_prefix(at + 1);
  return true;
}

// RFC 8187: UTF-8'en'na%C3%AFve.txt
bool take_extended_value(std::string_view& text) noexcept {
  const auto is_of_charset = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; };
  if (take_while(text, is_of_charset).empty() || !text.starts_with('\'')) return false;
  text.remove_prefix(1);
  take_while(text, [](char c) { return is_alphanumeric(c) || c == '-'; });
  if (!text.starts_with('\'')) return false;
  text.remove_prefix(1);
  const auto is_hex = [](char c) { return std::string_view("0123456789abcdefABCDEF").contains(c); };
  for (;;) {
    take_while(text, [](char c) { return is_alphanumeric(c) || std::string_view("!#$&+-.^_`~").contains(c); });
    if (!text.starts_with('%')) return true;
    if (text.size() < 3 || !is_hex(text[1]) || !is_hex(text[2])) return false;
    text.remove_prefix(3);
  }
}

// True only for what libmodsecurity takes for a complete Content-Disposition with a name.
bool is_form_data(std::string_view value) noexcept {
  constexpr std::string_view type = "form-data";
  if (!value.starts_with(type)) return false;
  value.remove_prefix(type.size());
  bool has_name = false;
  bool has_file_name = false;
  bool has_extended = false;
  for (skip_blanks(value); !value.empty(); skip_blanks(value)) {
    if (!value.starts_with(';')) return false;
    value.remove_prefix(1);
    skip_blanks(value);
    const std::string_view name = take_while(value, [](char c) { return is_alphanumeric(c) || c == '*'; });
    if (!value.starts_with('=')) return false;
    value.remove_prefix(1);
    bool empty = false;
    if (name == "filename*") {
      if (has_extended || !take_extended_value(value)) return false;
      has_extended = true;
    } else if (name == "name") {
      if (has_name || !take_value(value, empty) || empty) return false;
      has_name = true;
    } else if (name == "filename") {
      if (has_file_name || !take_value(value, empty)) return false;
      has_file_name = !empty;
    } else {
      return false;
    }
  }
  return has_name && (has_file_name || !has_extended);
}

bool equals_ignore_case(std::string_view a, std::string_view lower_case) noexcept {
  return std::ranges::equal(a, lower_case,
                            [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x - 'A' + 'a' : x) == y; });
}

// What the library's boundary is, or begins with: where it is cut off at an odd byte, or refused, this one is shorter.
std::string_view boundary_of(std::string_view content_type) noexcept {
  std::size_t at = content_type.find("boundary");
  if (at == std::string_view::npos) return {};
  at = content_type.find('=', at);
  if (at == std::string_view::npos) return {};
  std::string_view boundary = content_type.substr(at + 1);
  if (boundary.starts_with('"')) boundary.remove_prefix(1);
  return boundary.substr(0, boundary.find_first_of("\";"));
}

class MultipartScan {
 public:
  explicit MultipartScan(std::string_view boundary) noexcept : boundary_(boundary) {}

  // A line with its end; false: beyond the bounds, or in a head that may be read in two ways.
  [[nodiscard]] bool line(std::string_view line) noexcept {
    // In a head, a boundary is a line like any other.
    if (where_ != Where::head && is_boundary(line)) {
      line.remove_prefix(2 + boundary_.size());
      where_ = line.starts_with("--") ? Where::outside : Where::head;
      head_lines_ = 0;
      disposition_ = Disposition::none;
      fields_seen_ = 0;
      return where_ == Where::outside || ++parts_ <= max_parts;
    }
    return where_ != Where::head || head_line(line);
  }

 private:
  enum class Where { outside, head, data };
  enum class Disposition { none, understood, odd };

  [[nodiscard]] bool is_boundary(std::string_view line) const noexcept {
    return line.starts_with("--") && line.substr(2).starts_with(boundary_);
  }

  [[nodiscard]] bool head_line(std::string_view line) noexcept {
    // Here a head may end for others, though not for libmodsecurity.
    if (is_boundary(line)) fields_seen_ = 0;
    if (line == "\r\n" || line == "\n") {
      fields_seen_ = 0;
      if (disposition_ == Disposition::understood) where_ = Where::data;
      return true;
    }
    if (++head_lines_ > max_part_header_lines || ++all_head_lines_ > max_all_header_lines) return false;
    // A folded line may belong to it.
    if (blanks.contains(line.front()) || line.front() == '\r' || line.front() == '\v' || line.front() == '\f') {
      if (disposition_ == Disposition::understood) disposition_ = Disposition::odd;
      return true;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    if (is_repeated(line.substr(0, colon))) return false;
    if (!equals_ignore_case(line.substr(0, colon), "content-disposition")) return true;
    // A second one is not read.
    if (disposition_ != Disposition::none || line.contains('\0')) return true;
    std::string_view value = line.substr(colon + 1);
    while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
    skip_blanks(value);
    disposition_ = is_form_data(value) ? Disposition::understood : Disposition::odd;
    return true;
  }

  // Of two fields that say what a part is, libmodsecurity reads the first, and some upstreams the last: what is a file
  // to the one, and not inspected, is an argument to the other.
  [[nodiscard]] bool is_repeated(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 3> names{"content-disposition", "content-type", "content-transfer-encoding"};
    name = name.substr(0, name.find_last_not_of(" \t\v\f") + 1);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!equals_ignore_case(name, names[i])) continue;
      const unsigned bit = 1U << i;
      const bool seen = (fields_seen_ & bit) != 0;
      fields_seen_ |= bit;
      return seen;
    }
    return false;
  }

  std::string_view boundary_;
  Where where_ = Where::outside;
  Disposition disposition_ = Disposition::none;
  unsigned fields_seen_ = 0;  // in this head, of those that may stand there once; see is_repeated()
  std::size_t head_lines_ = 0;
  std::size_t all_head_lines_ = 0;
  std::size_t parts_ = 0;
};

}  // namespace

bool multipart_is_within_bounds(std::string_view body, std::string_view content_type) noexcept {
  MultipartScan scan(boundary_of(content_type));
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('\n'), body.size() - 1) + 1;
    if (!scan.line(body.substr(0, end))) return false;
    body.remove_prefix(end);
  }
  return true;
}

}  // namespace gatehouse::waf
