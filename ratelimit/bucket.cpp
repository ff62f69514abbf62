// Token bucket arithmetic; see bucket.hpp for the scheme. redis_script.cpp holds the same in Lua: change both or none,
// the integration test compares them.
#include "ratelimit/bucket.hpp"

#include <algorithm>
#include <numeric>

namespace gatehouse::ratelimit {

namespace {

constexpr std::uint64_t kMicro = 1'000'000;
constexpr std::uint64_t kMaxProduct = 1ULL << 52;

std::uint64_t micros(Microseconds time) noexcept { return static_cast<std::uint64_t>(time.count()); }

std::uint64_t divide_rounding_up(std::uint64_t value, std::uint64_t by) noexcept {
  return value / by + (value % by != 0 ? 1 : 0);
}

/// The time from `from` to `to`, saturated beyond any wait: a state with a nonsensical time must not overflow.
Microseconds elapsed(Microseconds from, Microseconds to) noexcept {
  constexpr Microseconds kFar = 2 * kMaxWait;
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(to.count(), from.count(), &difference)) return to > from ? kFar : -kFar;
  return std::clamp(Microseconds{difference}, -kFar, kFar);
}

Decision describe(const RefillStep& step, const BucketState& state, Microseconds now, bool allowed) noexcept {
  Decision decision;
  decision.allowed = allowed;
  decision.remaining = state.micro_tokens / kMicro;
  const Microseconds since = elapsed(state.updated, now);  // negative after a step back of the clock
  const Microseconds full = time_to_full(step, state.micro_tokens);
  const auto wait = [since](Microseconds from_updated) {
    return std::clamp(from_updated - since, Microseconds{0}, kMaxWait);
  };
  decision.reset_after = wait(full);
  if (!allowed) {
    // Whole steps until a token is there; a bucket that is full before the last step is over has it earlier.
    const std::uint64_t steps = divide_rounding_up(kMicro - state.micro_tokens, step.micro_tokens);
    const Microseconds until_token{static_cast<std::int64_t>(steps * step.microseconds)};
    decision.retry_after = wait(std::min(until_token, full));
  }
  return decision;
}

}  // namespace

RefillStep refill_step(const BucketParameters& parameters) noexcept {
  const std::uint64_t capacity = std::clamp<std::uint64_t>(parameters.capacity, 1, kMaxTokens);
  std::uint64_t tokens = std::clamp<std::uint64_t>(parameters.tokens, 1, kMaxTokens);
  std::uint64_t period = micros(std::clamp(parameters.period, Microseconds{1}, kMaxPeriod));
  RefillStep step{.capacity_micro = capacity * kMicro, .micro_tokens = tokens, .microseconds = 1};
  if (period == kMicro) return step;  // by far the most common
  const auto reduce = [&step](std::uint64_t micro_tokens, std::uint64_t microseconds) {
    const std::uint64_t divisor = std::gcd(micro_tokens, microseconds);
    step.micro_tokens = micro_tokens / divisor;
    step.microseconds = microseconds / divisor;
    return step.micro_tokens <= kMaxProduct / step.microseconds;
  };
  if (period % kMicro == 0) {
    if (reduce(tokens, period / kMicro)) return step;
  } else if (reduce(tokens * kMicro, period)) {
    return step;
  }
  // A longer period or fewer tokens: the rate may only fall.
  const std::uint64_t seconds = divide_rounding_up(period, kMicro);
  tokens = std::min(tokens, kMaxProduct / seconds);
  reduce(tokens, seconds);
  return step;
}

BucketState full_bucket(const RefillStep& step, Microseconds now) noexcept {
  return {.micro_tokens = step.capacity_micro, .updated = now};
}

BucketState full_bucket(const BucketParameters& parameters, Microseconds now) noexcept {
  return full_bucket(refill_step(parameters), now);
}

Microseconds time_to_full(const RefillStep& step, std::uint64_t micro_tokens) noexcept {
  if (micro_tokens >= step.capacity_micro) return Microseconds{0};
  const std::uint64_t room = step.capacity_micro - micro_tokens;
  const std::uint64_t steps = room / step.micro_tokens;
  if (steps >= micros(kMaxWait) / step.microseconds) return kMaxWait;
  const std::uint64_t rest = room % step.micro_tokens;  // a part of a step; its product is below 2^52
  const std::uint64_t last = divide_rounding_up(rest * step.microseconds, step.micro_tokens);
  return Microseconds{static_cast<std::int64_t>(steps * step.microseconds + last)};
}

