// The limits' Redis side as bytes: one Lua script, one EVALSHA a request however many limits it has, Redis's own
// clock. No sockets: gateway/upstream/redis_session.cpp sends what this writes and feeds back what it reads.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimit/limit_key.hpp"
#include "ratelimit/resp.hpp"

namespace gatehouse::ratelimit {

/// The script's text: bucket.cpp's arithmetic in Lua, all values exact integers below 2^53 (see refill_step()).
/// KEYS: buckets, a key at most once. ARGV: RefillStep's three numbers for each key. Uses TIME inside the script
/// (effects replication, the default since Redis 5). A bucket is one string of 16 bytes: micro-tokens and microseconds,
/// big endian. Its TTL is the time to fill and a second, so that an expired bucket is one that is full. All limits are
/// charged or none, and a refused request writes nothing: a flood of refusals costs Redis no replication.
/// ARGV may go on with the four numbers of a Debt for each key, of a gateway that has lost the store meanwhile:
/// - A bucket that is there is charged what is owed; what it does not hold delays its refill, by at most the time to
///   fill. Gateways come back one after the other, and the first must not have spent what another owes by then.
/// - A bucket that is not there begins without what is missing. The gateway speaks for all, as all have had their
///   shares; so the time is kept (the bucket is a string of 24 bytes then, until the time to fill is over), and of a
///   gateway that has heard of the bucket before that time alone no more is charged than its share of what has
///   flowed in since.
/// - Such a bucket is stored although the request is refused.
/// Returns for each key: allowed (0|1), remaining, retry_after in microseconds, reset_after in microseconds.
[[nodiscard]] std::string_view take_script() noexcept;
[[nodiscard]] const std::string& take_script_sha1();

/// Appends the EVALSHA (or, `full`, the EVAL after NOSCRIPT) for one request's buckets to `out`. `debts`: none, or as
/// many.
void append_take_command(std::string& out, std::span<const BucketRequest> requests, std::span<const Debt> debts,
                         bool full);

/// Appends the EVAL by which a gateway says that it lives and asks how many do: those that said so within `lifetime`, by
/// Redis's clock. The reply is their number, this one among them. KEYS: one sorted set, ids by time in milliseconds.
void append_heartbeat_command(std::string& out, std::string_view gateway_id, std::chrono::milliseconds lifetime);

/// Appends the command by which a gateway that stops says so.
void append_goodbye_command(std::string& out, std::string_view gateway_id);

/// Reads the script's reply. False when it does not have the shape of one for as many buckets, or when it is an error;
/// `decisions` are then not to be used.
[[nodiscard]] bool read_take_reply(const RespValue& reply, std::span<Decision> decisions);

}  // namespace gatehouse::ratelimit
