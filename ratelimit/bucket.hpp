// The token bucket as arithmetic. Pure: state in, decision out; the memory store and the Redis script compute
// the same, number for number. Called by ratelimit/memory_store.cpp, redis_script.cpp and filter/ratelimit.
//
// Tokens are counted in integer micro-tokens. A rate of `tokens` each `period` is reduced to its smallest exact step,
// "a micro-tokens each b microseconds" (RefillStep): 10/s is 10 each 1 us, 100/m is 5 each 3 us, 7/h is 7 each 3.6 ms.
// A refill credits whole steps and moves `updated` by just the time of these, so that the remainder of the time is
// kept: however oddly a bucket is visited, it neither gains nor loses by rounding. What is admitted in any window of
// length t is at most capacity + tokens * t / period. A token may be there later than in a continuous bucket, by less
// than one step: below 3.6 ms for rates per second, minute or hour.
#pragma once

#include <chrono>
#include <cstdint>

namespace gatehouse::ratelimit {

using Microseconds = std::chrono::microseconds;

/// Bounds that keep every intermediate value below 2^53, so that Redis's Lua, whose numbers are doubles, is exact too.
inline constexpr std::uint64_t kMaxTokens = 1'000'000'000;  // of `capacity` and of `tokens`; more is taken as this
inline constexpr Microseconds kMaxPeriod{366LL * 86'400'000'000};  // a longer period is taken as this
inline constexpr Microseconds kMaxWait{1LL << 52};                 // 142 years: waits beyond are told as this

/// A bucket holds at most `capacity` tokens and gains `tokens` each `period`.
struct BucketParameters {
  std::uint64_t capacity = 1;
  std::uint64_t tokens = 1;
  Microseconds period{1'000'000};
  bool operator==(const BucketParameters&) const = default;
};

/// The same in the units of the arithmetic.
struct RefillStep {
  std::uint64_t capacity_micro = 0;  // 1e6 to 1e15
  std::uint64_t micro_tokens = 0;    // "a": gained each step, at least 1
  std::uint64_t microseconds = 0;    // "b": time of one step, at least 1; micro_tokens * microseconds <= 2^52
  bool operator==(const RefillStep&) const = default;
};

/// A bucket's content at a moment of its store's clock. Does not depend on the parameters, so a bucket keeps its
/// content when a reload changes its rate.
struct BucketState {
  std::uint64_t micro_tokens = 0;
  Microseconds updated{0};
  bool operator==(const BucketState&) const = default;
};

/// What a request was told.
struct Decision {
  bool allowed = true;          // there is a token in this bucket
  std::uint64_t remaining = 0;  // whole tokens left after this request
  Microseconds retry_after{0};  // until one token is there; 0 when allowed
  Microseconds reset_after{0};  // until the bucket is full again
  bool operator==(const Decision&) const = default;
};

/// What a gateway tells the common store of a bucket after the store was lost to it; see take_script().
struct Debt {
  std::uint64_t owed = 0;      // micro-tokens that it admitted on its own meanwhile
  std::uint64_t missing = 0;   // micro-tokens that the bucket lacks, by its own share's, if the store has lost it
  std::uint64_t gateways = 1;  // that share the bucket, as far as it knows; at most kMaxTokens
  Microseconds silence{0};     // since the last decision of the common store that it knows of; at most kMaxWait
  bool operator==(const Debt&) const = default;
};

/// Reduces the parameters. Zero counts as one, values beyond the bounds as the bound. A rate whose exact step would
/// break 2^52 (never one of whole seconds up to a month) is lowered a little, never raised.
[[nodiscard]] RefillStep refill_step(const BucketParameters& parameters) noexcept;

/// A bucket that nobody has used yet: full.
[[nodiscard]] BucketState full_bucket(const BucketParameters& parameters, Microseconds now) noexcept;
[[nodiscard]] BucketState full_bucket(const RefillStep& step, Microseconds now) noexcept;

/// From `state.updated` until the bucket is full, rounded up; at most kMaxWait.
[[nodiscard]] Microseconds time_to_full(const RefillStep& step, std::uint64_t micro_tokens) noexcept;

/// The inverse: the most that a bucket can hold which will be full after `reset_after`.
[[nodiscard]] std::uint64_t content_before_full(const RefillStep& step, Microseconds reset_after) noexcept;

/// Credits what `state` gained up to `now`. A clock that steps back adds nothing and takes nothing; after a step back
/// by more than the time to fill (the clock had been wrong before), the wait for the clock to catch up is cut to the
/// time to fill, which is as much as the forward step can have credited. True when it had to be cut: a store that
/// does not keep refills without a charge must keep this one.
bool refill(const RefillStep& step, BucketState& state, Microseconds now) noexcept;

/// Refills `state` up to `now`, then takes one token if there is one. Never overflows.
[[nodiscard]] Decision take(const BucketParameters& parameters, BucketState& state, Microseconds now) noexcept;
[[nodiscard]] Decision take(const RefillStep& step, BucketState& state, Microseconds now) noexcept;

/// Looks without taking (all limits of a request are checked before any is charged).
[[nodiscard]] Decision peek(const BucketParameters& parameters, BucketState state, Microseconds now) noexcept;
[[nodiscard]] Decision peek(const RefillStep& step, BucketState state, Microseconds now) noexcept;

/// One gateway's share of a limit while the common store is lost: capacity / gateways (at least 1) and
/// rate / gateways, so that all gateways together stay within the limit (but for capacities below `gateways`).
[[nodiscard]] BucketParameters share_of(const BucketParameters& parameters, std::uint64_t gateways) noexcept;

/// An amount of the bucket of `from` as the same part of the bucket of `to`, rounded down. Between a limit and its
/// share: exact, no product leaves 64 bits.
[[nodiscard]] std::uint64_t scaled(std::uint64_t micro_tokens, const BucketParameters& from,
                                   const BucketParameters& to) noexcept;

/// Retry-After's value (RFC 9110 section 10.2.3): whole seconds, rounded up, at least 1.
[[nodiscard]] std::uint64_t retry_after_seconds(Microseconds wait) noexcept;

}  // namespace gatehouse::ratelimit
