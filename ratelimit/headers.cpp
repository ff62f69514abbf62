// RateLimit fields; see headers.hpp.
#include "ratelimit/headers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace gatehouse::ratelimit {

namespace {

constexpr std::uint64_t kLargestSfInteger = 999'999'999'999'999;  // RFC 8941 section 3.3.1: fifteen digits

void append_member(std::string& value, std::string_view limit, char first, std::uint64_t count, char second,
                   std::uint64_t seconds) {
  append_sf_string(value, limit);
  fmt::format_to(std::back_inserter(value), ";{}={};{}={}", first, std::min(count, kLargestSfInteger), second,
                 std::min(seconds, kLargestSfInteger));
}

/// Of the parameters themselves: the bucket's arithmetic lowers rates that it cannot step exactly, and ends at kMaxWait.
std::uint64_t window_seconds(std::uint64_t capacity, const BucketParameters& parameters) noexcept {
  constexpr std::uint64_t micro = 1'000'000;
  const auto divide_rounding_up = [](std::uint64_t a, std::uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); };
  const std::uint64_t tokens = std::clamp<std::uint64_t>(parameters.tokens, 1, kMaxTokens);
  const auto period = static_cast<std::uint64_t>(std::clamp(parameters.period, Microseconds{1}, kMaxPeriod).count());
  // capacity * period / tokens with the period as whole seconds and the rest, so that no product leaves 64 bits.
  const std::uint64_t token_seconds =
      capacity * (period / micro) + divide_rounding_up(capacity * (period % micro), micro);
  return divide_rounding_up(token_seconds, tokens);
}

std::uint64_t seconds_rounding_up(Microseconds time) noexcept {
  return time <= Microseconds{0} ? 0 : retry_after_seconds(time);
}

}  // namespace

void append_policy(std::string& value, std::string_view limit, const BucketParameters& parameters) {
  const std::uint64_t capacity = std::clamp<std::uint64_t>(parameters.capacity, 1, kMaxTokens);
  append_member(value, limit, 'q', capacity, 'w', window_seconds(capacity, parameters));
}

void append_limit(std::string& value, std::string_view limit, const Decision& decision) {
  const std::uint64_t seconds =
      decision.allowed ? seconds_rounding_up(decision.reset_after) : retry_after_seconds(decision.retry_after);
  append_member(value, limit, 'r', decision.remaining, 't', seconds);
}

void append_sf_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= 0x20 && c <= 0x7E ? c : '?';
  }
  out += '"';
}

}  // namespace gatehouse::ratelimit
