// Snapshots from files; see snapshot_builder.hpp.
//
// First a version is chosen of each file, for itself: the present one, else the last valid one, else none. Then it is
// settled whose each host is. So what a file may claim depends neither on the order in which versions were tried nor on
// whether its tenant can be served at the moment: nobody gets another's requests because of a mistake in the other's
// file.
#include "gateway/server/snapshot_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "config/hostname.hpp"
#include "gateway/server/watched_files.hpp"

namespace gatehouse::server {

using config::Problem;
using config::Problems;
using config::Severity;

/// One tenant's file, and what is to be made of it.
struct SnapshotBuilder::Candidate {
  config::LoadedTenant loaded;  // `config` is what it claims
  std::shared_ptr<const TenantVersion> version;  // null: it cannot be served
  bool valid = true;  // the file as it is now
  bool fell_back = false;  // what is above is of the last valid version
  std::shared_ptr<const config::TenantConfig> present;  // then: what the file as it is now claims
};

SnapshotBuilder::SnapshotBuilder(runtime::Metrics& metrics, upstream::HealthChecker& health, runtime::Loop& background,
                                 std::size_t workers, TlsStore::SlotOf slot_of)
    : health_(health), background_(background), assembler_(metrics, workers), tls_(std::move(slot_of)) {}

bool SnapshotBuilder::load_waf(const config::GatewayConfig& gateway, Result& result) {
  std::vector<std::string> rule_files;
  for (const std::string& pattern : gateway.waf.rules)
    for (std::string& file : expand_glob(pattern)) rule_files.push_back(std::move(file));
  // Data files beside the rules (@pmFromFile) are rules too.
  std::set<std::string> folders;
  for (const std::string& file : rule_files) folders.insert(file.substr(0, file.rfind('/') + 1));
  std::vector<std::string> watched = rule_files;
  for (const std::string& folder : folders)
    for (std::string& file : expand_glob(folder + "*.data")) watched.push_back(std::move(file));
  result.files.insert(result.files.end(), watched.begin(), watched.end());

  std::string wanted = fmt::format("{} {}\n{}\n", static_cast<int>(gateway.waf.on_error),
                                   gateway.waf.time_budget.count(), fmt::join(gateway.waf.rules, "\n"));
  wanted += fmt::format("{}\n", fmt::join(gateway.audit_log.mask, "\n"));
  wanted += fingerprint(watched);
  if (waf_ && wanted == waf_fingerprint_) return true;
  auto engine = waf::Engine::create(gateway.waf, gateway.audit_log.mask);
  if (!engine) {
    const auto& places = gateway.waf.rules_places;
    for (Problem& problem : engine.error()) {
      if (!places.empty() && problem.place.file == places.front().file && gateway.text)
        problem.show_source(*gateway.text);
      result.problems.push_back(std::move(problem));
    }
    return false;
  }
  waf_ = std::move(*engine);
  waf_fingerprint_ = std::move(wanted);
  return true;
}

void SnapshotBuilder::start_health_checks(proxy::Snapshot& snapshot) {
  std::vector<upstream::HealthChecker::Wanted> wanted;
  std::vector<upstream::Endpoint*> endpoints;
  for (const auto& routes : snapshot.tenants) {
    const filter::Tenant& tenant = routes->tenant;
    for (const auto& service : tenant.services) {
      if (!service->config.health) continue;
      const config::HealthCheck& check = *service->config.health;
      for (upstream::ServiceSite& site : service->sites) {
        for (upstream::Endpoint& endpoint : site.endpoints) {
          upstream::HealthKey key;
          key.tenant = tenant.config->name;
          key.service = service->config.name;
          key.endpoint = endpoint.address;
          key.tls = service->tls != nullptr;
          if (key.tls) key.tls_name = service->tls_name(endpoint, {});
          // The service is asked as a client of the tenant's first host would ask it.
          key.host = !service->config.tls.server_name.empty() ? service->config.tls.server_name
                     : !service->usual_host.empty()           ? service->usual_host
                                                              : endpoint.name;
          key.path = check.path;
          key.interval = check.interval;
          key.timeout = check.timeout;
          key.unhealthy_after = check.unhealthy_after;
          key.healthy_after = check.healthy_after;
          wanted.push_back({std::move(key), service->tls});
          endpoints.push_back(&endpoint);
        }
      }
    }
  }
  const auto healths = health_.assign(wanted);
  for (std::size_t i = 0; i < endpoints.size(); ++i) endpoints[i]->health = healths[i];
}

// Problems of the file as it is now go to `result`.
void SnapshotBuilder::choose(Candidate& candidate, const config::GatewayConfig& gateway, Result& result) {
  config::LoadedTenant& loaded = candidate.loaded;
  candidate.valid = !config::has_errors(loaded.problems);
  result.problems.insert(result.problems.end(), loaded.problems.begin(), loaded.problems.end());
  result.files.insert(result.files.end(), loaded.missing.begin(), loaded.missing.end());
  if (loaded.config)
    candidate.version = make_version(loaded.config, gateway, *waf_, tls_, nullptr, result.problems, result.files);
  else if (tells_all_ && loaded.as_read)
    judge_as_read(loaded, gateway, result);
  if (candidate.version) return;
  candidate.valid = false;
  if (!loaded.config) loaded.config = loaded.claims;
  fall_back(candidate, gateway, result);
}

// What else is wrong with a text that has errors: its rules, and certificates of hosts that have none.
void SnapshotBuilder::judge_as_read(const config::LoadedTenant& loaded, const config::GatewayConfig& gateway,
                                    Result& result) {
  Problems found;
  (void)make_version(loaded.as_read, gateway, *waf_, tls_, nullptr, found, result.files);
  for (Problem& problem : found) {
    const bool is_told = std::ranges::any_of(loaded.problems, [&](const Problem& told) {
      return told.place.line == problem.place.line && told.place.column == problem.place.column;
    });
    if (!is_told) result.problems.push_back(std::move(problem));
  }
}

// Takes the last valid version, if there is one and gateway.yaml still permits it.
void SnapshotBuilder::fall_back(Candidate& candidate, const config::GatewayConfig& gateway, Result& result) {
  config::LoadedTenant& loaded = candidate.loaded;
  candidate.fell_back = true;
  candidate.valid = false;
  candidate.version = nullptr;
  const auto known = last_valid_.find(loaded.stem);
  if (known == last_valid_.end()) return;
  const TenantVersion& last = *known->second;
  candidate.present = loaded.as_written ? loaded.as_written : loaded.config;
  loaded.config = last.written;
  loaded.as_written = nullptr;
  Problems problems;
  bool permitted = true;
  if (*last.platform != *gateway.text) {
    config::LoadedTenant again =
        config::judge_again(*last.written->text, gateway.tenants_directory + loaded.stem + ".yaml", gateway);
    permitted = again.config != nullptr;
    if (permitted) loaded.config = again.config;
    problems = std::move(again.problems);
  }
  loaded.name = loaded.config->name;
  if (permitted) candidate.version = make_version(loaded.config, gateway, *waf_, tls_, &last, problems, result.files);
  if (candidate.version) return;
  for (Problem& problem : problems) {
    if (problem.severity != Severity::error) continue;
    problem.message = "the last valid version cannot be served either: " + problem.message;
    result.problems.push_back(std::move(problem));
  }
}

// Whose each host and each name is, among all that was chosen.
void SnapshotBuilder::settle(std::vector<Candidate>& candidates, const config::GatewayConfig& gateway, Result& result) {
  std::vector<config::LoadedTenant> tenants(candidates.size());
  for (bool again = true; std::exchange(again, false);) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      candidates[i].loaded.problems.clear();
      tenants[i] = std::move(candidates[i].loaded);
    }
    config::settle_claims(tenants);
    for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].loaded = std::move(tenants[i]);
    for (Candidate& candidate : candidates) {
      if (candidate.loaded.config) continue;
      // Nothing of it is left. What it was before may have something; else what it is now, which cannot be served, still
      // has its hosts.
      const auto known = last_valid_.find(candidate.loaded.stem);
      if (!candidate.fell_back && candidate.version && known != last_valid_.end() &&
          *known->second->written->text != *candidate.version->written->text) {
        result.problems.insert(result.problems.end(), candidate.loaded.problems.begin(),
                               candidate.loaded.problems.end());
        fall_back(candidate, gateway, result);
        again = true;
      } else if (auto present = std::exchange(candidate.present, nullptr)) {
        candidate.version = nullptr;
        candidate.loaded.name = present->name;
        candidate.loaded.as_written = nullptr;
        candidate.loaded.config = std::move(present);
        again = true;
      }
    }
  }
  for (Candidate& candidate : candidates) {
    candidate.valid = candidate.valid && !config::has_errors(candidate.loaded.problems);
    for (Problem& problem : candidate.loaded.problems) {
      if (candidate.fell_back && candidate.version)
        problem.message = "of the last valid version, which is served: " + problem.message;
      result.problems.push_back(std::move(problem));
    }
  }
}

