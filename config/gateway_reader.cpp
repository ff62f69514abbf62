// gateway.yaml's text into a GatewayConfig: every key with its member, its kind and its description. The same functions
// write the JSON Schema. Called by load.cpp and by `gatehouse schema`.
#include "config/gateway_reader.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "config/acme_reader.hpp"
#include "config/endpoint_rules.hpp"
#include "config/kinds.hpp"
#include "config/redis_url.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr std::uint64_t operator""_TiB(unsigned long long n) { return n << 40; }
constexpr std::uint64_t kMostConnections = 10'000'000;

void read_listener(Mapping& m, Listener& listener) {
  if (m.require("address", listener.address, Address{},
                "Where to listen: \"[::]:8443\" for all addresses of both families, \"127.0.0.1:8443\" for one.") &&
      listener.address.port == 0) {
    m.warning("address", "port 0 takes any free port, which clients cannot know");
  }
  m.require("protocol", listener.protocol,
            Choice<ListenerProtocol>{{{"http", ListenerProtocol::http}, {"https", ListenerProtocol::https}}},
            "http redirects to HTTPS and serves the hosts with tls: off; https serves the others.");
  m.read(
      "proxy_protocol", listener.proxy_protocol_required, Choice<bool>{{{"off", false}, {"required", true}}},
      "required: only peers in trusted_proxies are served, and each connection begins with a PROXY header (v1 or v2).");
  if (m.read("redirect_port", listener.redirect_port, Integer{1, 65'535},
             "The port that the redirect to HTTPS names; for protocol http.") &&
      listener.protocol == ListenerProtocol::https) {
    m.error("redirect_port", "'redirect_port' is for listeners with protocol: http; this one does not redirect");
  }
}

void check_listeners(Mapping& m, const GatewayConfig& config) {
  const auto& listeners = config.listeners;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!sockets_overlap(listeners[i].address, listeners[j].address)) continue;
      m.error_at(m.item_at("listeners", i),
                 fmt::format("this listener's address {} is taken by the listener {}", listeners[i].address.to_string(),
                             listeners[j].address.to_string()));
      break;
    }
    if (listeners[i].proxy_protocol_required && config.trusted_proxies.empty()) {
      m.error_at(
          m.item_at("listeners", i),
          "proxy_protocol: required serves only peers in trusted_proxies, which is empty: nobody would be served");
    }
  }
  const auto check = [&](std::string_view key, const std::optional<SocketAddress>& address) {
    if (!address) return;
    for (const Listener& listener : listeners) {
      if (sockets_overlap(*address, listener.address))
        m.error(key, fmt::format("the address of '{}' is taken by the listener {}", key, listener.address.to_string()));
    }
  };
  check("admin", config.admin);
  check("metrics", config.metrics);
  if (config.admin && config.metrics && sockets_overlap(*config.admin, *config.metrics)) {
    m.error("metrics", "the address of 'metrics' is taken by 'admin', which serves /metrics as well");
  }
  if (config.admin && !is_loopback(config.admin->ip)) {
    m.warning("admin",
              "admin is open to other machines: it has no authentication; use a loopback address, and 'metrics' for "
              "probes and Prometheus");
  }
}

void read_redis(Mapping& m, Redis& redis, const FileRules& files) {
  m.require("url", redis, RedisUrl{},
            "redis://host:port/database, or rediss:// for TLS. The password stands in password_file.");
  m.read("username", redis.username, Text{"a user name", nullptr, 100},
         "User of Redis's access lists; without it the user is \"default\".");
  m.read("password_file", redis.password_file, File{files}, "File that holds the password in its first line.");
  m.read("ca_file", redis.ca_file, File{files},
         "PEM file of the authorities that may sign Redis's certificate; without it those of the system.");
  m.unavailable("sentinel", "name one Redis server by url");
  m.unavailable("cluster", "name one Redis server by url");
  m.refuse("password",
           "a password does not belong here: write it into a file of its own and name that as password_file");
  if (!redis.username.empty() && !m.has("password_file")) m.error("username", "a user name needs a password_file");
  if (m.has("ca_file") && !redis.tls) m.error("ca_file", "'ca_file' is for TLS: write the url with rediss://");
}

void read_waf(Mapping& m, PlatformWaf& waf, const FileRules& files) {
  if (m.read("rules", waf.rules, list_of(File{files, false}, 1, 100),
             "Rule files or patterns of files, in this order: the Core Rule Set.")) {
    waf.rules_places.clear();
    for (std::size_t i = 0; i < waf.rules.size(); ++i) waf.rules_places.push_back(m.place(m.item_at("rules", i)));
  }
  m.read("on_error", waf.on_error, Choice<OnError>{{{"block", OnError::block}, {"pass", OnError::pass}}},
         "What happens to a request that the engine could not judge: block answers 503.");
  m.read("time_budget", waf.time_budget, Duration{1ms, 60s},
         "CPU time of one request; beyond it the engine gives up, see on_error.");
  m.unavailable("verify_sample", "every request is judged by the full engine");
}

