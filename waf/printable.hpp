// Text that clients chose, made fit for logs and events. Used by waf/harvest.cpp and waf/mask.cpp.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gatehouse::waf {

inline constexpr std::size_t event_text_bytes = 100;  // CONTRACT: what an event shows of a match

/// Appends `text` to `out` as valid UTF-8 without control characters: what is neither becomes "\xNN". Stops before
/// `out` would exceed `max_bytes`; never splits a character or an escape. Returns false if something was cut.
bool append_printable(std::string_view text, std::size_t max_bytes, std::string& out);

[[nodiscard]] std::string printable(std::string_view text, std::size_t max_bytes = event_text_bytes);

}  // namespace gatehouse::waf
