#include "waf/xml_secrets.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "waf/seclang.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::size_t most_names = 100'000;  // looked up in some 10 ms; what has more is taken for secret

constexpr std::string_view blanks = " \t\r\n";
bool is_space(char c) noexcept { return blanks.contains(c); }
bool is_ascii(char c) noexcept { return static_cast<unsigned char>(c) < 0x80; }
bool is_name_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.' || c == ':' || !is_ascii(c);
}

// The encoding that "<?xml version='1.0' encoding='...'?>" names, in lower case; UTF-8 if none.
std::string encoding(std::string_view xml) {
  if (!xml.starts_with("<?xml")) return "utf-8";
  const std::string_view declaration = xml.substr(0, xml.find("?>"));
  std::size_t at = declaration.find("encoding");
  if (at == std::string_view::npos) return "utf-8";
  at = declaration.find_first_of("\"'", at);
  if (at == std::string_view::npos) return {};
  const std::size_t end = declaration.find(declaration[at], at + 1);
  return end == std::string_view::npos ? std::string{} : seclang::lower_case(declaration.substr(at + 1, end - at - 1));
}

// Declarations in which entities may be defined; comments and CDATA are none.
bool has_declarations(std::string_view xml) noexcept {
  for (std::size_t at = xml.find("<!"); at != std::string_view::npos; at = xml.find("<!", at + 2)) {
    const std::string_view rest = xml.substr(at);
    if (!rest.starts_with("<!--") && !rest.starts_with("<![CDATA[")) return true;
  }
  return false;
}

}  // namespace

bool may_name_secret(std::string_view xml, const Masker& masker) {
  if (xml.starts_with("\xEF\xBB\xBF")) xml.remove_prefix(3);
  xml.remove_prefix(std::min(xml.find_first_not_of(blanks), xml.size()));
  if (xml.empty()) return false;
  if (xml.front() != '<' || xml.contains('\0')) return true;  // UTF-16, UTF-32, EBCDIC
  const std::string charset = encoding(xml);
  // Of these the lower half is ASCII, and the masked names beyond it are known in UTF-8 alone.
  constexpr std::array<std::string_view, 4> one_byte{"us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"};
  const bool utf8 = charset == "utf-8" || charset == "utf8";
  if (!utf8 && std::ranges::find(one_byte, charset) == one_byte.end()) return true;
  if (has_declarations(xml)) return true;

  std::size_t names = 0;
  char before = '\0';  // the last byte that was no blank
  for (std::size_t at = 0; at < xml.size();) {
    if (!is_name_char(xml[at])) {
      if (!is_space(xml[at])) before = xml[at];
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < xml.size() && is_name_char(xml[at])) ++at;
    const std::size_t next = xml.find_first_not_of(blanks, at);
    const char after = next == std::string_view::npos ? '\0' : xml[next];
    // ";" ends what escapes "<" and quotes in XML or JSON within a text.
    const bool element = begin > 0 && (xml[begin - 1] == '<' || xml[begin - 1] == ';');
    const bool attribute = after == '=' || xml[at - 1] == ':' || after == '\\';
    constexpr std::string_view opening = ">\"'[";
    constexpr std::string_view closing = "<\"']";
    const bool whole = opening.contains(before) && closing.contains(after);
    before = xml[at - 1];
    if (!element && !attribute && !whole) continue;
    const std::string_view name = xml.substr(begin, at - begin);
    if (++names > most_names || masker.is_secret_name(name)) return true;
    if (!utf8 && !std::ranges::all_of(name, is_ascii) && !whole) return true;
  }
  return false;
}

}  // namespace gatehouse::waf
