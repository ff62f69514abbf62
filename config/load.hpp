// Reads gateway.yaml and the tenants' files into plain structs. Called at start, on reload and by `check`.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/gateway_config.hpp"
#include "config/problem.hpp"
#include "config/tenant_config.hpp"

namespace gatehouse::config {

struct LoadedGateway {
  std::optional<GatewayConfig> config;  // absent when a problem is an error
  GatewayConfig as_read;  // what could be read, defaults for the rest: for checking the tenants all the same
  Problems problems;
  std::vector<std::string> missing;  // files that it names and that cannot be read
};

struct LoadedTenant {
  std::string stem;  // file name without .yaml: the tenant's label when the name is unreadable
  std::string name;  // the tenant's name if it could be read, else the stem
  // What of it can be served: all of it; without the hosts that belong to others, which are then among the problems;
  // absent when there is another error, or no host left.
  std::shared_ptr<const TenantConfig> config;
  std::shared_ptr<const TenantConfig> as_written;  // with all of its hosts; set by settle_claims() where `config` was
  // Of a text with errors, the name and the hosts as far as they could be read: they are this tenant's all the same.
  std::shared_ptr<const TenantConfig> claims;
  std::shared_ptr<const TenantConfig> as_read;  // and what of it has no error, for finding what else is wrong
  Problems problems;
  std::vector<std::string> missing;  // files that it names and that cannot be read: it may be valid once they are there
};

/// Parses the text of a gateway.yaml; `path` names it in problems and is what relative paths refer to.
[[nodiscard]] LoadedGateway parse_gateway(std::string_view text, const std::string& path);
[[nodiscard]] LoadedGateway load_gateway(const std::string& path);

/// Parses one tenant's text. Checks everything that can be checked within the file and against the platform.
[[nodiscard]] LoadedTenant parse_tenant(std::string_view text, const std::string& path, const GatewayConfig& gateway);

/// Parses a text that has been valid before, under settings of the platform that may be others now. The files that it
/// names have been read then, and need not be there any more.
[[nodiscard]] LoadedTenant judge_again(std::string_view text, const std::string& path, const GatewayConfig& gateway);

/// Reads every *.yaml of the tenants' directory in order of file name (also through a ConfigMap's symlinks;
/// names that begin with "." are skipped), each for itself. Fails when the directory itself cannot be read: a reload that
/// took that for "no tenants" would take all of them away.
[[nodiscard]] std::expected<std::vector<LoadedTenant>, Problems> read_tenants(const GatewayConfig& gateway);
/// And then settles what concerns several: see settle_claims().
[[nodiscard]] std::expected<std::vector<LoadedTenant>, Problems> load_tenants(const GatewayConfig& gateway);

/// The checks across tenants alone. `tenants` must be in order of file name. A host that is claimed twice stays with the
/// first, and so does a wildcard with all names below it. The later tenant gets the error and loses that host alone; a later
/// wildcard around hosts of tenants before is an error as well, but loses those hosts alone. A tenant's name belongs to the file that is
/// called after it, else to the first; whoever gives another's loses its config and claims nothing.
/// To be called again when one of them has been given another `config` and no `as_written`, as a reload does with last
/// valid versions: what the others lost to it is theirs once more.
void settle_claims(std::vector<LoadedTenant>& tenants);

/// JSON Schema (2020-12) of gateway.yaml and of a tenant file, for editors.
[[nodiscard]] std::string gateway_schema();
[[nodiscard]] std::string tenant_schema();

}  // namespace gatehouse::config
