// See tenant_version.hpp.
#include "gateway/server/tenant_version.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "config/files.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "ratelimit/headers.hpp"

namespace gatehouse::server {

namespace families = runtime::families;
using config::Problem;
using config::Problems;

std::shared_ptr<const TenantVersion> make_version(std::shared_ptr<const config::TenantConfig> written,
                                                  const config::GatewayConfig& gateway, waf::Engine& waf, TlsStore& tls,
                                                  const TenantVersion* before, Problems& problems,
                                                  std::vector<std::string>& files) {
  const std::size_t problems_before = problems.size();
  bool good = true;
  auto version = std::make_shared<TenantVersion>();
  version->platform = gateway.text;

  const auto rules = config::FileRules::of_tenant(gateway, config::stem_of(written->file));
  // What is missing is an error, unless it was there before.
  const auto needed = [&](const auto& made, const auto& known, Problems& found) {
    const bool replaced = made == nullptr && known != nullptr;
    good = good && (made != nullptr || replaced);
    if (!replaced) problems.insert(problems.end(), found.begin(), found.end());
    return replaced ? known : made;
  };
  for (const config::Host& host : written->hosts) {
    if (host.tls == config::HostTls::off) continue;
    if (host.tls == config::HostTls::acme) {
      std::shared_ptr<net::CertificateSlot> known;
      if (before != nullptr)
        if (const auto found = before->host_slots.find(host.name); found != before->host_slots.end())
          known = found->second;
      Problems found;
      version->host_slots[host.name] = needed(tls.slot_of_host(host, {rules, files, found}), known, found);
      continue;
    }
    std::shared_ptr<const net::ServerTls> known;
    if (before != nullptr)
      if (const auto found = before->host_tls.find(host.name); found != before->host_tls.end()) known = found->second;
    Problems found;
    version->host_tls[host.name] = needed(tls.of_host(host, {rules, files, found}), known, found);
  }
  for (std::size_t i = 0; i < written->services.size(); ++i) {
    const config::Service& service = written->services[i];
    auto& made = version->service_tls.emplace_back();
    if (service.protocol != config::UpstreamProtocol::https) continue;
    Problems found;
    made = needed(tls.of_service(service, {rules, files, found}), before != nullptr ? before->service_tls[i] : nullptr,
                  found);
  }

  Problems warnings;
  auto policy = waf.policy(*written, gateway.policy.tenant_rules, warnings);
  problems.insert(problems.end(), warnings.begin(), warnings.end());
  if (policy) {
    version->waf_policy = std::move(*policy);
  } else {
    good = false;
    problems.insert(problems.end(), policy.error().begin(), policy.error().end());
  }
  for (Problem& problem : std::span(problems).subspan(problems_before))
    if (problem.place.file == written->file && problem.source_line.empty() && written->text)
      problem.show_source(*written->text);
  version->written = std::move(written);
  return good ? std::move(version) : nullptr;
}

std::unique_ptr<proxy::TenantRoutes> TenantAssembler::unavailable(std::shared_ptr<const config::TenantConfig> settled) {
  auto built = std::make_unique<proxy::TenantRoutes>();
  built->unavailable = true;
  filter::Tenant& tenant = built->tenant;
  const std::string& name = settled->name;
  tenant.unrouted_duration = metrics_.histogram(families::request_duration, {name, "-"});
  tenant.waf_duration = metrics_.histogram(families::waf_duration, {name});
  auto& load = loads_[name];
  if (!load) load = std::make_shared<filter::TenantLoad>();
  tenant.load = load;
  tenant.config = std::move(settled);
  return built;
}

void TenantAssembler::forget_unused() {
  // Others only ever let go of theirs: who is the only holder remains that.
  std::erase_if(loads_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

std::unique_ptr<proxy::TenantRoutes> TenantAssembler::assemble(const TenantVersion& version,
                                                               std::shared_ptr<const config::TenantConfig> settled,
                                                               const config::GatewayConfig& gateway) {
  auto built = unavailable(std::move(settled));
  built->unavailable = false;
  filter::Tenant& tenant = built->tenant;
  const config::TenantConfig& config = *tenant.config;
  const std::string& name = config.name;
  tenant.waf_policy = version.waf_policy;
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const config::Service& service = config.services[i];
    auto made = std::make_unique<upstream::Service>(service, gateway.site, workers_);
    made->tls = version.service_tls[i];
    const auto plain = std::ranges::find_if(config.hosts, [](const auto& host) { return !host.name.starts_with('*'); });
    if (plain != config.hosts.end()) made->usual_host = plain->name;
    for (upstream::ServiceSite& site : made->sites)
      site.duration = metrics_.histogram(families::upstream_duration, {name, service.name, site.name});
    tenant.services.push_back(std::move(made));
  }
  for (const config::RateLimit& limit : config.rate_limits) {
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
  for (const config::Route& route : config.routes) {
    auto made = std::make_unique<filter::Route>();
    made->config = &route;
    made->service = tenant.services[route.service].get();
    for (const std::size_t limit : route.rate_limits) {
      made->rate_limits.push_back(tenant.rate_limits[limit].get());
      made->limits_always_in_headers = made->limits_always_in_headers || config.rate_limits[limit].headers_always;
    }
    made->duration = metrics_.histogram(families::request_duration, {name, route.name});
    made->requests =
        std::vector<std::array<runtime::LazyCounter, static_cast<std::size_t>(upstream::CodeClass::count_)>>(
            made->service->sites.size() + 1);
    tenant.routes.push_back(std::move(made));
    std::unique_ptr<re2::RE2> expression;
    if (route.match.kind == config::PathMatch::regex) {
      re2::RE2::Options options;  // as the loader has compiled it
      options.set_log_errors(false);
      options.set_max_mem(config::kRegexMemoryBytes);
      expression = std::make_unique<re2::RE2>(route.match.path, options);
    }
    built->expressions.push_back(std::move(expression));
  }
  return built;
}

}  // namespace gatehouse::server
