// Status and gauges; see status.hpp.
#include "gateway/server/status.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "gateway/runtime/json.hpp"
#include "gateway/runtime/metric_families.hpp"

namespace gatehouse::server {

namespace {

using runtime::JsonObject;

std::string rfc3339(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

// Writes a JSON array whose items `write` appends one by one.
template <class Range, class Write>
void array(std::string& out, const Range& range, Write write) {
  out += '[';
  bool first = true;
  for (const auto& item : range) {
    if (!first) out += ',';
    first = false;
    write(item);
  }
  out += ']';
}

const char* mode_name(config::WafMode mode) {
  switch (mode) {
    case config::WafMode::off: return "off";
    case config::WafMode::detect: return "detect";
    case config::WafMode::block: return "block";
  }
  return "";
}

void append_service(std::string& out, const upstream::Service& service) {
  JsonObject object(out);
  object.text("name", service.config.name);
  object.name("sites");
  const std::size_t active = service.active_site();
  std::size_t index = 0;
  array(out, service.sites, [&](const upstream::ServiceSite& site) {
    JsonObject entry(out);
    entry.text("name", site.name);
    entry.boolean("active", index++ == active);
    entry.name("endpoints");
    array(out, site.endpoints, [&](const upstream::Endpoint& endpoint) {
      JsonObject state(out);
      state.text("address", endpoint.name);
      state.boolean("healthy", endpoint.healthy());
      state.boolean("checked", endpoint.health && endpoint.health->known.load(std::memory_order_relaxed));
      state.close();
    });
    entry.close();
  });
  object.close();
}

const char* tls_name(const proxy::HostEntry& host) {
  if (host.slot) return "acme";
  if (!host.tls) return "off";
  return host.config->tls == config::HostTls::files ? "files" : "self_signed";
}

void append_obtained(std::string& out, const acme::Certifier::State& state) {
  JsonObject certificate(out);
  certificate.text("authority", state.authority);
  certificate.text("issuer", state.facts ? state.facts->issuer : "self-signed, until there is one");
  if (state.facts) {
    certificate.text("not_after", rfc3339(state.facts->not_after));
    certificate.text("serial", state.facts->serial);
    certificate.text("renews_at", rfc3339(state.renew_at));
  }
  certificate.boolean("self_signed", !state.facts);
  certificate.boolean("at_work", state.is_at_work);
  certificate.number("failures", state.failures);
  certificate.text("last_error", state.last_error);
  if (state.next_attempt != acme::Time{}) certificate.text("next_attempt", rfc3339(state.next_attempt));
  certificate.close();
}

void append_host(std::string& out, const std::string& name, const proxy::HostEntry& host, const StatusInput& input) {
  JsonObject object(out);
  object.text("name", name);
  object.text("tls", tls_name(host));
  if (host.slot) {
    if (const auto state = input.certificates->find(name); state != input.certificates->end()) {
      object.name("certificate");
      append_obtained(out, state->second);
    }
  }
  if (host.tls) {
    object.name("certificate");
    JsonObject certificate(out);
    certificate.text("issuer", host.tls->issuer());
    certificate.text("not_after", rfc3339(host.tls->not_after()));
    certificate.boolean("self_signed", host.tls->is_self_signed());
    certificate.close();
  }
  object.close();
}

void append_tenant(std::string& out, const StatusInput& input, const SnapshotBuilder::TenantState& state) {
  const proxy::Snapshot& snapshot = *input.snapshot;
  JsonObject object(out);
  object.text("name", state.name);
  object.boolean("valid", state.valid);
  object.boolean("serving", state.serving);
  const auto found = std::ranges::find_if(
      snapshot.tenants, [&](const auto& routes) { return routes->tenant.config->name == state.name; });
  const filter::Tenant* const tenant = state.serving && found != snapshot.tenants.end() ? &(*found)->tenant : nullptr;
  object.text("waf", tenant == nullptr ? "-" : mode_name(tenant->config->waf.mode));
  object.number("waf_rules", tenant != nullptr && tenant->waf_policy ? tenant->waf_policy->rule_count() : 0);
  object.number("requests_in_flight", tenant == nullptr ? 0 : tenant->load->requests.load(std::memory_order_relaxed));
  object.name("hosts");
  out += '[';
  bool first = true;
  if (tenant != nullptr) {
    for (const config::Host& host : tenant->config->hosts) {
      const auto entry = snapshot.hosts.find(host.name);
      if (entry == snapshot.hosts.end()) continue;
      if (!first) out += ',';
      first = false;
      append_host(out, host.name, entry->second, input);
    }
  }
  out += ']';
  object.name("services");
  static const std::vector<std::unique_ptr<upstream::Service>> no_services;
  array(out, tenant != nullptr ? tenant->services : no_services,
        [&](const auto& service) { append_service(out, *service); });
  object.name("limits");
  JsonObject share(out);
  const config::TenantLimits limits = tenant == nullptr ? config::TenantLimits() : tenant->config->limits;
  share.number("requests_in_flight", limits.requests_in_flight);
  share.number("connections", limits.connections);
  share.number("waf_cpu", limits.waf_cpu_thousandths);  // of a processor, in thousandths
  share.close();
  object.name("rate_limits");
  static const std::vector<std::unique_ptr<filter::RateLimitRule>> no_limits;
  array(out, tenant != nullptr ? tenant->rate_limits : no_limits, [&](const auto& rule) {
    JsonObject limit(out);
    limit.text("name", rule->config->name);
    limit.number("burst", rule->parameters.capacity);
    limit.number("tokens", rule->parameters.tokens);
    limit.number("period_ms", static_cast<std::uint64_t>(rule->config->rate_period.count()));
    limit.boolean("shadow", rule->config->shadow);
    limit.number("allowed", rule->allowed->value());
    limit.number("limited", rule->limited->value());
    limit.close();
  });
  object.close();
}

}  // namespace

std::string status_json_of(const StatusInput& input) {
  std::string out;
  JsonObject object(out);
  object.text("version", GATEHOUSE_VERSION);
  object.text("site", input.gateway->site);
  object.boolean("ready", input.ready);
  object.boolean("draining", input.draining);
  object.number("uptime_seconds", static_cast<std::uint64_t>(input.uptime.count()));
  object.number("connections", input.connections);
  object.number("max_connections", input.max_connections);
  object.name("workers");
  std::vector<std::size_t> workers(input.workers);
  std::size_t id = 0;
  array(out, workers, [&](std::size_t) {
    JsonObject worker(out);
    worker.number("id", id++);
    worker.close();
  });
  object.name("tenants");
  array(out, *input.tenants, [&](const SnapshotBuilder::TenantState& state) { append_tenant(out, input, state); });
  object.name("certificates");
  JsonObject fleet(out);
  fleet.number("gateways", input.fleet.members);
  fleet.boolean("leads", input.fleet.is_leading);
  fleet.text("trouble", input.fleet.trouble);
  fleet.close();
  object.close();
  out += '\n';
  return out;
}

void update_snapshot_gauges(runtime::Metrics& metrics, const proxy::Snapshot& snapshot,
                            const std::map<std::string, acme::Certifier::State>& certificates) {
  namespace families = runtime::families;
  std::set<std::vector<std::string>> endpoints;
  std::set<std::vector<std::string>> sites;
  std::set<std::vector<std::string>> hosts;
  for (const auto& routes : snapshot.tenants) {
    const filter::Tenant& tenant = routes->tenant;
    metrics.gauge(families::requests_in_flight, {tenant.config->name})
        ->set_whole(static_cast<std::int64_t>(tenant.load->requests.load(std::memory_order_relaxed)));
    for (const auto& service : tenant.services) {
      const std::size_t active = service->active_site();
      for (std::size_t s = 0; s < service->sites.size(); ++s) {
        const upstream::ServiceSite& site = service->sites[s];
        std::vector<std::string> labels{tenant.config->name, service->config.name, site.name};
        metrics.gauge(families::site_active, labels)->set_whole(s == active ? 1 : 0);
        sites.insert(labels);
        for (const upstream::Endpoint& endpoint : site.endpoints) {
          std::vector<std::string> with_endpoint = labels;
          with_endpoint.push_back(endpoint.name);
          metrics.gauge(families::endpoint_healthy, with_endpoint)->set_whole(endpoint.healthy() ? 1 : 0);
          endpoints.insert(std::move(with_endpoint));
        }
      }
    }
  }
  for (const auto& [name, host] : snapshot.hosts) {
    if (const auto state = certificates.find(name); host.slot && state != certificates.end() && state->second.facts) {
      metrics.gauge(families::certificate_not_after, {name})
          ->set_whole(state->second.facts->not_after.time_since_epoch().count());
      hosts.insert({name});
    }
    if (!host.tls) continue;
    metrics.gauge(families::certificate_not_after, {name})
        ->set_whole(std::chrono::system_clock::to_time_t(host.tls->not_after()));
    hosts.insert({name});
  }
  const auto in = [](const std::set<std::vector<std::string>>& known) {
    return [&known](std::span<const std::string> labels) {
      return known.contains(std::vector<std::string>(labels.begin(), labels.end()));
    };
  };
  metrics.prune(families::endpoint_healthy, in(endpoints));
  metrics.prune(families::site_active, in(sites));
  metrics.prune(families::certificate_not_after, in(hosts));
}

void prune_series(runtime::Metrics& metrics, const proxy::Snapshot& snapshot, const std::set<std::string>& tenants) {
  namespace families = runtime::families;
  std::map<std::string, std::set<std::pair<std::string_view, std::string>>>
      named;  // by tenant: labels and their values
  for (const auto& routes : snapshot.tenants) {
    const config::TenantConfig& tenant = *routes->tenant.config;
    auto& names = named[tenant.name];
    for (const config::Route& route : tenant.routes) names.emplace("route", route.name);
    for (const config::RateLimit& limit : tenant.rate_limits) names.emplace("limit", limit.name);
    for (const config::Service& service : tenant.services) {
      names.emplace("service", service.name);
      for (const config::Site& site : service.sites) names.emplace("site", site.name);
    }
  }
  const auto is_named = [&](const runtime::MetricFamily& family, std::span<const std::string> labels) {
    if (!tenants.contains(labels.front())) return false;
    const auto names = named.find(labels.front());
    if (names == named.end()) return true;  // nothing of the tenant is served: what was stays
    for (std::size_t i = 1; i < labels.size(); ++i) {
      const std::string_view label = family.labels[i];
      const bool is_name = label == "route" || label == "limit" || label == "service" || label == "site";
      if (is_name && labels[i] != "-" && !names->second.contains({label, labels[i]})) return false;
    }
    return true;
  };
  metrics.prune(is_named);
  metrics.prune(families::tenant_config_valid,
                [&](std::span<const std::string> labels) { return tenants.contains(labels.front()); });
  if (snapshot.config->redis) return;
  for (const runtime::MetricFamily* const family :
       {&families::ratelimit_store_up, &families::ratelimit_gateways, &families::ratelimit_store_requests_total,
        &families::ratelimit_store_duration})
    metrics.prune(*family, [](std::span<const std::string>) { return false; });
}

std::string changed_fixed_settings(const config::GatewayConfig& running, const config::GatewayConfig& wanted) {
  std::vector<std::string> changed;
  const auto same_listener = [](const config::Listener& a, const config::Listener& b) {
    return a.address == b.address && a.protocol == b.protocol &&
           a.proxy_protocol_required == b.proxy_protocol_required && a.redirect_port == b.redirect_port;
  };
  if (running.workers != wanted.workers) changed.emplace_back("workers");
  if (!std::ranges::equal(running.listeners, wanted.listeners, same_listener)) changed.emplace_back("listeners");
  if (running.admin != wanted.admin) changed.emplace_back("admin");
  if (running.metrics != wanted.metrics) changed.emplace_back("metrics");
  if (running.storage != wanted.storage) changed.emplace_back("storage");
  return fmt::format("{}", fmt::join(changed, ", "));
}

}  // namespace gatehouse::server
