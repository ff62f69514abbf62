// Makes a snapshot of the configuration files, at start and at each reload. Runs on the background thread; what it
// makes is immutable and handed to the workers. An invalid tenant never stops the others: its last valid version
// stays, or it is left out.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "gateway/proxy/snapshot.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/upstream/health.hpp"

namespace gatehouse::server {

class SnapshotBuilder {
 public:
  SnapshotBuilder(runtime::Metrics& metrics, upstream::HealthChecker& health, runtime::Loop& background,
                  std::size_t workers);

  struct TenantState {
    std::string name;      // the tenant's, or its file's stem
    bool valid = true;     // the file as it is now
    bool serving = true;   // it, or its last valid version, is in the snapshot
  };
  struct Result {
    std::shared_ptr<const proxy::Snapshot> snapshot;  // null: the WAF's rules cannot be loaded
    config::Problems problems;                        // of all tenants and rule files
    std::vector<TenantState> tenants;
    std::vector<std::string> files;                   // everything that was read, to be watched
  };

  /// Reads the tenants and builds. `gateway` has been loaded without errors.
  [[nodiscard]] Result build(std::shared_ptr<const config::GatewayConfig> gateway);

 private:
  bool load_waf(const config::GatewayConfig& gateway, Result& result);
  std::shared_ptr<const net::ServerTls> host_tls(const config::Host& host, config::Problems& problems,
                                                 std::vector<std::string>& files);
  std::shared_ptr<const net::ServerTls> cached_tls(const net::ServerTlsSettings& settings, const config::Place& place,
                                                   config::Problems& problems);
  std::shared_ptr<const net::ClientTls> client_tls(const config::UpstreamTls& tls, config::Problems& problems,
                                                   std::vector<std::string>& watched);
  /// Null with problems when the tenant cannot be served as configured.
  std::unique_ptr<proxy::TenantRoutes> build_tenant(const std::shared_ptr<const config::TenantConfig>& config,
                                                    const config::GatewayConfig& gateway, config::Problems& problems,
                                                    std::vector<std::string>& files,
                                                    std::vector<std::shared_ptr<const net::ServerTls>>& host_settings);
  void start_health_checks(proxy::Snapshot& snapshot);

  runtime::Metrics& metrics_;
  upstream::HealthChecker& health_;
  runtime::Loop& background_;
  std::size_t workers_;

  std::shared_ptr<waf::Engine> waf_;
  std::string waf_fingerprint_;
  std::map<std::string, std::shared_ptr<const config::TenantConfig>> last_valid_;  // by file stem
  std::map<std::string, std::shared_ptr<filter::TenantLoad>> loads_;               // by tenant
  std::map<std::string, net::ServerTlsSettings> self_signed_;                      // by host
  std::map<std::string, std::weak_ptr<const net::ServerTls>> tls_cache_;
  std::map<std::string, std::weak_ptr<const net::ClientTls>> client_tls_cache_;
  std::shared_ptr<const net::ServerTls> default_tls_;
};

/// Size, time and inode of each file as text; two equal fingerprints mean that nothing changed. Follows symbolic links,
/// so that the swap of a mounted ConfigMap is a change.
[[nodiscard]] std::string fingerprint(const std::vector<std::string>& files);

/// The files that a glob pattern names, sorted.
[[nodiscard]] std::vector<std::string> expand_glob(const std::string& pattern);

}  // namespace gatehouse::server
