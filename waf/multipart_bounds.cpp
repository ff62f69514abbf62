// The scan of multipart bodies; see body_bounds.hpp. libmodsecurity reads lines; after an error in a part's head it goes
// on with the next line as if it were in the head, and a blank line only ends a head whose Content-Disposition it has
// understood. This scan follows it, but for heads that are unusual, which it takes for longer than they may be.
#include <algorithm>
#include <array>
#include <optional>

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

// The rest after a quoted or plain value; false: it is none, or an odd one.
bool take_value(std::string_view& text, std::string_view& value) noexcept {
  if (!text.starts_with('"')) {
    value = take_while(text, is_token_char);
    return !value.empty();
  }
  std::size_t at = 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  if (at >= text.size()) return false;
  value = text.substr(1, at - 1);
  text.remove_prefix(at + 1);
  return true;
}

// RFC 8187: UTF-8'en'na%C3%AFve.txt. An empty one is none: Go's readers take it for the name, so that what is a file to
// rules is an argument to them.
bool take_extended_value(std::string_view& text) noexcept {
  const auto is_of_charset = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; };
  if (take_while(text, is_of_charset).empty() || !text.starts_with('\'')) return false;
  text.remove_prefix(1);
  take_while(text, [](char c) { return is_alphanumeric(c) || c == '-'; });
  if (!text.starts_with('\'')) return false;
  text.remove_prefix(1);
  const auto is_hex = [](char c) { return std::string_view("0123456789abcdefABCDEF").contains(c); };
  if (text.empty() || text.starts_with(';') || text.starts_with(' ') || text.starts_with('\t')) return false;
  for (;;) {
    take_while(text, [](char c) { return is_alphanumeric(c) || std::string_view("!#$&+-.^_`~").contains(c); });
    if (!text.starts_with('%')) return true;
    if (text.size() < 3 || !is_hex(text[1]) || !is_hex(text[2])) return false;
    text.remove_prefix(3);
  }
}

/// A field Content-Disposition of a form's part.
struct FormData {
  std::string_view name;
  bool is_file = false;
};