// Puts what is settled into the snapshot.
void SnapshotBuilder::place(Candidate& candidate, const config::GatewayConfig& gateway, Result& result) {
  const auto& settled = candidate.loaded.config;
  proxy::Snapshot& snapshot = *result.snapshot;
  result.tenants.push_back(
      {candidate.loaded.name, candidate.valid, settled != nullptr && candidate.version != nullptr});
  const bool serving = result.tenants.back().serving;
  if (serving)
    result.versions[candidate.loaded.stem] = candidate.version;
  else if (const auto known = last_valid_.find(candidate.loaded.stem); known != last_valid_.end())
    result.versions.insert(*known);  // it may be good again under another gateway.yaml
  if (!settled) return;
  auto built = serving ? assembler_.assemble(*candidate.version, settled, gateway) : assembler_.unavailable(settled);
  for (const config::Host& host : settled->hosts) {
    proxy::HostEntry entry{built.get(), nullptr, nullptr, &host};
    if (serving && host.tls == config::HostTls::acme)
      entry.slot = candidate.version->host_slots.at(host.name);
    else if (serving && host.tls != config::HostTls::off)
      entry.tls = candidate.version->host_tls.at(host.name);
    snapshot.hosts.emplace(host.name, std::move(entry));
  }
  (serving ? snapshot.tenants : snapshot.unavailable).push_back(std::move(built));
}

