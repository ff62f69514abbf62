// Points in civil time as ACME's documents and HTTP's fields write them.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace gatehouse::acme {

/// Seconds since 1970 in UTC: what certificates and CAs speak of. Whoever calls brings the present.
using Time = std::chrono::sys_seconds;
using Seconds = std::chrono::seconds;

/// "2026-11-29T12:00:00Z", with fractions (cut off) and offsets (RFC 3339 section 5.6). Years 1970 to 9999.
[[nodiscard]] std::optional<Time> from_rfc3339(std::string_view text) noexcept;

/// A Retry-After field: whole seconds from `now`, or an IMF-fixdate (RFC 9110 sections 10.2.3 and 5.6.7). Cut to a day:
/// a CA that asks for longer is asked again by then.
[[nodiscard]] std::optional<Time> from_retry_after(std::string_view text, Time now) noexcept;

}  // namespace gatehouse::acme
