// The limits' Redis side as bytes: one Lua script, one EVALSHA a request however many limits it has, Redis's own
// clock. No sockets: gateway/upstream/redis_client.cpp sends what this writes and feeds back what it reads.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimit/limit_key.hpp"
#include "ratelimit/resp.hpp"

namespace gatehouse::ratelimit {

/// The script's text. KEYS: buckets. ARGV: capacity, tokens, period in microseconds for each key. Uses TIME inside the
/// script (effects replication), sets each key's TTL to at least the time to fill, charges all or none.
/// Returns for each key: allowed (0|1), remaining, retry_after in microseconds, reset_after in microseconds.
[[nodiscard]] std::string_view take_script() noexcept;
[[nodiscard]] const std::string& take_script_sha1();

/// Appends the EVALSHA (or, `full`, the EVAL after NOSCRIPT) for one request's buckets to `out`.
void append_take_command(std::string& out, std::span<const BucketRequest> requests, bool full);

/// Reads the script's reply. Empty when it does not have the shape of one, or when it is an error.
[[nodiscard]] bool read_take_reply(const RespValue& reply, std::span<Decision> decisions);

}  // namespace gatehouse::ratelimit
