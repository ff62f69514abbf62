// Character classes of RFC 9110 and RFC 3986 in one table, and nothing that depends on a locale. For the protocol
// files of this folder only.
#pragma once

#include <array>
#include <cstdint>

namespace gatehouse::http::detail {

/// Bits of a byte's classes.
enum CharacterClass : std::uint8_t {
  token = 1,         // tchar (RFC 9110 section 5.6.2)
  plain_token = 2,   // tchar without "_", which CGI-like upstreams read as "-"
  field_value = 4,   // HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5)
  target = 8,        // 0x21 to 0x7E without "#": what we take in a request target
  host_name = 16,    // letters, digits, "-", "_", "."
  unreserved = 32,   // RFC 3986 section 2.3
  quoted_text = 64,  // qdtext (RFC 9110 section 5.6.4)
  blank = 128,       // SP, HTAB
};

consteval std::array<std::uint8_t, 256> make_character_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned bits = 0;
    const auto one_of = [byte](const char* set) {
      for (; *set != '\0'; ++set) {
        if (byte == static_cast<unsigned char>(*set)) return true;
      }
      return false;
    };
    const bool alphanumeric =
        (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    if (alphanumeric || one_of("!#$%&'*+-.^_`|~")) bits |= token;
    if ((bits & token) != 0 && byte != '_') bits |= plain_token;
    if (byte == '\t' || (byte >= 0x20 && byte != 0x7F)) bits |= field_value;
    if (byte >= 0x21 && byte <= 0x7E && byte != '#') bits |= target;
    if (alphanumeric || one_of("-_.")) bits |= host_name;
    if (alphanumeric || one_of("-._~")) bits |= unreserved;
    if ((bits & field_value) != 0 && byte != '"' && byte != '\\') bits |= quoted_text;
    if (byte == ' ' || byte == '\t') bits |= blank;
    classes[byte] = static_cast<std::uint8_t>(bits);
  }
  return classes;
}
inline constexpr std::array<std::uint8_t, 256> character_classes = make_character_classes();

constexpr bool is(char character, unsigned classes) noexcept {
  return (character_classes[static_cast<unsigned char>(character)] & classes) != 0;
}

constexpr bool is_digit(char character) noexcept { return character >= '0' && character <= '9'; }

consteval std::array<std::uint8_t, 256> make_hex_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(0xFF);
  for (unsigned i = 0; i < 10; ++i) values['0' + i] = static_cast<std::uint8_t>(i);
  for (unsigned i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<std::uint8_t>(10 + i);
  return values;
}
inline constexpr std::array<std::uint8_t, 256> hex_values = make_hex_values();

/// 0 to 15; 0xFF if it is no hexadecimal digit.
constexpr unsigned hex_value(char character) noexcept { return hex_values[static_cast<unsigned char>(character)]; }

constexpr char lower(char character) noexcept {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character | 0x20) : character;
}

}  // namespace gatehouse::http::detail
