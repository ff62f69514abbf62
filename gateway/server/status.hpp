// What /status and the gauges of /metrics show of the snapshot. Pure but for the clock; called by Server on the
// background thread.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gateway/proxy/snapshot.hpp"
#include "gateway/server/certificates.hpp"
#include "gateway/server/snapshot_builder.hpp"

namespace gatehouse::server {

struct StatusInput {
  const config::GatewayConfig* gateway = nullptr;
  const proxy::Snapshot* snapshot = nullptr;
  const std::vector<SnapshotBuilder::TenantState>* tenants = nullptr;
  const std::map<std::string, acme::Certifier::State>* certificates = nullptr;  // by host
  Certificates::Summary fleet;
  bool ready = false;
  bool draining = false;
  std::size_t workers = 0;
  std::size_t connections = 0;
  std::size_t max_connections = 0;
  std::chrono::seconds uptime{0};
};
[[nodiscard]] std::string status_json_of(const StatusInput& input);

/// Endpoint health, active sites, requests in flight and certificates' ends.
void update_snapshot_gauges(runtime::Metrics& metrics, const proxy::Snapshot& snapshot,
                            const std::map<std::string, acme::Certifier::State>& certificates);

/// Forgets the series of what no configuration names any more: tenants that are not among `tenants`, and routes, services,
/// sites and limits that tenants of the snapshot no longer have; those of Redis if the snapshot has none.
void prune_series(runtime::Metrics& metrics, const proxy::Snapshot& snapshot, const std::set<std::string>& tenants);

/// The names of settings that differ and that a reload cannot change: workers, listeners, admin, metrics, storage. Empty: none.
[[nodiscard]] std::string changed_fixed_settings(const config::GatewayConfig& running,
                                                 const config::GatewayConfig& wanted);

}  // namespace gatehouse::server
