// A version of a tenant's file on its way into a snapshot. First everything that can fail (certificates, SecLang), then
// what cannot. Called by snapshot_builder.cpp.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/gateway_config.hpp"
#include "gateway/proxy/snapshot.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/server/tls_store.hpp"
#include "waf/waf.hpp"

namespace gatehouse::server {

/// A version that can be served, whatever becomes of the files that it names. Immutable.
struct TenantVersion {
  std::shared_ptr<const config::TenantConfig> written;  // with all of its hosts, also those that belong to others
  std::shared_ptr<const std::string> platform;  // the text of the gateway.yaml that it is valid under
  std::map<std::string, std::shared_ptr<const net::ServerTls>, std::less<>> host_tls;  // without those with tls: off
  std::map<std::string, std::shared_ptr<net::CertificateSlot>, std::less<>> host_slots;  // with certificates from a CA
  std::vector<std::shared_ptr<const net::ClientTls>> service_tls;  // null: in the clear
  std::shared_ptr<const waf::Policy> waf_policy;
};

/// Makes what can fail of `written`. Certificates and authorities that cannot be read or used now are those of
/// `before`, a version of the same text or null. Null with problems when it cannot be served.
[[nodiscard]] std::shared_ptr<const TenantVersion> make_version(std::shared_ptr<const config::TenantConfig> written,
                                                                const config::GatewayConfig& gateway, waf::Engine& waf,
                                                                TlsStore& tls, const TenantVersion* before,
                                                                config::Problems& problems,
                                                                std::vector<std::string>& files);

/// Makes tenants as the workers use them.
class TenantAssembler {
 public:
  TenantAssembler(runtime::Metrics& metrics, std::size_t workers) : metrics_(metrics), workers_(workers) {}

  /// `settled` is what `version` may serve: the same but for hosts.
  [[nodiscard]] std::unique_ptr<proxy::TenantRoutes> assemble(const TenantVersion& version,
                                                              std::shared_ptr<const config::TenantConfig> settled,
                                                              const config::GatewayConfig& gateway);
  /// One of which nothing can be served; its hosts are those of `settled`.
  [[nodiscard]] std::unique_ptr<proxy::TenantRoutes> unavailable(std::shared_ptr<const config::TenantConfig> settled);
  /// Forgets the figures of tenants that are in no snapshot and have no connection any more.
  void forget_unused();

 private:
  runtime::Metrics& metrics_;
  std::size_t workers_;
  std::map<std::string, std::shared_ptr<filter::TenantLoad>> loads_;  // by tenant
};

}  // namespace gatehouse::server
