// What concerns several tenants: no host and no name belongs to two. See settle_claims() in load.hpp.
//
// What a tenant loses is what belongs to another and nothing more: a file that claims the hosts of others takes no tenant
// off the network.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "config/files.hpp"
#include "config/hostname.hpp"
#include "config/load.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

std::string file_name(const TenantConfig& tenant) { return stem_of(tenant.file) + ".yaml"; }

Problem problem(const Place& place, std::string message) { return {Severity::error, place, std::move(message), {}, 0}; }

/// Who has each tenant's name: the file that is called after it, else the first by file name. So nobody takes a
/// tenant's name, by which metrics, limits and logs tell it apart, from its own file.
class Names {
 public:
  explicit Names(const std::vector<LoadedTenant>& tenants) {
    for (const LoadedTenant& tenant : tenants) {
      if (!tenant.config) continue;
      const auto [owner, is_first] = owners_.emplace(tenant.config->name, tenant.config.get());
      if (!is_first && is_called_after_it(*tenant.config)) owner->second = tenant.config.get();
    }
  }

  /// The problem of a tenant whose name belongs to another.
  [[nodiscard]] std::optional<Problem> problem_of(const TenantConfig& tenant) const {
    const TenantConfig& owner = *owners_.at(tenant.name);
    if (&owner == &tenant) return std::nullopt;
    const std::string_view reason = is_called_after_it(owner) ? "is named like it" : "comes first by file name";
    return problem(tenant.place, fmt::format("the tenant {} is given in {} too, which {}", cite(tenant.name),
                                             cite(file_name(owner), 100), reason));
  }

 private:
  static bool is_called_after_it(const TenantConfig& tenant) { return stem_of(tenant.file) == tenant.name; }

  std::unordered_map<std::string_view, const TenantConfig*> owners_;
};

/// What a host has against it. A wildcard around hosts of tenants before is kept: exact names win, so that it loses those
/// alone.
struct Objection {
  Problem problem;
  bool keeps_host = false;
};

/// The hosts that the tenants before have claimed. The views are into their configurations, which outlive this.
class Hosts {
 public:
  void add(const TenantConfig& tenant) {
    for (const Host& host : tenant.hosts) {
      hosts_.emplace(host.name, &tenant);
      const std::string_view name = host.name;
      if (const auto dot = name.find('.'); !name.starts_with('*') && dot != std::string_view::npos)
        exact_below_.emplace(name.substr(dot), std::pair(&host, &tenant));
    }
  }

  /// What a tenant before has against a host.
  [[nodiscard]] std::optional<Objection> objection_to(const Host& host) const {
    const std::string_view name = host.name;
    if (const auto other = hosts_.find(name); other != hosts_.end()) {
      return Objection{problem(host.place, fmt::format("the host {} belongs to {}, which comes first by file name",
                                                       cite(name), owner(*other->second)))};
    }
    if (name.starts_with("*.")) {
      if (const auto other = exact_below_.find(name.substr(1)); other != exact_below_.end()) {
        return Objection{
            problem(host.place,
                    fmt::format("the wildcard {} does not get the host {}, which belongs to {}, which comes "
                                "first by file name",
                                cite(name), cite(other->second.first->name), owner(*other->second.second))),
            true};
      }
      return std::nullopt;
    }
    const auto dot = name.find('.');
    if (name.starts_with('*') || dot == std::string_view::npos) return std::nullopt;
    const std::string wildcard = "*" + std::string(name.substr(dot));
    if (const auto other = hosts_.find(wildcard); other != hosts_.end()) {
      return Objection{problem(host.place, fmt::format("the host {} cuts into the wildcard {}, which belongs to {}",
                                                       cite(name), cite(other->first), owner(*other->second)))};
    }
    return std::nullopt;
  }

 private:
  static std::string owner(const TenantConfig& tenant) {
    return fmt::format("the tenant {} ({})", cite(tenant.name), printable(file_name(tenant), 100));
  }

  std::unordered_map<std::string_view, const TenantConfig*> hosts_;
  std::unordered_map<std::string_view, std::pair<const Host*, const TenantConfig*>>
      exact_below_;  // by what follows the first label
};

}  // namespace

void settle_claims(std::vector<LoadedTenant>& tenants) {
  for (LoadedTenant& tenant : tenants) {
    if (tenant.as_written) tenant.config = tenant.as_written;  // settled before, beside other tenants
    tenant.as_written = tenant.config;
  }
  const Names names(tenants);
  Hosts hosts;
  for (LoadedTenant& tenant : tenants) {
    if (!tenant.config) continue;
    const TenantConfig& written = *tenant.as_written;
    Problems problems;
    if (auto lost = names.problem_of(written)) {
      problems.push_back(std::move(*lost));
      tenant.config.reset();
    }
    std::vector<Host> kept;
    for (const Host& host : written.hosts) {
      auto objection = hosts.objection_to(host);
      if (!objection || objection->keeps_host) kept.push_back(host);
      if (objection) problems.push_back(std::move(objection->problem));
    }
    if (tenant.config && kept.size() < written.hosts.size()) {
      auto reduced = kept.empty() ? nullptr : std::make_shared<TenantConfig>(written);
      if (reduced) reduced->hosts = std::move(kept);
      tenant.config = std::move(reduced);
    }
    if (tenant.config) hosts.add(*tenant.config);
    for (Problem& problem : problems) {
      if (written.text) problem.show_source(*written.text);
      tenant.problems.push_back(std::move(problem));
    }
    if (!problems.empty()) sort_by_place(tenant.problems);
  }
}

}  // namespace gatehouse::config