void check_connections(Mapping& m, const Limits& limits) {
  if (!m.has("connections")) return;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max == RLIM_INFINITY) return;
  const std::size_t most = files.rlim_max < 514 ? 0 : (files.rlim_max - 512) / 2;
  if (limits.connections > most) {
    m.error("connections", fmt::format("{} connections need more files than this process may open: with RLIMIT_NOFILE "
                                       "{} it is at most {}; raise that limit or lower this one",
                                       limits.connections, static_cast<std::uint64_t>(files.rlim_max), most));
  }
}

void read_limits(Mapping& m, Limits& limits) {
  m.read("target_bytes", limits.target_bytes, Size{256, 1_MiB}, "Longest request target; beyond it 414.");
  m.read("underscores", limits.underscores_allowed, Choice<bool>{{{"refuse", false}, {"allow", true}}},
         "Header names with '_', which some servers take for '-'.");
  m.read("escaped_slashes", limits.escaped_slashes_refused, Choice<bool>{{{"keep", false}, {"refuse", true}}},
         "Paths with '%2F', '%5C' or a backslash, which some servers take for slashes.");
  m.read("path_parameters", limits.path_parameters_refused, Choice<bool>{{{"keep", false}, {"refuse", true}}},
         "Paths with ';' or '%3B', which some servers cut off together with what follows in the segment.");
  m.read("min_rate", limits.min_rate_bytes_per_second, SizePerSecond{},
         "Least rate of a peer that sends or takes a body, after 10 s of grace.");
  m.read("buffered_bytes", limits.buffered_bytes, Size{1_MiB, 1_TiB}, "Bodies held in memory by the whole process.");
  m.read("header_bytes", limits.header_bytes, Size{1_KiB, 1_MiB},
         "Request line and header fields together; beyond it 431.");
  m.read("header_count", limits.header_count, Integer{8, 10'000}, "Header fields of a request; beyond it 431.");
  m.read("body_bytes", limits.body_bytes, Size{1, 1_TiB}, "Longest request body; beyond it 413.");
  m.read("connections", limits.connections, Integer{1, kMostConnections},
         "Client connections in all. Without it the smaller of 50000 and what the limit of open files allows.");
  m.read("connections_per_client", limits.connections_per_client, Integer{0, kMostConnections},
         "Connections of one address, IPv6 by /64; 0: no limit.");
  m.read("h2_streams", limits.h2_streams, Integer{1, 10'000}, "Requests at once on one HTTP/2 connection.");
  check_connections(m, limits);
}

void read_timeouts(Mapping& m, Timeouts& timeouts) {
  constexpr Milliseconds most = 24h;
  m.read("tls_handshake", timeouts.tls_handshake, Duration{100ms, most},
         "From the connection to the end of the TLS handshake.");
  m.read("request_header", timeouts.request_header, Duration{100ms, most},
         "From the first byte of a request to the end of its header.");
  m.read("request_body_idle", timeouts.request_body_idle, Duration{100ms, most},
         "Between two parts of a request's body.");
  m.read("idle", timeouts.idle, Duration{100ms, most}, "Between two requests of a connection.");
  m.read("upstream_connect", timeouts.upstream_connect, Duration{1ms, most}, "For a connection to an endpoint.");
  m.read("response", timeouts.response, Duration{1ms, most},
         "From the end of the request to the first byte of the response, then between its parts.");
  m.read("tunnel_idle", timeouts.tunnel_idle, Duration{100ms, 168h},
         "Without a byte in either direction of a WebSocket.");
  m.read("shutdown_delay", timeouts.shutdown_delay, Duration{0ms, 1h},
         "After SIGTERM: still serving, but no longer ready, so that load balancers turn away.");
  m.read("shutdown", timeouts.shutdown, Duration{0ms, 24h}, "For open requests to end after that.");
}

void read_endpoint_networks(Mapping& m, EndpointNetworks& networks) {
  m.read("allow", networks.allow, list_of(Network{}, 0, 10'000), "Networks of endpoints; empty: all that may be any.");
  m.read("deny", networks.deny, list_of(Network{}, 0, 10'000), "Networks without endpoints; wins over allow.");
}

void read_policy(Mapping& m, TenantPolicy& policy, const FileRules& files) {
  m.read(
      "tenant_rules", policy.tenant_rules,
      Choice<TenantRules>{{{"false", TenantRules::no}, {"true", TenantRules::yes}, {"trusted", TenantRules::trusted}}},
      "Whether tenants may bring SecLang rules: true within the allow-list, trusted also with ctl actions.");
  m.read("files", policy.files, list_of(File{files, false}, 0, 100),
         "Folders whose files tenants may name by absolute path, besides their own folder.");
  m.read("upstreams", policy.upstreams, object<EndpointNetworks>(read_endpoint_networks),
         "Where the endpoints of tenants' services may lie.");
  for (std::size_t i = 0; i < policy.files.size(); ++i) {
    std::string& folder = policy.files[i];
    if (!folder.ends_with('/')) folder += '/';
    std::error_code error;
    if (folder == "/")
      m.warning_at(m.item_at("files", i), "'/' opens every file that the gateway can read to the tenants");
    else if (!std::filesystem::is_directory(folder, error))
      m.warning_at(m.item_at("files", i), fmt::format("there is no folder {}", cite(folder, 200)));
  }
}

void read_audit_log(Mapping& m, AuditLog& log, const FileRules& files) {
  m.read("path", log.path, LogFile{files}, "File of the WAF events; \"-\": standard output; off: none.");
  std::vector<std::string> names;
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; }))
      return std::unexpected("has blanks or characters outside of ASCII");
    return to_lower(text);
  };
  m.read("mask", names, list_of(Text{"a name of an argument, cookie or header", check, 100}, 0, 500),
         "Names of arguments, cookies and headers whose values are never written, besides password, token, "
         "authorization and the like.");
  for (std::string& name : names) {
    if (std::ranges::find(log.mask, name) == log.mask.end()) log.mask.push_back(std::move(name));
  }
  m.unavailable("key_file", "the audit log is written without a hash chain");
  m.unavailable("chain", "the audit log is written without a hash chain");
}

void read_access_log(Mapping& m, AccessLog& log, const FileRules& files) {
  m.read("path", log.path, LogFile{files},
         "File of the access log, one JSON object a line; \"-\": standard output; off: none.");
  m.read(
      "client_ip", log.client_ip,
      Choice<ClientIpDetail>{
          {{"full", ClientIpDetail::full}, {"truncated", ClientIpDetail::truncated}, {"none", ClientIpDetail::none}}},
      "How much of a client's address is written: truncated to /24 or /48.");
}

void read_gateway_keys(Mapping& m, GatewayConfig& config, const FileRules& files) {
  m.read("site", config.site, name_text("a site's name"),
         "Where this gateway stands; endpoints at the same site are preferred.");
  m.read("workers", config.workers, Workers{}, "Worker threads; auto: one a processor.");
  m.read("listeners", config.listeners, list_of(object<Listener>(read_listener), 1, 64),
         "Where clients are served. Without it [::]:8080 for http and [::]:8443 for https.");
  m.read("admin", config, object<GatewayConfig>([](Mapping& inner, GatewayConfig& out) {
           inner.read("address", out.admin, AddressOrNone{}, "Where to listen, or none.");
         }),
         "/metrics, /healthz, /readyz, /status and the status page. Keep it on a loopback address.");
  m.read("metrics", config, object<GatewayConfig>([](Mapping& inner, GatewayConfig& out) {
           inner.read("address", out.metrics, AddressOrNone{}, "Where to listen, or none.");
         }),
         "A second address with /metrics, /healthz and /readyz alone, for probes and Prometheus.");
  m.read("tenants", config.tenants_directory, File{files, false},
         "Directory of the tenants' files, one tenant a file NAME.yaml.");
  if (!config.tenants_directory.ends_with('/')) config.tenants_directory += '/';
  m.read("trusted_proxies", config.trusted_proxies, list_of(Network{}, 0, 10'000),
         "Networks of the load balancers in front, whose X-Forwarded-For and PROXY headers are believed.");
  m.read("redis", config.redis, object<Redis>([&](Mapping& inner, Redis& out) { read_redis(inner, out, files); }),
         "The store of the rate limits that all gateways share. Without it each gateway counts for itself.");
  config.redis_unclear = config.redis_unclear || (!config.redis && m.has("redis"));
  const bool has_acme =
      m.read("acme", config.acme,
             named<AcmeAuthority>(
                 "a CA's name", [&](Mapping& inner, AcmeAuthority& out) { read_authority(inner, out, files); }, 0,
                 kUsualAuthority),
             "CAs that certificates are obtained from (ACME, RFC 8555), by name, for the tenants' hosts to refer to.");
  config.acme_unclear = !has_acme && m.has("acme");
  m.read("storage", config.storage,
         object<Storage>([&](Mapping& inner, Storage& out) { read_storage(inner, out, files); }),
         "Where accounts and certificates are kept: in a folder of this machine, or in the Redis that all gateways "
         "share.");
  config.storage_place = m.place(m.at("storage"));
  const bool has_waf = m.read(
      "waf", config.waf, object<PlatformWaf>([&](Mapping& inner, PlatformWaf& out) { read_waf(inner, out, files); }),
      "The web application firewall of all tenants.");
  config.waf_unclear = config.waf_unclear || (!has_waf && m.has("waf"));
  m.read("limits", config.limits, object<Limits>(read_limits), "Bounds on what clients may send.");
  m.read("timeouts", config.timeouts, object<Timeouts>(read_timeouts), "How long peers may take.");
  m.read("policy", config.policy,
         object<TenantPolicy>([&](Mapping& inner, TenantPolicy& out) { read_policy(inner, out, files); }),
         "What tenants may do.");
  m.read("access_log", config.access_log,
         object<AccessLog>([&](Mapping& inner, AccessLog& out) { read_access_log(inner, out, files); }),
         "The access log.");
  m.read("audit_log", config.audit_log,
         object<AuditLog>([&](Mapping& inner, AuditLog& out) { read_audit_log(inner, out, files); }),
         "The log of WAF events.");
}

void check_gateway(Mapping& m, const GatewayConfig& config) {
  check_listeners(m, config);
  check_acme(m, config);
  for (std::size_t i = 0; i < config.trusted_proxies.size(); ++i) {
    const std::string network = config.trusted_proxies[i].to_string();
    if (network == "0.0.0.0/0" || network == "::/0")
      m.warning_at(m.item_at("trusted_proxies", i),
                   fmt::format("{} believes every client what it says about its own address", network));
  }
  if (config.access_log.path == config.audit_log.path && config.access_log.path.starts_with('/')) {
    m.error("audit_log", "access_log and audit_log must not share a file");
  }
}

/// A log that cannot be opened keeps the gateway from starting.
void check_log(Mapping& m, std::string_view key, const std::string& path) {
  if (!path.starts_with('/')) return;
  const std::string reason = FileRules::why_no_log(path);
  if (reason.empty()) return;
  const Node* const log = m.value(key);
  const Member* const named = log != nullptr ? log->find("path") : nullptr;
  m.error_at(named != nullptr ? named->value.at : m.at(), fmt::format("{}.path: {}", key, reason));
}

GatewayConfig standard_gateway(const std::string& file) {
  GatewayConfig config;
  config.file = file;
  config.listeners = {{{IpAddress(), 8080}, ListenerProtocol::http}, {{IpAddress(), 8443}, ListenerProtocol::https}};
  config.admin = SocketAddress{IpAddress::v4(0x7F000001), 9901};
  config.tenants_directory = folder_of(file) + "tenants/";
  config.acme = {usual_authority()};
  return config;
}

}  // namespace

std::string absolute_file(const std::string& path) {
  std::error_code error;
  const auto here = std::filesystem::current_path(error);
  return absolute_path(path, error ? "/" : here.string() + "/");
}

LoadedGateway read_gateway(std::string_view text, const std::string& path, bool on_this_machine) {
  LoadedGateway loaded;
  Source source(text, path);
  Node root = parse_yaml(source);
  if (root.kind == Node::Kind::null) root.kind = Node::Kind::mapping;  // an empty file: every key has a default
  GatewayConfig config = standard_gateway(absolute_file(path));
  config.text = std::make_shared<const std::string>(source.text());
  config.waf.rules_places.assign(config.waf.rules.size(), source.place({}));
  config.redis_unclear = config.waf_unclear = !source.is_whole() || root.kind != Node::Kind::mapping;
  const FileRules files = FileRules::of_gateway(config.file);
  const auto read = [&](Mapping& m, GatewayConfig& out) {
    read_gateway_keys(m, out, files);
    check_gateway(m, out);
    if (!on_this_machine) return;
    std::error_code error;
    if (!std::filesystem::is_directory(out.tenants_directory, error)) {
      m.error("tenants",
              fmt::format("there is no directory {} for the tenants' files", cite(out.tenants_directory, 200)));
    }
    check_log(m, "access_log", out.access_log.path);
    check_log(m, "audit_log", out.audit_log.path);
  };
  const bool good = object<GatewayConfig>(read).read(source, root, config);
  loaded.problems = source.take_problems();
  loaded.missing = source.take_missing();
  if (good && !has_errors(loaded.problems)) loaded.config = config;
  loaded.as_read = std::move(config);
  return loaded;
}

LoadedGateway parse_gateway(std::string_view text, const std::string& path) { return read_gateway(text, path, false); }

std::string gateway_schema() {
  const FileRules files = FileRules::of_gateway("/etc/gatehouse/gateway.yaml");
  GatewayConfig standard = standard_gateway("gateway.yaml");
  standard.tenants_directory = "tenants/";
  Mapping m;
  read_gateway_keys(m, standard, files);
  JsonObject schema;
  schema.add_string("$schema", "https://json-schema.org/draft/2020-12/schema")
      .add_string("title", "gateway.yaml of gatehouse");
  return indented(schema.append(m.schema()).to_string());
}

}  // namespace gatehouse::config
