// Active health checks: a pure state machine, and the checker that asks endpoints from the background thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/tenant_config.hpp"
#include "gateway/net/tls.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::upstream {

/// Counts results in a row. Unknown counts as healthy until the first result; the first result decides at once, since a
/// gateway that starts next to a dead endpoint must not send it `unhealthy_after` intervals of requests.
class HealthState {
 public:
  /// Takes a result; true if `healthy()` changed.
  bool observe(bool good, const config::HealthCheck& check) noexcept;
  [[nodiscard]] bool healthy() const noexcept { return healthy_; }
  [[nodiscard]] bool known() const noexcept { return known_; }

 private:
  bool healthy_ = true;
  bool known_ = false;
  unsigned in_a_row_ = 0;  // results that speak against the present state
};

/// What the rest of the gateway sees of an endpoint's health. Written by the checker, read by all workers.
struct EndpointHealth {
  std::atomic<bool> healthy = true;
  std::atomic<bool> known = false;
};

/// Identifies one check: equal keys share one check and one EndpointHealth over reloads and tenants' services.
struct HealthKey {
  std::string tenant;
  std::string service;
  SocketAddress endpoint;
  bool tls = false;
  std::string tls_name;  // of https services
  std::string host;  // Host header
  std::string path;
  config::Milliseconds interval{0}, timeout{0};
  unsigned unhealthy_after = 0, healthy_after = 0;
  auto operator<=>(const HealthKey&) const = default;
};

class HealthChecker {
 public:
  /// `on_change` is called on the background thread for every change of an endpoint's health and its first result.
  HealthChecker(runtime::Loop& background,
                std::function<void(const HealthKey&, bool healthy, const std::string& why)> on_change);
  ~HealthChecker();

  struct Wanted {
    HealthKey key;
    std::shared_ptr<const net::ClientTls> tls;  // for https services; a check goes on with what it is given last
  };
  /// The endpoints that are to be checked from now on; checks that are no longer wanted end. Returns the health of each, in order.
  /// From any thread that builds snapshots (one at a time).
  std::vector<std::shared_ptr<EndpointHealth>> assign(const std::vector<Wanted>& wanted);

  /// Ends all checks; they finish within their time-out.
  void stop();

 private:
  struct Check;
  static runtime::Task<void> run(HealthChecker& checker, std::shared_ptr<Check> check);

  runtime::Loop& background_;
  std::function<void(const HealthKey&, bool, const std::string&)> on_change_;
  std::map<HealthKey, std::shared_ptr<Check>> checks_;  // guarded by being used by the builder of snapshots alone
};

}  // namespace gatehouse::upstream
