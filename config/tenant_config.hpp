// One tenant's YAML file as plain, validated data. References are resolved to indices and paths to absolute
// ones by the loader; whoever holds a TenantConfig need not check anything again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/address.hpp"
#include "config/gateway_config.hpp"

namespace gatehouse::config {

enum class HostTls { off, files, self_signed, acme };
enum class TlsVersion { tls12, tls13 };
enum class ClientAuth { off, optional, required };

struct Host {
  std::string name;  // lower-case A-labels without trailing dot: "shop.example.de", "*.example.de" or "*"
  HostTls tls = HostTls::self_signed;
  std::string authority;         // of gateway.yaml's acme; with HostTls::acme
  std::string certificate_file;  // absolute; with HostTls::files
  std::string key_file;
  TlsVersion min_version = TlsVersion::tls12;
  std::optional<Milliseconds> hsts = std::chrono::hours(365 * 24);  // max-age (RFC 6797 section 6.1.1); none: not said
  std::string client_ca_file;  // absolute; with client_auth
  std::string client_crl_file;  // absolute; empty: none
  ClientAuth client_auth = ClientAuth::off;
  Place place;
  bool unclear = false;  // read with errors: a name that is claimed and no more; never in a valid configuration
};

enum class UpstreamProtocol { http1, https };
enum class Balance { round_robin, least_request };

struct UpstreamTls {
  std::string ca_file;  // absolute; empty: system CAs
  std::string server_name;  // SNI and verified name; empty: the request's host
  std::string certificate_file;  // client certificate; empty: none
  std::string key_file;
};

struct Site {
  std::string name;
  std::vector<SocketAddress> endpoints;  // at least one
};

struct HealthCheck {
  std::string path = "/healthz";
  Milliseconds interval{2'000};
  Milliseconds timeout{1'000};
  unsigned unhealthy_after = 3;
  unsigned healthy_after = 2;
};

struct Retry {
  unsigned attempts = 2;  // in all, the first included
  bool on_connect = true;
  bool on_reset = false;
  bool on_502 = false;
  bool on_503 = false;
};

struct Service {
  std::string name;
  Place place;  // of its settings
  UpstreamProtocol protocol = UpstreamProtocol::http1;
  UpstreamTls tls;
  Balance balance = Balance::round_robin;
  std::vector<Site> sites;  // the file's order: preference after the gateway's own site
  std::optional<HealthCheck> health;  // absent: every endpoint counts as healthy
  Retry retry;
};

struct HeaderMatch {
  std::string name;  // lower case
  std::optional<std::string> value;  // exact; absent: presence is enough
};

enum class PathMatch { prefix, exact, regex };

/// RE2's max_mem for path expressions, here and where they run: one that needs more to be compiled is refused.
inline constexpr int kRegexMemoryBytes = 256 * 1024;

struct RouteMatch {
  PathMatch kind = PathMatch::prefix;
  std::string path = "/";  // prefix: whole segments; regex: RE2, anchored at both ends
  std::vector<std::string> methods;  // sorted; empty: all
  std::vector<HeaderMatch> headers;  // all of them
};

struct Route {
  std::string name;  // unique in the tenant; default: the path
  RouteMatch match;
  std::size_t service = 0;  // index into TenantConfig::services
  std::vector<std::size_t> rate_limits;  // indices into TenantConfig::rate_limits
  std::optional<Milliseconds> timeout;  // replaces timeouts.response
  Place place;
};

enum class LimitKeyKind { client_ip, tenant, host, header };

struct LimitKey {
  LimitKeyKind kind = LimitKeyKind::client_ip;
  std::string name;  // header: its name, lower case
};

enum class OnStoreFailure { local, open, closed };

struct RateLimit {
  std::string name;
  std::vector<LimitKey> key;  // at least one
  double rate_per_second = 0;  // tokens
  std::uint64_t rate_count = 0;  // as written: rate_count per rate_period
  Milliseconds rate_period{1'000};
  std::uint64_t burst = 1;  // capacity; default one second of rate, at least 1
  OnStoreFailure on_store_failure = OnStoreFailure::local;
  bool shadow = false;
  bool headers_always = false;  // RateLimit fields on every answer, not on 429 alone
};

enum class WafMode { off, detect, block };
enum class OverLimit { block, pass_uninspected };

struct Exclusion {
  std::uint32_t rule = 0;  // rule id; 0 with a tag
  std::string target;  // "ARGS:comment"; empty: the whole rule
  std::string path;  // prefix of whole segments; empty: everywhere
  Place place;
};

struct TenantWaf {
  WafMode mode = WafMode::block;
  unsigned paranoia = 1;  // 1 to 4
  unsigned inbound_threshold = 5;
  unsigned outbound_threshold = 4;
  std::size_t body_limit = 1024UL * 1024;
  OverLimit over_limit = OverLimit::block;
  bool inspect_response_body = false;
  std::vector<Exclusion> exclusions;  // at most 200
  std::string rules_before;  // SecLang
  std::string rules_after;
  Place rules_before_place;  // of the first line of the text
  Place rules_after_place;
};

struct AccessLists {
  std::vector<Cidr> allow;  // empty: everybody
  std::vector<Cidr> deny;  // wins over allow
};

/// The tenant's share; 0 means no share of its own.
struct TenantLimits {
  std::size_t requests_in_flight = 0;
  std::size_t connections = 0;
  std::uint32_t waf_cpu_thousandths = 0;  // of one processor
};

struct TenantConfig {
  std::string file;  // absolute path
  std::shared_ptr<const std::string> text;  // what it held, for Problem::show_source() of what is found later
  std::string name;  // "tenant:"; [a-z0-9-], 1 to 63
  Place place;  // of the name
  std::vector<Host> hosts;
  std::vector<Service> services;
  std::vector<Route> routes;
  std::vector<RateLimit> rate_limits;
  TenantWaf waf;
  AccessLists access;
  TenantLimits limits;
};

}  // namespace gatehouse::config
