// Makes a snapshot of the configuration files, at start and at each reload. Runs on the background thread; what it
// makes is immutable and handed to the workers. An invalid tenant never stops the others: its last valid version
// stays, or its hosts are answered 503.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "gateway/proxy/snapshot.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/server/tenant_version.hpp"
#include "gateway/server/tls_store.hpp"
#include "gateway/upstream/health.hpp"

namespace gatehouse::server {

class SnapshotBuilder {
 public:
  SnapshotBuilder(runtime::Metrics& metrics, upstream::HealthChecker& health, runtime::Loop& background,
                  std::size_t workers, TlsStore::SlotOf slot_of);

  using Versions = std::map<std::string, std::shared_ptr<const TenantVersion>>;  // by file stem

  struct TenantState {
    std::string name;      // the tenant's, or its file's stem
    bool valid = true;     // the file as it is now
    bool serving = true;   // it, or its last valid version, is in the snapshot
  };
  struct Result {
    std::shared_ptr<proxy::Snapshot> snapshot;  // null: the WAF's rules cannot be loaded
    config::Problems problems;                  // of all tenants and rule files
    std::vector<TenantState> tenants;
    std::vector<std::string> files;             // everything that was read, to be watched
    Versions versions;                          // the last valid ones, once this result is what serves
  };

  /// For `gatehouse check`: texts with errors are searched for others by the WAF and in certificates, which serves nobody.
  void tell_all() noexcept { tells_all_ = true; }

  /// Reads the tenants and builds. `gateway` has been loaded without errors. Nothing that serves is touched.
  [[nodiscard]] Result build(std::shared_ptr<const config::GatewayConfig> gateway);

  /// `result`, which has a snapshot, is what serves from now on: the health checks are its, and the last valid versions.
  /// Before the workers get the snapshot, and after everything else that can fail.
  void commit(Result& result);

 private:
  struct Candidate;
  bool load_waf(const config::GatewayConfig& gateway, Result& result);
  void choose(Candidate& candidate, const config::GatewayConfig& gateway, Result& result);
  void judge_as_read(const config::LoadedTenant& loaded, const config::GatewayConfig& gateway, Result& result);
  void fall_back(Candidate& candidate, const config::GatewayConfig& gateway, Result& result);
  void settle(std::vector<Candidate>& candidates, const config::GatewayConfig& gateway, Result& result);
  [[nodiscard]] static const proxy::HostEntry* only_address_of(const proxy::Snapshot& snapshot);
  void place(Candidate& candidate, const config::GatewayConfig& gateway, Result& result);
  void start_health_checks(proxy::Snapshot& snapshot);

  upstream::HealthChecker& health_;
  runtime::Loop& background_;
  TenantAssembler assembler_;
  TlsStore tls_;

  std::shared_ptr<waf::Engine> waf_;
  std::string waf_fingerprint_;
  bool tells_all_ = false;
  Versions last_valid_;
  std::shared_ptr<const net::ServerTls> default_tls_;
};

}  // namespace gatehouse::server
