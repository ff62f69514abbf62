// Snapshots from files; see snapshot_builder.hpp.
#include "gateway/server/snapshot_builder.hpp"

#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <span>

#include "config/files.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "ratelimit/headers.hpp"
#include "ratelimit/limit_key.hpp"

namespace gatehouse::server {

namespace families = runtime::families;
using config::Problem;
using config::Problems;
using config::Severity;

std::string fingerprint(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) {
      text += file + ":absent\n";
      continue;
    }
    text += fmt::format("{}:{}:{}:{}.{}\n", file, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
  }
  return text;
}

std::vector<std::string> expand_glob(const std::string& pattern) {
  std::vector<std::string> files;
  glob_t found{};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  return files;
}

namespace {

/// A tenant's file was a regular and small one when its YAML was read; it may be another by now.
std::optional<std::string> read_file(const std::string& path) {
  if (!config::FileRules::why_unreadable(path).empty()) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(config::FileRules::most_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return std::nullopt;
  text.resize(static_cast<std::size_t>(file.gcount()));
  text.shrink_to_fit();
  return text;
}

void add_error(Problems& problems, const config::Place& place, std::string message) {
  Problem problem;
  problem.place = place;
  problem.message = std::move(message);
  problems.push_back(std::move(problem));
}

}  // namespace

SnapshotBuilder::SnapshotBuilder(runtime::Metrics& metrics, upstream::HealthChecker& health, runtime::Loop& background,
                                 std::size_t workers)
    : metrics_(metrics), health_(health), background_(background), workers_(workers) {}

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

std::shared_ptr<const net::ServerTls> SnapshotBuilder::cached_tls(const net::ServerTlsSettings& settings,
                                                                  const config::Place& place, Problems& problems) {
  std::string key;  // a digest: no second copy of a private key in memory
  ratelimit::append_sha256(key, fmt::format("{}\n{}\n{}\n{}\n{}", static_cast<int>(settings.min_version),
                                            static_cast<int>(settings.client_auth), settings.certificate_pem,
                                            settings.key_pem, settings.client_ca_pem));
  std::weak_ptr<const net::ServerTls>& known = tls_cache_[key];
  if (auto tls = known.lock()) return tls;
  auto made = net::ServerTls::create(settings);
  if (!made) {
    tls_cache_.erase(key);
    add_error(problems, place, "the host's TLS cannot be set up: " + made.error());
    return nullptr;
  }
  known = *made;
  return *made;
}

std::shared_ptr<const net::ServerTls> SnapshotBuilder::host_tls(const config::Host& host, Problems& problems,
                                                                std::vector<std::string>& files) {
  net::ServerTlsSettings settings;
  if (host.tls == config::HostTls::files) {
    files.push_back(host.certificate_file);
    files.push_back(host.key_file);
    const auto certificate = read_file(host.certificate_file);
    const auto key = read_file(host.key_file);
    if (!certificate || !key) {
      add_error(problems, host.place,
                "cannot read " + (certificate ? host.key_file : host.certificate_file) +
                    "; the gateway's user must be able to");
      return nullptr;
    }
    settings.certificate_pem = *certificate;
    settings.key_pem = *key;
  } else {
    auto known = self_signed_.find(host.name);
    if (known == self_signed_.end()) known = self_signed_.emplace(host.name, net::make_self_signed({host.name})).first;
    settings = known->second;
  }
  settings.min_version = host.min_version;
  settings.client_auth = host.client_auth;
  if (host.client_auth != config::ClientAuth::off) {
    files.push_back(host.client_ca_file);
    const auto cas = read_file(host.client_ca_file);
    if (!cas) {
      add_error(problems, host.place, "cannot read " + host.client_ca_file + "; the gateway's user must be able to");
      return nullptr;
    }
    settings.client_ca_pem = *cas;
  }
  return cached_tls(settings, host.place, problems);
}

std::shared_ptr<const net::ClientTls> SnapshotBuilder::client_tls(const config::UpstreamTls& tls, Problems& problems,
                                                                  std::vector<std::string>& watched) {
  const std::vector<std::string> files{tls.ca_file, tls.certificate_file, tls.key_file};
  std::ranges::copy_if(files, std::back_inserter(watched), [](const std::string& file) { return !file.empty(); });
  const std::string key = fmt::format("{}\n", fmt::join(files, "\n")) + fingerprint(files);
  std::weak_ptr<const net::ClientTls>& known = client_tls_cache_[key];
  if (auto made = known.lock()) return made;
  auto made = net::ClientTls::create({tls.ca_file, tls.certificate_file, tls.key_file});
  if (!made) {
    client_tls_cache_.erase(key);
    add_error(problems, {}, "TLS to the service cannot be set up: " + made.error());
    return nullptr;
  }
  known = *made;
  return *made;
}

std::unique_ptr<proxy::TenantRoutes> SnapshotBuilder::build_tenant(
    const std::shared_ptr<const config::TenantConfig>& config, const config::GatewayConfig& gateway, Problems& problems,
    std::vector<std::string>& files, std::vector<std::shared_ptr<const net::ServerTls>>& host_settings) {
  const std::size_t problems_before = problems.size();
  auto built = std::make_unique<proxy::TenantRoutes>();
  filter::Tenant& tenant = built->tenant;
  tenant.config = config;
  const std::string& name = config->name;

  for (const config::Host& host : config->hosts)
    host_settings.push_back(host.tls == config::HostTls::off ? nullptr : host_tls(host, problems, files));

  Problems warnings;
  auto policy = waf_->policy(*config, gateway.policy.tenant_rules, warnings);
  problems.insert(problems.end(), warnings.begin(), warnings.end());
  if (policy)
    tenant.waf_policy = std::move(*policy);
  else
    problems.insert(problems.end(), policy.error().begin(), policy.error().end());

  for (const config::Service& service : config->services) {
    auto made = std::make_unique<upstream::Service>(service, gateway.site, workers_);
    if (service.protocol == config::UpstreamProtocol::https) {
      Problems tls_problems;
      made->tls = client_tls(service.tls, tls_problems, files);
      for (Problem& problem : tls_problems) {
        problem.place = service.place;
        problem.message = "service '" + service.name + "': " + problem.message;
        problems.push_back(std::move(problem));
      }
    }
    for (upstream::ServiceSite& site : made->sites)
      site.duration = metrics_.histogram(families::upstream_duration, {name, service.name, site.name});
    tenant.services.push_back(std::move(made));
  }
  for (const config::RateLimit& limit : config->rate_limits) {
    auto rule = std::make_unique<filter::RateLimitRule>();
    rule->config = &limit;
    rule->parameters = {limit.burst, limit.rate_count,
                        std::chrono::duration_cast<ratelimit::Microseconds>(limit.rate_period)};
    ratelimit::append_policy(rule->policy_field, limit.name, rule->parameters);
    rule->allowed = metrics_.counter(families::ratelimit_decisions_total, {name, limit.name, "allowed"});
    rule->limited = metrics_.counter(families::ratelimit_decisions_total, {name, limit.name, "limited"});
    rule->shadow_limited = metrics_.counter(families::ratelimit_decisions_total, {name, limit.name, "shadow_limited"});
    tenant.rate_limits.push_back(std::move(rule));
  }
  for (const config::Route& route : config->routes) {
    auto made = std::make_unique<filter::Route>();
    made->config = &route;
    made->service = tenant.services[route.service].get();
    for (const std::size_t limit : route.rate_limits) {
      made->rate_limits.push_back(tenant.rate_limits[limit].get());
      made->limits_always_in_headers = made->limits_always_in_headers || config->rate_limits[limit].headers_always;
    }
    made->duration = metrics_.histogram(families::request_duration, {name, route.name});
    made->requests =
        std::vector<std::array<runtime::LazyCounter, static_cast<std::size_t>(upstream::CodeClass::count_)>>(
            made->service->sites.size() + 1);
    tenant.routes.push_back(std::move(made));
    std::unique_ptr<re2::RE2> expression;
    if (route.match.kind == config::PathMatch::regex) {
      re2::RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(config::kRegexMemoryBytes);
      expression = std::make_unique<re2::RE2>(route.match.path, options);
      if (!expression->ok())
        add_error(problems, {config->file, 0, 0}, "route '" + route.name + "': path_regex does not compile");
    }
    built->expressions.push_back(std::move(expression));
  }
  tenant.requests_in_flight = metrics_.gauge(families::requests_in_flight, {name});
  tenant.unrouted_duration = metrics_.histogram(families::request_duration, {name, "-"});
  tenant.waf_duration = metrics_.histogram(families::waf_duration, {name});
  auto& load = loads_[name];
  if (!load) load = std::make_shared<filter::TenantLoad>();
  tenant.load = load;

  const std::span found = std::span(problems).subspan(problems_before);
  for (Problem& problem : found)
    if (problem.place.file == config->file && problem.source_line.empty() && config->text)
      problem.show_source(*config->text);
  const bool failed =
      std::ranges::any_of(found, [](const Problem& problem) { return problem.severity == Severity::error; });
  return failed ? nullptr : std::move(built);
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
          // The service is asked as a client of the tenant's first host would ask it.
          key.host = !service->config.tls.server_name.empty() ? service->config.tls.server_name
                     : tenant.config->hosts.empty() || tenant.config->hosts.front().name.starts_with('*')
                         ? endpoint.name
                         : tenant.config->hosts.front().name;
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

SnapshotBuilder::Result SnapshotBuilder::build(std::shared_ptr<const config::GatewayConfig> gateway) {
  Result result;
  result.files.push_back(gateway->file);
  if (!load_waf(*gateway, result)) return result;

  auto loaded = config::load_tenants(*gateway);
  if (!loaded) {  // the folder itself cannot be read
    result.problems.insert(result.problems.end(), loaded.error().begin(), loaded.error().end());
    return result;
  }
  std::vector<config::LoadedTenant> tenants = std::move(*loaded);
  std::vector<bool> file_valid;
  bool substituted = false;
  for (config::LoadedTenant& tenant : tenants) {
    result.problems.insert(result.problems.end(), tenant.problems.begin(), tenant.problems.end());
    result.files.insert(result.files.end(), tenant.missing.begin(), tenant.missing.end());
    file_valid.push_back(!config::has_errors(tenant.problems));
    tenant.problems.clear();
    if (file_valid.back()) continue;
    if (const auto known = last_valid_.find(tenant.stem); known != last_valid_.end()) {
      tenant.config = tenant.as_written = known->second;
      tenant.name = known->second->name;
      substituted = true;
    }
  }
  if (substituted) config::settle_claims(tenants);  // an old version may claim what another now has

  if (!default_tls_) {
    auto made = net::ServerTls::create(net::make_self_signed({"gatehouse.invalid"}));
    if (!made) {
      add_error(result.problems, {}, "cannot make the default certificate: " + made.error());
      return result;
    }
    default_tls_ = std::move(*made);
  }
  auto* const snapshot = new proxy::Snapshot;
  // A snapshot's end frees rule sets and metrics: not a worker's business while the gateway runs.
  std::shared_ptr<proxy::Snapshot> shared(snapshot, [this](proxy::Snapshot* last) {
    if (background_.is_running())
      background_.post([last] { delete last; });
    else
      delete last;
  });
  shared->config = gateway;
  shared->waf = waf_;
  shared->default_tls = default_tls_;

  std::map<std::string, std::shared_ptr<const config::TenantConfig>> valid;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    config::LoadedTenant& tenant = tenants[i];
    TenantState state{tenant.name, file_valid[i], false};
    std::vector<std::shared_ptr<const net::ServerTls>> host_settings;
    std::unique_ptr<proxy::TenantRoutes> built;
    if (tenant.config) built = build_tenant(tenant.config, *gateway, result.problems, result.files, host_settings);
    if (!built && tenant.config) {
      state.valid = false;
      // The file reads well but cannot be served (a certificate, SecLang): the version before it may.
      if (const auto known = last_valid_.find(tenant.stem);
          known != last_valid_.end() && known->second != tenant.as_written) {
        Problems old_problems;
        host_settings.clear();
        tenant.config = tenant.as_written = known->second;
        state.name = tenant.config->name;
        built = build_tenant(tenant.config, *gateway, old_problems, result.files, host_settings);
      }
    }
    if (built) {
      for (std::size_t h = 0; h < tenant.config->hosts.size(); ++h) {
        const proxy::HostEntry entry{built.get(), host_settings[h], &tenant.config->hosts[h]};
        if (shared->hosts.emplace(tenant.config->hosts[h].name, entry).second) state.serving = true;
      }
      if (state.serving) {
        shared->tenants.push_back(std::move(built));
        valid[tenant.stem] = tenant.as_written;
      }
    }
    result.tenants.push_back(std::move(state));
  }
  // A file that is not served must not be seen under the name of a tenant that is.
  std::set<std::string> served;
  for (const TenantState& state : result.tenants)
    if (state.serving) served.insert(state.name);
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    TenantState& state = result.tenants[i];
    if (state.serving || !served.contains(state.name)) continue;
    state.name = tenants[i].stem;
    if (served.contains(state.name)) state.name += ".yaml";  // no tenant's name has a dot
  }
  last_valid_ = std::move(valid);
  std::erase_if(tls_cache_, [](const auto& item) { return item.second.expired(); });
  std::erase_if(client_tls_cache_, [](const auto& item) { return item.second.expired(); });
  std::erase_if(self_signed_, [&](const auto& item) { return !shared->hosts.contains(item.first); });
  start_health_checks(*shared);
  result.snapshot = std::move(shared);
  return result;
}

}  // namespace gatehouse::server