std::uint64_t content_before_full(const RefillStep& step, Microseconds reset_after) noexcept {
  const std::uint64_t time = micros(std::clamp(reset_after, Microseconds{0}, kMaxWait));
  const std::uint64_t steps = time / step.microseconds;
  if (steps > step.capacity_micro / step.micro_tokens) return 0;
  const std::uint64_t rest = time % step.microseconds * step.micro_tokens / step.microseconds;  // below 2^52
  const std::uint64_t room = steps * step.micro_tokens + rest;
  return step.capacity_micro - std::min(room, step.capacity_micro);
}

bool refill(const RefillStep& step, BucketState& state, Microseconds now) noexcept {
  const Microseconds since = elapsed(state.updated, now);
  if (since < Microseconds{0}) {
    state.micro_tokens = std::min(state.micro_tokens, step.capacity_micro);
    const Microseconds longest = time_to_full(step, 0);
    if (-since <= longest) return false;
    state.updated = now + longest;
    return true;
  }
  if (since >= time_to_full(step, state.micro_tokens)) {
    state = full_bucket(step, now);
    return false;
  }
  const std::uint64_t steps = micros(since) / step.microseconds;
  state.micro_tokens += steps * step.micro_tokens;  // below the capacity, since it is not full by now
  state.updated += Microseconds{static_cast<std::int64_t>(steps * step.microseconds)};
  return false;
}

Decision take(const RefillStep& step, BucketState& state, Microseconds now) noexcept {
  refill(step, state, now);
  const bool allowed = state.micro_tokens >= kMicro;
  if (allowed) state.micro_tokens -= kMicro;
  return describe(step, state, now, allowed);
}

Decision take(const BucketParameters& parameters, BucketState& state, Microseconds now) noexcept {
  return take(refill_step(parameters), state, now);
}

Decision peek(const RefillStep& step, BucketState state, Microseconds now) noexcept {
  refill(step, state, now);
  return describe(step, state, now, state.micro_tokens >= kMicro);
}

Decision peek(const BucketParameters& parameters, BucketState state, Microseconds now) noexcept {
  return peek(refill_step(parameters), state, now);
}

BucketParameters share_of(const BucketParameters& parameters, std::uint64_t gateways) noexcept {
  gateways = std::clamp<std::uint64_t>(gateways, 1, kMaxTokens);
  BucketParameters share = parameters;
  share.capacity = std::max<std::uint64_t>(1, std::min(parameters.capacity, kMaxTokens) / gateways);
  const std::uint64_t tokens = std::clamp<std::uint64_t>(parameters.tokens, 1, kMaxTokens);
  const auto period = std::clamp(parameters.period, Microseconds{1}, kMaxPeriod);
  share.tokens = tokens;
  if (tokens % gateways == 0) {
    share.tokens = tokens / gateways;
    share.period = period;
  } else if (micros(period) <= micros(kMaxPeriod) / gateways) {
    share.period = period * static_cast<std::int64_t>(gateways);
  } else {  // too long a period: fewer tokens of it, at least one
    share.tokens = std::max<std::uint64_t>(1, tokens / gateways);
    share.period = period;
  }
  return share;
}

std::uint64_t scaled(std::uint64_t micro_tokens, const BucketParameters& from, const BucketParameters& to) noexcept {
  const std::uint64_t divisor = std::clamp<std::uint64_t>(from.capacity, 1, kMaxTokens);
  const std::uint64_t factor = std::clamp<std::uint64_t>(to.capacity, 1, kMaxTokens);
  micro_tokens = std::min(micro_tokens, divisor * kMicro);
  return micro_tokens / divisor * factor + micro_tokens % divisor * factor / divisor;
}

std::uint64_t retry_after_seconds(Microseconds wait) noexcept {
  if (wait <= Microseconds{0}) return 1;
  return divide_rounding_up(micros(wait), kMicro);
}

}  // namespace gatehouse::ratelimit
