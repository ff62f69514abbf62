// A tenant's service at run time: sites in order of preference, endpoints with their health, one worker's view of
// load and connections. Part of a snapshot.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "config/tenant_config.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/upstream/balance.hpp"
#include "gateway/upstream/connection_pool.hpp"
#include "gateway/upstream/health.hpp"

namespace gatehouse::upstream {

/// Status classes of gatehouse_requests_total.
enum class CodeClass : std::uint8_t { c1xx, c2xx, c3xx, c4xx, c5xx, c499, count_ };
[[nodiscard]] CodeClass code_class(int status) noexcept;
[[nodiscard]] const char* code_class_name(CodeClass code) noexcept;

struct Endpoint {
  SocketAddress address;
  std::string name;  // "127.0.0.1:9001": label and log
  std::shared_ptr<const EndpointHealth> health;  // null: not checked, always healthy
  [[nodiscard]] bool healthy() const noexcept { return !health || health->healthy.load(std::memory_order_relaxed); }
};

struct ServiceSite {
  std::string name;
  std::vector<Endpoint> endpoints;
  std::shared_ptr<runtime::Histogram> duration;
};

/// What one worker knows about a service. Touched by that worker alone.
struct alignas(64) ServiceLoad {
  struct Site {
    std::size_t cursor = 0;
    std::vector<std::uint32_t> in_flight;       // by endpoint
    std::vector<std::shared_ptr<ConnectionPool>> pools;  // by endpoint; looked up at first use
  };
  std::vector<Site> sites;
};

class Service {
 public:
  /// `gateway_site` moves the site of that name to the front.
  Service(const config::Service& config, const std::string& gateway_site, std::size_t workers);

  const config::Service& config;           // owned by the tenant's configuration, which the snapshot holds
  std::vector<ServiceSite> sites;          // own site first
  std::shared_ptr<const net::ClientTls> tls;  // https upstreams
  std::string usual_host;                  // the tenant's first that is not a pattern; may be empty
  mutable std::vector<ServiceLoad> load;   // by worker

  /// Whom an endpoint's certificate must name when it is asked for `host` (empty: no host was named). Never empty: without
  /// a name it would not matter whose certificate it is.
  [[nodiscard]] std::string tls_name(const Endpoint& endpoint, std::string_view host) const;

  /// A choice, or none when no site has a healthy endpoint that was not tried.
  struct Choice {
    std::size_t site = none;
    std::size_t endpoint = none;
    [[nodiscard]] bool found() const noexcept { return site != none; }
    bool operator==(const Choice&) const = default;
  };
  [[nodiscard]] Choice choose(unsigned worker, std::span<const Choice> tried) const noexcept;

  /// True if choose() would find another endpoint than `choice`.
  [[nodiscard]] bool has_alternative(std::span<const Choice> tried, const Choice& choice) const noexcept;

  /// The site that a request would go to now; `none` if there is none.
  [[nodiscard]] std::size_t active_site() const noexcept;
};

}  // namespace gatehouse::upstream
