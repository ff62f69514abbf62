// What concerns several tenants: no host and no name belongs to two. See settle_claims() in load.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "config/files.hpp"
#include "config/hostname.hpp"
#include "config/load.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

/// What the tenants before have claimed. The views are into their configurations, which outlive this.
class Claims {
 public:
  /// Adds the tenant's claims if none conflicts; else the problems say which do.
  Problems add(const TenantConfig& tenant) {
    Problems problems;
    if (const auto other = names_.find(tenant.name); other != names_.end()) {
      problems.push_back(
          problem(tenant.place, fmt::format("the tenant {} is given in {} too, which comes first by file name",
                                            cite(tenant.name), cite(file_name(*other->second), 100))));
    }
    for (const Host& host : tenant.hosts) check(host, problems);
    if (!problems.empty()) return problems;
    names_.emplace(tenant.name, &tenant);
    for (const Host& host : tenant.hosts) {
      hosts_.emplace(host.name, &tenant);
      const std::string_view name = host.name;
      if (const auto dot = name.find('.'); !name.starts_with('*') && dot != std::string_view::npos)
        exact_below_.emplace(name.substr(dot), std::pair(&host, &tenant));
    }
    return problems;
  }

 private:
  static std::string file_name(const TenantConfig& tenant) { return stem_of(tenant.file) + ".yaml"; }
  static Problem problem(const Place& place, std::string message) {
    return {Severity::error, place, std::move(message), {}, 0};
  }
  static std::string owner(const TenantConfig& tenant) {
    return fmt::format("the tenant {} ({})", cite(tenant.name), printable(file_name(tenant), 100));
  }

  void check(const Host& host, Problems& problems) const {
    const std::string_view name = host.name;
    if (const auto other = hosts_.find(name); other != hosts_.end()) {
      problems.push_back(problem(host.place, fmt::format("the host {} belongs to {}, which comes first by file name",
                                                         cite(name), owner(*other->second))));
      return;
    }
    if (name.starts_with("*.")) {
      if (const auto other = exact_below_.find(name.substr(1)); other != exact_below_.end()) {
        problems.push_back(
            problem(host.place, fmt::format("the wildcard {} would cover the host {}, which belongs to {}", cite(name),
                                            cite(other->second.first->name), owner(*other->second.second))));
      }
      return;
    }
    const auto dot = name.find('.');
    if (name.starts_with('*') || dot == std::string_view::npos) return;
    const std::string wildcard = "*" + std::string(name.substr(dot));
    if (const auto other = hosts_.find(wildcard); other != hosts_.end()) {
      problems.push_back(problem(host.place, fmt::format("the host {} cuts into the wildcard {}, which belongs to {}",
                                                         cite(name), cite(other->first), owner(*other->second))));
    }
  }

  std::unordered_map<std::string_view, const TenantConfig*> names_;
  std::unordered_map<std::string_view, const TenantConfig*> hosts_;
  std::unordered_map<std::string_view, std::pair<const Host*, const TenantConfig*>>
      exact_below_;  // by what follows the first label
};

}  // namespace

void settle_claims(std::vector<LoadedTenant>& tenants) {
  Claims claims;
  for (LoadedTenant& tenant : tenants) {
    if (!tenant.config) continue;
    Problems problems = claims.add(*tenant.config);
    if (problems.empty()) continue;
    for (Problem& problem : problems) {
      if (tenant.config->text) problem.show_source(*tenant.config->text);
      tenant.problems.push_back(std::move(problem));
    }
    sort_by_place(tenant.problems);
    tenant.config.reset();
  }
}

}  // namespace gatehouse::config
