// The token bucket as arithmetic. Pure: state in, decision out; the memory store and the Redis script compute
// the same. Tokens are counted in integer micro-tokens, since Redis truncates Lua numbers.
#pragma once

#include <chrono>
#include <cstdint>

namespace gatehouse::ratelimit {

using Microseconds = std::chrono::microseconds;

/// A bucket holds at most `capacity` tokens and gains `tokens` each `period`.
struct BucketParameters {
  std::uint64_t capacity = 1;
  std::uint64_t tokens = 1;
  Microseconds period{1'000'000};
  bool operator==(const BucketParameters&) const = default;
};

/// A bucket's content at a moment of its store's clock.
struct BucketState {
  std::uint64_t micro_tokens = 0;
  Microseconds updated{0};
};

/// What a request was told.
struct Decision {
  bool allowed = true;
  std::uint64_t remaining = 0;         // whole tokens left after this request
  Microseconds retry_after{0};         // until one token is there; 0 when allowed
  Microseconds reset_after{0};         // until the bucket is full again
};

/// A bucket that nobody has used yet: full.
[[nodiscard]] BucketState full_bucket(const BucketParameters& parameters, Microseconds now) noexcept;

/// Refills `state` up to `now`, then takes one token if there is one. A clock that steps back adds nothing and takes
/// nothing. Never overflows: every product is computed in 128 bits.
[[nodiscard]] Decision take(const BucketParameters& parameters, BucketState& state, Microseconds now) noexcept;

/// Looks without taking (all limits of a request are checked before any is charged).
[[nodiscard]] Decision peek(const BucketParameters& parameters, BucketState state, Microseconds now) noexcept;

/// Retry-After's value (RFC 9110 section 10.2.3): whole seconds, rounded up, at least 1.
[[nodiscard]] std::uint64_t retry_after_seconds(Microseconds wait) noexcept;

}  // namespace gatehouse::ratelimit
