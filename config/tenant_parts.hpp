// The parts of a tenant's file, each read by a file of its own: tenant_hosts.cpp, tenant_services.cpp,
// tenant_limits.cpp, tenant_routes.cpp, tenant_waf.cpp. Called by tenant_reader.cpp in this order, since routes refer
// to services and limits. Each takes the mapping of the whole file and reads its own keys of it.
#pragma once

#include "config/files.hpp"
#include "config/gateway_config.hpp"
#include "config/reader.hpp"
#include "config/tenant_config.hpp"

namespace gatehouse::config {

/// What a tenant is judged against.
struct Platform {
  const GatewayConfig& gateway;
  const FileRules& files;
};

void read_hosts(Mapping& m, TenantConfig& tenant, const Platform& platform);
void read_services(Mapping& m, TenantConfig& tenant, const Platform& platform);
void read_rate_limits(Mapping& m, TenantConfig& tenant, const Platform& platform);
void read_routes(Mapping& m, TenantConfig& tenant, const Platform& platform);
void read_tenant_waf(Mapping& m, TenantConfig& tenant, const Platform& platform);

/// True if a request whose path the prefix `wide` matches includes every one that `narrow` matches; both as in
/// RouteMatch or Exclusion, whole segments.
[[nodiscard]] bool prefix_covers(std::string_view wide, std::string_view narrow) noexcept;

}  // namespace gatehouse::config
