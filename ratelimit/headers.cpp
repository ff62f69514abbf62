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

std::uint64_t seconds_rounding_up(Microseconds time) noexcept {
  return time <= Microseconds{0} ? 0 : retry_after_seconds(time);
}

}  // namespace

void append_policy(std::string& value, std::string_view limit, const BucketParameters& parameters) {
  const RefillStep step = refill_step(parameters);
  append_member(value, limit, 'q', step.capacity_micro / 1'000'000, 'w', retry_after_seconds(time_to_full(step, 0)));
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
