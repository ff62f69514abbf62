// Exchanges between requests, names of labels, request ids; see exchange.hpp, tenant.hpp and worker_context.hpp.
#include "gateway/filter/exchange.hpp"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>

#include "gateway/runtime/memory.hpp"

namespace gatehouse::filter {

bool Exchange::hold(std::size_t bytes) noexcept {
  if (worker.held_bytes == nullptr) return true;
  try {
    if (!held.is_open()) held.open({*worker.held_bytes, tenant->load->held_bytes, worker.client_bytes->of(client)});
  } catch (const std::bad_alloc&) {
    return false;
  }
  const std::size_t limit = settings->limits.buffered_bytes;
  return held.grow(limit, held_for(bytes));
}

void Exchange::hold_at_most(std::size_t bytes) noexcept { held.shrink(held_for(bytes)); }

// What libmodsecurity keeps of an inspected body is twice its size. One body of up to the limit always fits.
std::size_t Exchange::held_for(std::size_t bytes) const noexcept {
  return std::max(bytes, std::min(3 * bytes, settings->limits.buffered_bytes));
}

bool Exchange::hold_beside_body(std::size_t bytes) noexcept {
  if (bytes == 0 || !held.is_open()) return true;
  const std::size_t limit = settings->limits.buffered_bytes;
  return held.grow(limit, std::min(held.held() + bytes, limit));
}

void Exchange::reset() {
  head.fields.clear();
  target.host.clear();  // keeps its memory
  target.path.clear();
  target.as_received = target.query = {};
  target.port = 0;
  target.has_query = false;
  framing = {};
  peer_trusted = false;
  request_id.clear();
  trace_id.clear();
  trace_flags.clear();
  if (body.capacity() > 64 * 1024) runtime::free_memory(body);
  body.clear();
  body_buffered = false;
  wants_websocket = false;
  redirect_to_https = false;
  hsts.reset();
  request_fields.clear();
  tenant = nullptr;
  route = nullptr;
  choice = {};
  reply = {};
  body_over_limit = plain_answer = false;
  response.fields.clear();
  response_fields.clear();
  status = 0;
  response_started = false;
  cut = Cut::none;
  upstream_error = UpstreamError::none;
  waf.reset();
  held.release();
  verdict = WafVerdict::off;
  waf_judged = waf_bypassed = false;
  waf_error = false;
  waf_weight = {};
  waf_later = waf_hurried = waf_restart = waf_tells_body = false;
  waf_nanoseconds = 0;
  upstream_nanoseconds = 0;
  request_body_bytes = 0;
  response_body_bytes = 0;
}

const char* reason_name(Reason reason) noexcept {
  static constexpr const char* names[] = {"-",         "waf",         "waf_error", "rate_limit", "no_route",
                                          "malformed", "misdirected", "too_large", "overload",   "upstream",
                                          "timeout",   "no_endpoint", "access",    "auth",       "loop",
                                          "redirect",  "max_forwards"};
  static_assert(std::size(names) == static_cast<std::size_t>(Reason::count_));
  return names[static_cast<std::size_t>(reason)];
}

const char* cut_name(Cut cut) noexcept {
  static constexpr const char* names[] = {"-", "upstream", "timeout", "client", "idle", "shutdown"};
  static_assert(std::size(names) == static_cast<std::size_t>(Cut::count_));
  return names[static_cast<std::size_t>(cut)];
}

const char* upstream_error_name(UpstreamError error) noexcept {
  static constexpr const char* names[] = {"-",          "refused",   "unreachable", "connect_timeout", "tls",
                                          "tls_verify", "timeout",   "too_slow",    "reset",           "closed",
                                          "malformed",  "too_large", "exhausted"};
  static_assert(std::size(names) == static_cast<std::size_t>(UpstreamError::count_));
  return names[static_cast<std::size_t>(error)];
}

const char* verdict_name(WafVerdict verdict) noexcept {
  static constexpr const char* names[] = {"-", "clean", "screened", "flagged", "bypassed", "error", "blocked"};
  static_assert(std::size(names) == static_cast<std::size_t>(WafVerdict::count_));
  return names[static_cast<std::size_t>(verdict)];
}

RequestIds::RequestIds() {
  if (::getrandom(state_.data(), sizeof state_, 0) != static_cast<ssize_t>(sizeof state_))
    throw std::runtime_error("no random bytes from the kernel");
}

// xoshiro256++ (Blackman and Vigna, 2019).
std::uint64_t RequestIds::next() noexcept {
  auto& s = state_;
  const std::uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

namespace {

void append_hex(std::string& out, std::uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  char text[16];
  for (int i = 15; i >= 0; --i, value >>= 4) text[i] = digits[value & 15];
  out.append(text, sizeof text);
}

}  // namespace

void RequestIds::append(std::string& out) noexcept {
  append_hex(out, next());
  append_hex(out, next());
}

void RequestIds::append_short(std::string& out) noexcept { append_hex(out, next() | 1); }  // an all-zero id is invalid

}  // namespace gatehouse::filter