// Nothing but for what libmodsecurity takes for a complete Content-Disposition with a name.
std::optional<FormData> form_data_of(std::string_view value) noexcept {
  FormData out;
  constexpr std::string_view type = "form-data";
  if (!value.starts_with(type)) return std::nullopt;
  value.remove_prefix(type.size());
  bool has_extended = false;
  bool has_file_name = false;
  for (skip_blanks(value); !value.empty(); skip_blanks(value)) {
    if (!value.starts_with(';')) return std::nullopt;
    value.remove_prefix(1);
    if (value.empty()) break;
    skip_blanks(value);
    const std::string_view name = take_while(value, [](char c) { return is_alphanumeric(c) || c == '*'; });
    skip_blanks(value);
    if (!value.starts_with('=')) return std::nullopt;
    value.remove_prefix(1);
    skip_blanks(value);
    std::string_view text;
    if (name == "filename*") {
      if (has_extended || !take_extended_value(value)) return std::nullopt;
      has_extended = true;
    } else if (name == "name") {
      if (!out.name.empty() || !take_value(value, out.name) || out.name.empty()) return std::nullopt;
    } else if (name == "filename") {
      // Of two, one of them empty, each reader takes another.
      if (has_file_name || !take_value(value, text)) return std::nullopt;
      has_file_name = true;
      out.is_file = !text.empty();
    } else {
      return std::nullopt;
    }
  }
  if (out.name.empty() || (has_extended && !out.is_file)) return std::nullopt;
  return out;
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

// Where readers agree about the boundary. PHP reads up to a comma, others up to what ends a token: each then finds
// other parts than the engine. Of the bytes that RFC 2046 allows, clients use letters, digits and "-", some of them
// "_", ".", "+" and "'", and in quotes base64.
bool has_plain_boundary(std::string_view content_type) noexcept {
  const std::size_t name = content_type.find("boundary");
  const std::size_t equals = name == std::string_view::npos ? name : content_type.find('=', name);
  if (equals == std::string_view::npos) return true;  // rule 200002 refuses it
  std::string_view rest = content_type.substr(equals + 1);
  skip_blanks(rest);  // which rule 200003 refuses
  const bool quoted = rest.starts_with('"');
  if (quoted) rest.remove_prefix(1);
  const std::string_view allowed = quoted ? "'+_.-()/:=?" : "'+_.-";
  if (take_while(rest, [&](char c) { return is_alphanumeric(c) || allowed.contains(c); }).empty()) return false;
  return quoted ? rest.starts_with('"') : rest.empty() || rest.starts_with(';');
}

class MultipartScan {
 public:
  explicit MultipartScan(std::string_view boundary) noexcept : boundary_(boundary) {}

  // A line with its end; false: beyond the bounds, or in a head that may be read in two ways.
  [[nodiscard]] bool line(std::string_view line) noexcept {
    if (is_cut_boundary(line)) return false;
    is_ambiguous_ = is_ambiguous_ || has_line_within(line);
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

  /// The name of the form field whose data the next line may be; empty: it is of something else.
  [[nodiscard]] std::string_view field() const noexcept {
    return where_ == Where::data && !form_data_.is_file ? form_data_.name : std::string_view{};
  }

  /// True once a head has ended that does not tell for certain what the part is.
  [[nodiscard]] bool is_ambiguous() const noexcept { return is_ambiguous_; }

 private:
  enum class Where { outside, head, data };
  enum class Disposition { none, understood, odd };

  [[nodiscard]] bool is_boundary(std::string_view line) const noexcept {
    return line.starts_with("--") && line.substr(2).starts_with(boundary_);
  }

  // A line that is a boundary to whoever reads the boundary up to an odd byte in it, and text to libmodsecurity.
  // Nobody's text has it by chance, if it is more than dashes.
  [[nodiscard]] bool is_cut_boundary(std::string_view line) const noexcept {
    if (!line.starts_with("--")) return false;
    line.remove_prefix(2);
    bool more_than_dashes = false;
    for (const char c : boundary_) {
      const bool is_odd = !is_alphanumeric(c) && c != '-' && c != '_';
      if (is_odd && more_than_dashes &&
          (line.starts_with("--") || line.find_first_not_of(" \t\r\n") == std::string_view::npos))
        return true;
      if (!line.starts_with(c)) return false;
      line.remove_prefix(1);
      more_than_dashes = more_than_dashes || is_alphanumeric(c);
    }
    return false;
  }

  // CR alone ends a line for some (werkzeug): a head then has fields, or the data parts, that the engine does not see.
  [[nodiscard]] bool has_line_within(std::string_view line) const noexcept {
    for (std::size_t at = line.find('\r'); at != std::string_view::npos; at = line.find('\r', at + 1)) {
      const std::string_view rest = line.substr(at + 1);
      if (rest != "\n" && (where_ == Where::head || is_boundary(rest))) return true;
    }
    return false;
  }

  [[nodiscard]] bool head_line(std::string_view line) noexcept {
    // Here a head may end for others, though not for libmodsecurity.
    if (is_boundary(line)) fields_seen_ = 0;
    if (line == "\r\n" || line == "\n") {
      fields_seen_ = 0;
      if (disposition_ == Disposition::understood)
        where_ = Where::data;
      else
        is_ambiguous_ = true;
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
    const std::string_view name = trimmed_end(line.substr(0, colon));
    if (!equals_ignore_case(name, "content-disposition")) return true;
    is_ambiguous_ = is_ambiguous_ || has_escapes(line);
    if (name.size() != colon) return true;  // blanks before the colon: no field of this name to libmodsecurity
    // A second one is not read.
    if (disposition_ != Disposition::none || line.contains('\0')) return true;
    std::string_view value = line.substr(colon + 1);
    while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
    skip_blanks(value);
    const std::optional<FormData> form_data = form_data_of(value);
    disposition_ = form_data ? Disposition::understood : Disposition::odd;
    form_data_ = form_data.value_or(FormData{});
    // A second name of the file that not everybody understands.
    return form_data || !value.contains('*');
  }

  static std::string_view trimmed_end(std::string_view name) noexcept {
    return name.substr(0, name.find_last_not_of(" \t\v\f") + 1);
  }

  // Before a quote or another one, a backslash is an escape to some and a character to others, PHP among them: where a
  // value ends, and what is a parameter behind it, depends on that. Browsers write %22. Before anything else it is a
  // character: old ones send a file's whole path.
  static bool has_escapes(std::string_view line) noexcept {
    for (std::size_t at = line.find('\\'); at != std::string_view::npos; at = line.find('\\', at + 1))
      if (at + 1 < line.size() && std::string_view("\"'\\\r\n").contains(line[at + 1])) return true;
    return false;
  }

  // Of two fields that say what a part is, libmodsecurity reads the first, and some upstreams the last: what is a file
  // to the one, and not inspected, is an argument to the other.
  [[nodiscard]] bool is_repeated(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 3> names{"content-disposition", "content-type", "content-transfer-encoding"};
    name = trimmed_end(name);
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
  FormData form_data_;
  bool is_ambiguous_ = false;
  unsigned fields_seen_ = 0;  // in this head, of those that may stand there once; see is_repeated()
  std::size_t head_lines_ = 0;
  std::size_t all_head_lines_ = 0;
  std::size_t parts_ = 0;
};

std::string without_line_ends(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  char before = '\0';
  for (const char c : text) {
    if (c != '\n') {
      out += c;
    } else if (before == '\r') {
      out.pop_back();
    }
    before = c;
  }
  return out;
}

}  // namespace

bool multipart_is_within_bounds(std::string_view body, std::string_view content_type) noexcept {
  if (!has_plain_boundary(content_type)) return false;
  MultipartScan scan(boundary_of(content_type));
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('\n'), body.size() - 1) + 1;
    if (!scan.line(body.substr(0, end))) return false;
    body.remove_prefix(end);
  }
  return true;
}

bool fields_of_several_lines(std::string_view body, std::string_view content_type, const FieldReport& report) {
  MultipartScan scan(boundary_of(content_type));
  std::string name;  // of the field that is being read
  std::size_t begin = 0;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = std::min(body.find('\n', at), body.size() - 1) + 1;
    if (!scan.line(body.substr(at, end - at))) return false;
    if (!name.empty() && scan.field().empty()) {  // the boundary, to which the line end before it belongs
      std::string value(body.substr(begin, at - begin));
      if (value.ends_with('\n')) value.pop_back();
      if (value.ends_with('\r')) value.pop_back();
      if (value.contains('\n')) report(name, without_line_ends(value), value);
      name.clear();
    } else if (name.empty() && !scan.field().empty()) {
      name = scan.field();
      begin = end;
    }
    at = end;
  }
  return !scan.is_ambiguous();
}

}  // namespace gatehouse::waf
