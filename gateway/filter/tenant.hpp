// A tenant at run time: what its configuration became when the snapshot was built. Immutable but for metrics and
// each worker's own load figures; shared by all workers.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/tenant_config.hpp"
#include "gateway/filter/held_bytes.hpp"
#include "gateway/filter/rule_labels.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/upstream/service.hpp"
#include "ratelimit/bucket.hpp"
#include "waf/waf.hpp"

namespace gatehouse::filter {

/// Why the gateway answered by itself; the label `reason`.
enum class Reason : std::uint8_t {
  none,
  waf,
  waf_error,
  rate_limit,
  no_route,
  malformed,
  misdirected,
  too_large,
  overload,
  upstream,
  timeout,
  no_endpoint,
  access,
  auth,
  loop,
  redirect,
  max_forwards,
  count_
};
[[nodiscard]] const char* reason_name(Reason reason) noexcept;

/// Who ended an exchange before its whole answer was sent; the field gatehouse.aborted and the label `cause`.
enum class Cut : std::uint8_t {
  none,
  upstream,  // its connection broke, or what it sent is malformed
  timeout,   // it was silent for longer than its route permits
  client,    // it left, or did not take or send what it had to in time
  idle,      // a tunnel in which nothing moved for timeouts.tunnel_idle
  shutdown,  // the time of the drain was over
  count_
};
[[nodiscard]] const char* cut_name(Cut cut) noexcept;

/// How an endpoint failed; the field gatehouse.upstream_error and the label `error`.
enum class UpstreamError : std::uint8_t {
  none,
  refused,          // nobody listens
  unreachable,      // no connection for another reason
  connect_timeout,  // no connection, or no TLS on it, within timeouts.upstream_connect
  tls,              // the handshake failed, or what came later was no TLS
  tls_verify,       // its certificate is not trusted or not for its name
  timeout,          // silence for longer than its route permits
  too_slow,         // the head of its answer came below limits.min_rate
  reset,            // it reset the connection
  closed,           // it closed the connection before the end of its answer
  malformed,        // its answer is not HTTP as the gateway accepts it
  too_large,        // the head of its answer exceeds limits.header_bytes, or has too many fields
  exhausted,        // the gateway or its kernel had no socket or port for the connection
  count_
};
[[nodiscard]] const char* upstream_error_name(UpstreamError error) noexcept;

/// The verdicts of CONTRACT's gatehouse_waf_requests_total, in order of precedence.
enum class WafVerdict : std::uint8_t { off, clean, screened, flagged, bypassed, error, blocked, count_ };
[[nodiscard]] const char* verdict_name(WafVerdict verdict) noexcept;

struct RateLimitRule {
  const config::RateLimit* config = nullptr;
  ratelimit::BucketParameters parameters;
  std::string policy_field;  // "per_client";q=20;w=2
  std::shared_ptr<runtime::Counter> allowed, limited, shadow_limited;
};

struct Route {
  const config::Route* config = nullptr;
  const upstream::Service* service = nullptr;
  std::vector<const RateLimitRule*> rate_limits;
  bool limits_always_in_headers = false;
  std::shared_ptr<runtime::Histogram> duration;
  // gatehouse_requests_total by site (the last is "-") and class of code, looked up at first use.
  mutable std::vector<std::array<runtime::LazyCounter, static_cast<std::size_t>(upstream::CodeClass::count_)>> requests;
  mutable std::array<runtime::LazyCounter, static_cast<std::size_t>(Cut::count_)> answers_cut;
  mutable std::array<runtime::LazyCounter, static_cast<std::size_t>(UpstreamError::count_)> upstream_errors;
};

/// A tenant's processor time for inspection: what it has used is paid back at its share of a processor, and who owes a
/// second's worth gets no more (a leaky bucket as a meter, by the time at which all would be paid back).
class WafShare {
 public:
  /// What was used now.
  void charge(runtime::TimePoint now, std::chrono::nanoseconds used, std::uint32_t share_thousandths) noexcept {
    const std::int64_t repaid_in = used.count() * 1000 / share_thousandths;
    const std::int64_t present = now.time_since_epoch().count();
    std::int64_t paid_back = paid_back_at_.load(std::memory_order_relaxed);
    while (!paid_back_at_.compare_exchange_weak(paid_back, std::max(paid_back, present) + repaid_in,
                                                std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] bool is_spent(runtime::TimePoint now) const noexcept {
    constexpr std::int64_t most_owed = 1'000'000'000;
    return paid_back_at_.load(std::memory_order_relaxed) - now.time_since_epoch().count() > most_owed;
  }

 private:
  std::atomic<std::int64_t> paid_back_at_ = 0;  // nanoseconds of runtime::Clock
};

/// What a tenant has under way, over all workers and reloads.
struct TenantLoad {
  WafShare waf_share;
  std::atomic<std::size_t> requests = 0;
  std::atomic<std::size_t> connections = 0;
  ByteCount held_bytes = 0;  // of bodies
  RuleLabels rule_labels;
};

struct Tenant {
  std::shared_ptr<const config::TenantConfig> config;
  std::shared_ptr<const waf::Policy> waf_policy;  // null: off
  std::vector<std::unique_ptr<upstream::Service>> services;
  std::vector<std::unique_ptr<RateLimitRule>> rate_limits;
  std::vector<std::unique_ptr<Route>> routes;

  std::shared_ptr<runtime::Histogram> waf_duration;
  std::shared_ptr<runtime::Histogram> unrouted_duration;  // of requests that found no route, redirects among them
  std::shared_ptr<TenantLoad> load;
  mutable std::array<runtime::LazyCounter, static_cast<std::size_t>(Reason::count_)> local_replies;
  mutable std::array<runtime::LazyCounter, static_cast<std::size_t>(WafVerdict::count_)> waf_verdicts;
  mutable std::array<runtime::LazyCounter, static_cast<std::size_t>(upstream::CodeClass::count_)> unrouted_requests;
};

}  // namespace gatehouse::filter
