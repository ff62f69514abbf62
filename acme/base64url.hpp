// Base64 with the URL-safe alphabet and no padding, as JOSE and ACME write it (RFC 4648 section 5, RFC 7515 section 2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gatehouse::acme {

[[nodiscard]] std::string base64url(std::string_view bytes);

/// std::nullopt for anything but the one encoding of some bytes: padding, other characters, stray bits at the end.
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

}  // namespace gatehouse::acme
