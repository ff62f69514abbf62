// Text that somebody else wrote, made fit for messages: values of tenants' files, names of files, rule texts. Called
// by whoever puts such text into a problem, a log line or an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gatehouse::config {

inline constexpr char32_t kNotUtf8 = 0xFFFFFFFF;

/// Takes one code point off the front of `text`, which must not be empty. What is not UTF-8 (overlong forms and
/// surrogates included, RFC 3629) yields kNotUtf8 and takes one byte.
[[nodiscard]] char32_t take_code_point(std::string_view& text) noexcept;

/// The byte at which `text` stops being UTF-8; npos if it never does.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view text) noexcept;

/// True for what changes a line without being seen in it: controls, line separators, directional overrides,
/// invisible characters.
[[nodiscard]] bool is_invisible(char32_t code_point) noexcept;

/// `text` as one line of valid UTF-8 of at most `max_bytes` (and the three dots where it was cut): controls and
/// invisible characters as escapes ("\n", "\x1b", "\u{202e}"), invalid bytes as U+FFFD.
[[nodiscard]] std::string printable(std::string_view text, std::size_t max_bytes = 100);

/// The same between single quotes, as messages cite values.
[[nodiscard]] std::string cite(std::string_view text, std::size_t max_bytes = 60);

/// Replaces by "***" what looks like a secret in a line of configuration: the user part of a URL, and the value after
/// keys such as password or token. `column` (from 1) is moved along, so that it still points to the same place.
[[nodiscard]] std::string without_secrets(std::string_view line, int& column);

[[nodiscard]] std::string to_lower(std::string_view text);  // ASCII, whatever the locale
[[nodiscard]] bool is_token(std::string_view text) noexcept;  // RFC 9110 section 5.6.2: names of methods and fields

}  // namespace gatehouse::config
