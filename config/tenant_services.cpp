// `services` of a tenant's file. See tenant_parts.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/endpoint_rules.hpp"
#include "config/hostname.hpp"
#include "config/kinds.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

using namespace std::chrono_literals;

/// An address with a port to which a tenant may send requests.
struct Endpoint {
  const GatewayConfig& gateway;

  bool read(Source& source, const Node& node, SocketAddress& out) const {
    const std::string* text = text_of(source, node, "an address with a port such as 10.0.0.5:8080");
    if (text == nullptr) return false;
    const auto address = SocketAddress::parse(*text);
    if (!address) {
      source.error(node.at, fmt::format("{} is not an address with a port such as 10.0.0.5:8080 or [2001:db8::5]:8080; "
                                        "names are not taken, since 'dns' does not exist in this version of gatehouse",
                                        cite(*text)));
      return false;
    }
    if (const std::string reason = why_no_endpoint(*address, gateway); !reason.empty()) {
      source.error(node.at, fmt::format("{} cannot be an endpoint: it {}", cite(*text), reason));
      return false;
    }
    out = *address;
    return true;
  }
  [[nodiscard]] JsonObject schema() const { return Address{}.schema(); }
};

enum class RetryOn { connect, reset, bad_gateway, unavailable };

void read_site(Mapping& m, Site& site, const GatewayConfig& gateway) {
  m.unavailable("dns", "list the addresses as endpoints");
  m.unavailable("kubernetes", "list the addresses as endpoints");
  m.require("site", site.name, name_text("a site's name"),
            "The site's name; a gateway prefers the site that is called as its own.");
  m.require("endpoints", site.endpoints, list_of(Endpoint{gateway}, 1, 1'000), "Addresses with ports.");
  std::set<SocketAddress> seen;
  for (std::size_t i = 0; i < site.endpoints.size(); ++i) {
    if (!seen.insert(site.endpoints[i]).second)
      m.error_at(m.item_at("endpoints", i),
                 fmt::format("the endpoint {} is given twice", site.endpoints[i].to_string()));
  }
}

void read_health(Mapping& m, HealthCheck& health) {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (text.front() != '/') return std::unexpected("does not begin with '/'");
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~' || c == '#'; }))
      return std::unexpected("has a character that must be percent-encoded");
    return std::string(text);
  };
  m.read("path", health.path, Text{"a path", check, 2'048, "^/[^#\\s]*$"},
         "Requested with GET; 2xx and 3xx are healthy.");
  m.read("interval", health.interval, Duration{10ms, 1h}, "From one check of an endpoint to the next.");
  if (!m.read("timeout", health.timeout, Duration{1ms, 1h}, "For one check; default at most interval.")) {
    if (!m.describing()) health.timeout = std::min(health.timeout, health.interval);
  } else if (health.timeout > health.interval) {
    m.warning("timeout", fmt::format("a check may take longer ({}) than the interval between two ({})",
                                     show_duration(health.timeout), show_duration(health.interval)));
  }
  m.read("unhealthy_after", health.unhealthy_after, Integer{1, 100},
         "Failures in a row after which an endpoint gets no requests.");
  m.read("healthy_after", health.healthy_after, Integer{1, 100},
         "Successes in a row after which it gets requests again.");
}

void read_retry(Mapping& m, Retry& retry) {
  m.read("attempts", retry.attempts, Integer{1, 10}, "Attempts in all, the first included; 1: no retry.");
  std::vector<RetryOn> reasons{RetryOn::connect};
  if (m.read("retry_on", reasons,
             list_of(Choice<RetryOn>{{{"connect", RetryOn::connect},
                                      {"reset", RetryOn::reset},
                                      {"502", RetryOn::bad_gateway},
                                      {"503", RetryOn::unavailable}}},
                     0, 16),
             "connect: no connection, for all methods. reset, 502 and 503: for idempotent methods alone.")) {
    const auto has = [&](RetryOn reason) { return std::ranges::find(reasons, reason) != reasons.end(); };
    retry.on_connect = has(RetryOn::connect);
    retry.on_reset = has(RetryOn::reset);
    retry.on_502 = has(RetryOn::bad_gateway);
    retry.on_503 = has(RetryOn::unavailable);
  }
}

void read_upstream_tls(Mapping& m, UpstreamTls& tls, const FileRules& files) {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> { return normalise_host(text); };
  m.read("ca_file", tls.ca_file, File{files},
         "PEM file of the authorities that may sign the upstream's certificate; without it those of the system.");
  m.read("server_name", tls.server_name, Text{"a host name", check, 1'000},
         "The name that is asked for and verified; without it the request's host.");
  m.read("certificate_file", tls.certificate_file, File{files},
         "PEM file of the certificate that the gateway shows to the upstream.");
  m.read("key_file", tls.key_file, File{files}, "PEM file of its key.");
  if (m.has("certificate_file") != m.has("key_file")) {
    m.error(m.has("key_file") ? "key_file" : "certificate_file",
            fmt::format("certificate_file and key_file belong together: '{}' is missing",
                        m.has("key_file") ? "certificate_file" : "key_file"));
  }
}

void check_sites(Mapping& m, const Service& service) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < service.sites.size(); ++i) {
    if (!seen.insert(service.sites[i].name).second) {
      m.error_at(m.item_at("sites", i),
                 fmt::format("the site {} is given twice; list all its endpoints once", cite(service.sites[i].name)));
    }
  }
  if (service.sites.size() > 1 && !m.has("health")) {
    m.warning("sites",
              "several sites, but no 'health': that a site is down shows only by requests that fail; add health: "
              "{path: /healthz}");
  }
}

void read_service(Mapping& m, Service& service, const Platform& platform) {
  service.place = m.place(m.at());
  m.read("protocol", service.protocol,
         Choice<UpstreamProtocol>{{{"http1", UpstreamProtocol::http1}, {"https", UpstreamProtocol::https}},
                                  {{"h2c", "use http1"}, {"h2", "use https, which is HTTP/1.1 over TLS"}}},
         "What the endpoints speak.");
  m.read("tls", service.tls,
         object<UpstreamTls>([&](Mapping& inner, UpstreamTls& tls) { read_upstream_tls(inner, tls, platform.files); }),
         "How https endpoints are verified.");
  m.read("balance", service.balance,
         Choice<Balance>{{{"round_robin", Balance::round_robin}, {"least_request", Balance::least_request}},
                         {{"consistent_hash", "use least_request or round_robin"}}},
         "How an endpoint of a site is chosen.");
  m.require(
      "sites", service.sites,
      list_of(object<Site>([&](Mapping& inner, Site& site) { read_site(inner, site, platform.gateway); }), 1, 100),
      "Where the service runs; the order is the preference after the gateway's own site.");
  m.read("health", service.health, object<HealthCheck>(read_health),
         "Checks of each endpoint. Without it every endpoint counts as healthy.");
  m.read("retry", service.retry, object<Retry>(read_retry), "When a request is sent once more.");
  m.unavailable("outlier", "use health, which takes failing endpoints out");
  m.unavailable("failback", "use health with a higher healthy_after to hold a site back");
  m.unavailable("circuit_breaker", "use the gateway's limits");
  if (m.has("tls") && service.protocol != UpstreamProtocol::https && !m.describing())
    m.error("tls", "'tls' needs protocol: https");
  check_sites(m, service);
}

// What one tenant may ask of what all share: a thread for the checks, descriptors, and the length of /metrics.
constexpr std::size_t kMostEndpoints = 5'000;
constexpr std::size_t kMostCheckedEndpoints = 1'000;
constexpr std::size_t kMostChecksPerMinute = 30'000;

void check_load(Mapping& m, const std::vector<Service>& services) {
  std::size_t endpoints = 0;
  std::size_t checked = 0;
  std::size_t checks_per_minute = 0;
  for (const Service& service : services) {
    std::size_t own = 0;
    for (const Site& site : service.sites) own += site.endpoints.size();
    endpoints += own;
    if (!service.health) continue;
    checked += own;
    const auto interval = static_cast<std::size_t>(std::max<std::int64_t>(service.health->interval.count(), 1));
    checks_per_minute += own * 60'000 / interval;
  }
  const auto bound = [&](std::size_t count, std::size_t most, std::string_view what) {
    if (count > most) m.error("services", fmt::format("a tenant has at most {} {}, this one {}", most, what, count));
  };
  bound(endpoints, kMostEndpoints, "endpoints");
  bound(checked, kMostCheckedEndpoints, "endpoints with health checks");
  bound(checks_per_minute, kMostChecksPerMinute, "health checks a minute");
}

}  // namespace

void read_services(Mapping& m, TenantConfig& tenant, const Platform& platform) {
  m.require(
      "services", tenant.services,
      named<Service>(
          "a service's name", [&](Mapping& inner, Service& service) { read_service(inner, service, platform); }, 1),
      "What stands behind the gateway, by name.");
  check_load(m, tenant.services);
}

}  // namespace gatehouse::config
