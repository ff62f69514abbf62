// Undoes a layer of escapes and remembers where each byte came from, so that what is found in the plain text can be
// hidden in the text as it was sent. Used by waf/mask.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::waf {

struct Unescaped {
  std::string text;
  std::vector<std::uint32_t> from;  // where each byte of `text` began, and the end of what was read
};

/// Undoes, wherever they stand, the escapes of URLs (%22, %u0022, +), of JSON and scripts (\u0022, \x22, \") and of
/// markup (&quot;, &#34;, &#x22;), once. Nothing if there is none. `text` is shorter than 4 GiB.
[[nodiscard]] std::optional<Unescaped> unescaped(std::string_view text);

}  // namespace gatehouse::waf