SnapshotBuilder::Result SnapshotBuilder::build(std::shared_ptr<const config::GatewayConfig> gateway) {
  Result result;
  result.files.push_back(gateway->file);
  if (!load_waf(*gateway, result)) return result;

  auto loaded = config::read_tenants(*gateway);
  if (!loaded) {  // the folder itself cannot be read
    result.problems.insert(result.problems.end(), loaded.error().begin(), loaded.error().end());
    return result;
  }
  if (!default_tls_) {
    auto made = net::ServerTls::create(net::make_self_signed({"gatehouse.invalid"}));
    if (!made) {
      Problem problem;
      problem.message = "cannot make the default certificate: " + made.error();
      result.problems.push_back(std::move(problem));
      return result;
    }
    default_tls_ = std::move(*made);
  }
  std::vector<Candidate> candidates;
  candidates.reserve(loaded->size());
  for (config::LoadedTenant& tenant : *loaded) {
    candidates.push_back({.loaded = std::move(tenant)});
    choose(candidates.back(), *gateway, result);
  }
  settle(candidates, *gateway, result);

  auto* const snapshot = new proxy::Snapshot;
  // A snapshot's end frees rule sets and metrics: not a worker's business while the gateway runs.
  result.snapshot = std::shared_ptr<proxy::Snapshot>(snapshot, [this](proxy::Snapshot* last) {
    if (background_.is_running())
      background_.post([last] { delete last; });
    else
      delete last;
  });
  snapshot->config = gateway;
  snapshot->waf = waf_;
  snapshot->default_tls = default_tls_;
  for (Candidate& candidate : candidates) place(candidate, *gateway, result);
  snapshot->only_address = only_address_of(*snapshot);

  // A file that has not its name must not be seen under that of a tenant that has it.
  std::set<std::string> named;
  for (const Candidate& candidate : candidates)
    if (candidate.loaded.config) named.insert(candidate.loaded.config->name);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    TenantState& state = result.tenants[i];
    if (candidates[i].loaded.config || !named.contains(state.name)) continue;
    state.name = candidates[i].loaded.stem;
    if (named.contains(state.name)) state.name += ".yaml";  // no tenant's name has a dot
  }
  return result;
}

const proxy::HostEntry* SnapshotBuilder::only_address_of(const proxy::Snapshot& snapshot) {
  const proxy::HostEntry* only = nullptr;
  for (const auto& [name, entry] : snapshot.hosts) {
    if (!config::is_address(name)) continue;
    if (only != nullptr) return nullptr;
    only = &entry;
  }
  return only;
}

void SnapshotBuilder::commit(Result& result) {
  start_health_checks(*result.snapshot);
  last_valid_ = std::move(result.versions);
  assembler_.forget_unused();
  tls_.forget_unused([&](const std::string& host) { return result.snapshot->hosts.contains(host); });
}

}  // namespace gatehouse::server
