// A tenant's file: its name, hosts, services and access lists.
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <map>
#include <thread>

#include "support.hpp"

namespace gatehouse::config::test {
namespace {

using namespace std::chrono_literals;

TEST(Tenant, ReadsTheWholeExample) {
  const TenantConfig tenant = good_tenant(R"(hosts:
  - name: Shop.Example.DE
    tls: {self_signed: true, min_version: "1.3"}
  - {name: "*.shop.example.de", tls: off}
services:
  web:
    protocol: http1
    balance: least_request
    sites:
      - {site: saar1, endpoints: ["10.0.0.1:9001", "[2001:db8::1]:9002"]}
      - {site: fsn1, endpoints: ["10.0.0.2:9003"]}
    health: {path: "/healthz?full=1", interval: 3s, timeout: 500ms, unhealthy_after: 4, healthy_after: 5}
    retry: {attempts: 3, retry_on: [connect, reset, "502", 503]}
routes:
  - name: api
    match: {path: /api/, methods: [POST, GET], headers: {X-Version: "2", x-beta: }}
    service: web
    rate_limits: [per_client, per_key]
    timeout: 15s
  - match: {path_exact: /login}
    service: web
  - match: {path_regex: "/files/[0-9]+"}
    service: web
  - {match: {path: /}, service: web}
rate_limits:
  per_client: {key: client_ip, rate: 10/s, burst: 20, mode: exact, on_store_failure: open, shadow: true, headers: always}
  per_key: {key: ["header:X-Api-Key", host, tenant], rate: 100/m}
waf:
  mode: detect
  paranoia: 2
  anomaly_threshold: {inbound: 7, outbound: 8}
  body: {limit: 128KiB, over_limit: pass_uninspected, response: true}
  exclusions:
    - {rule: 942100, target: "ARGS:comment", path: /blog/}
    - {rule: 941100}
  rules_before: |
    SecRule ARGS:x "@streq y" "id:10001,phase:2,deny,status:403"
  rules_after: ""
access:
  allow: [10.0.0.0/8]
  deny: [198.51.100.0/24]
limits: {requests_in_flight: 100, connections: 200, waf_cpu: 50%}
)");
  EXPECT_EQ(tenant.file, "/nonexistent/tenants/shop.yaml");
  EXPECT_EQ(tenant.name, "shop");
  EXPECT_EQ(tenant.place.line, 1);
  ASSERT_EQ(tenant.hosts.size(), 2U);
  EXPECT_EQ(tenant.hosts[0].name, "shop.example.de");
  EXPECT_EQ(tenant.hosts[0].tls, HostTls::self_signed);
  EXPECT_EQ(tenant.hosts[0].min_version, TlsVersion::tls13);
  EXPECT_EQ(tenant.hosts[0].place.line, 3);
  EXPECT_EQ(tenant.hosts[0].place.column, 11);
  EXPECT_EQ(tenant.hosts[1].tls, HostTls::off);
  ASSERT_EQ(tenant.services.size(), 1U);
  const Service& web = tenant.services[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.balance, Balance::least_request);
  ASSERT_EQ(web.sites.size(), 2U);
  EXPECT_EQ(web.sites[0].name, "saar1");
  EXPECT_EQ(web.sites[0].endpoints[1].to_string(), "[2001:db8::1]:9002");
  ASSERT_TRUE(web.health);
  EXPECT_EQ(web.health->path, "/healthz?full=1");
  EXPECT_EQ(web.health->interval, 3s);
  EXPECT_EQ(web.health->timeout, 500ms);
  EXPECT_EQ(web.health->unhealthy_after, 4U);
  EXPECT_EQ(web.health->healthy_after, 5U);
  EXPECT_EQ(web.retry.attempts, 3U);
  EXPECT_TRUE(web.retry.on_connect && web.retry.on_reset && web.retry.on_502 && web.retry.on_503);
  ASSERT_EQ(tenant.routes.size(), 4U);
  const Route& api = tenant.routes[0];
  EXPECT_EQ(api.name, "api");
  EXPECT_EQ(api.match.kind, PathMatch::prefix);
  EXPECT_EQ(api.match.path, "/api/");
  EXPECT_THAT(api.match.methods, ElementsAre("GET", "POST"));
  ASSERT_EQ(api.match.headers.size(), 2U);
  EXPECT_EQ(api.match.headers[0].name, "x-version");
  EXPECT_EQ(api.match.headers[0].value, "2");
  EXPECT_EQ(api.match.headers[1].name, "x-beta");
  EXPECT_FALSE(api.match.headers[1].value);
  EXPECT_EQ(api.service, 0U);
  EXPECT_THAT(api.rate_limits, ElementsAre(0U, 1U));
  EXPECT_EQ(api.timeout, 15s);
  EXPECT_EQ(tenant.routes[1].match.kind, PathMatch::exact);
  EXPECT_EQ(tenant.routes[1].name, "/login");
  EXPECT_EQ(tenant.routes[2].match.kind, PathMatch::regex);
  EXPECT_EQ(tenant.routes[2].match.path, "/files/[0-9]+");
  EXPECT_FALSE(tenant.routes[3].timeout);
  ASSERT_EQ(tenant.rate_limits.size(), 2U);
  EXPECT_EQ(tenant.rate_limits[0].name, "per_client");
  EXPECT_EQ(tenant.rate_limits[0].rate_count, 10U);
  EXPECT_EQ(tenant.rate_limits[0].burst, 20U);
  EXPECT_EQ(tenant.rate_limits[0].on_store_failure, OnStoreFailure::open);
  EXPECT_TRUE(tenant.rate_limits[0].shadow && tenant.rate_limits[0].headers_always);
  ASSERT_EQ(tenant.rate_limits[1].key.size(), 3U);
  EXPECT_EQ(tenant.rate_limits[1].key[0].kind, LimitKeyKind::header);
  EXPECT_EQ(tenant.rate_limits[1].key[0].name, "x-api-key");
  EXPECT_EQ(tenant.waf.mode, WafMode::detect);
  EXPECT_EQ(tenant.waf.paranoia, 2U);
  EXPECT_EQ(tenant.waf.inbound_threshold, 7U);
  EXPECT_EQ(tenant.waf.outbound_threshold, 8U);
  EXPECT_EQ(tenant.waf.body_limit, 131072U);
  EXPECT_EQ(tenant.waf.over_limit, OverLimit::pass_uninspected);
  EXPECT_TRUE(tenant.waf.inspect_response_body);
  ASSERT_EQ(tenant.waf.exclusions.size(), 2U);
  EXPECT_EQ(tenant.waf.exclusions[0].rule, 942100U);
  EXPECT_EQ(tenant.waf.exclusions[0].target, "ARGS:comment");
  EXPECT_EQ(tenant.waf.exclusions[0].path, "/blog/");
  EXPECT_THAT(tenant.waf.rules_before, StartsWith("SecRule ARGS:x"));
  EXPECT_EQ(tenant.access.allow[0].to_string(), "10.0.0.0/8");
  EXPECT_EQ(tenant.access.deny[0].to_string(), "198.51.100.0/24");
  EXPECT_EQ(tenant.limits.requests_in_flight, 100U);
  EXPECT_EQ(tenant.limits.connections, 200U);
  EXPECT_EQ(tenant.limits.waf_cpu_thousandths, 500U);
}

TEST(Tenant, HasDefaults) {
  const TenantConfig tenant = good_tenant("");
  EXPECT_EQ(tenant.services[0].protocol, UpstreamProtocol::http1);
  EXPECT_EQ(tenant.services[0].balance, Balance::round_robin);
  EXPECT_FALSE(tenant.services[0].health);
  EXPECT_EQ(tenant.services[0].retry.attempts, 2U);
  EXPECT_TRUE(tenant.services[0].retry.on_connect);
  EXPECT_FALSE(tenant.services[0].retry.on_reset || tenant.services[0].retry.on_502 || tenant.services[0].retry.on_503);
  EXPECT_EQ(tenant.waf.mode, WafMode::block);
  EXPECT_EQ(tenant.waf.body_limit, 1048576U);
  EXPECT_TRUE(tenant.access.allow.empty());
}

TEST(Tenant, NeedsItsParts) {
  const LoadedTenant loaded = parse_tenant("waf: {mode: off}\n", "/nonexistent/tenants/shop.yaml", gateway_with());
  EXPECT_THAT(lines_of(loaded.problems),
              ElementsAre(error_at("1:1", "'hosts' is missing"), error_at("1:1", "'routes' is missing"),
                          error_at("1:1", "'services' is missing"), error_at("1:1", "'tenant' is missing")));
  EXPECT_THAT(lines_of(parse_tenant("", "/t/shop.yaml", gateway_with()).problems),
              ElementsAre(error_at("0:0", "the file is empty")));
}

TEST(Tenant, IsCalledByItsNameElseByItsFile) {
  const auto load = [](const std::string& name) {
    return parse_tenant("tenant: " + name + "\n" + std::string(kHosts), "/nonexistent/tenants/file.yaml",
                        gateway_with());
  };
  EXPECT_EQ(load("shop").name, "shop");  // with errors, but the name is read
  EXPECT_EQ(load("shop").stem, "file");
  EXPECT_EQ(load("\"a b\"").name, "file");
  EXPECT_EQ(parse_tenant("a: [", "/t/file.yaml", gateway_with()).name, "file");
  EXPECT_THAT(lines_of(load("-a").problems), ::testing::Contains(error_at("1:9", "begins or ends with '-'")));
  EXPECT_THAT(lines_of(load("Shop").problems), ::testing::Contains(error_at("1:9", "small letters")));
  EXPECT_THAT(lines_of(load(std::string(64, 'a')).problems), ::testing::Contains(error_at("1:9", "at most 63 bytes")));
  EXPECT_EQ(load(std::string(63, 'a')).name, std::string(63, 'a'));
}

TEST(Tenant, RefusesWhatThisVersionLacks) {
  const std::string site = "services: {web: {sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}], ";
  const std::pair<std::string, const char*> cases[] = {
      {"auth: {jwt: {}}", "2:1"},
      {"waf: {verify_sample: 1}", "2:7"},
      {site + "outlier: {}}}", "2:66"},
      {site + "failback: {}}}", "2:66"},
      {site + "circuit_breaker: {}}}", "2:66"},
      {site + "balance: consistent_hash}}", "2:75"},
      {site + "protocol: h2c}}", "2:76"},
      {site + "protocol: h2}}", "2:76"},
      {"services: {web: {sites: [{site: a, dns: \"web:80\"}]}}", "2:36"},
      {"services: {web: {sites: [{site: a, kubernetes: {service: web}}]}}", "2:36"},
      {"rate_limits: {a: {rate: 1/s, mode: leased}}", "2:36"},
      {"rate_limits: {a: {rate: 1/s, key: \"cookie:sid\"}}", "2:35"},
      {"rate_limits: {a: {rate: 1/s, key: [host, \"jwt:sub\"]}}", "2:42"},
  };
  for (const auto& [text, place] : cases) {
    EXPECT_THAT(tenant_problems(text),
                ElementsAre(error_at(place, "is not available: it does not exist in this version of gatehouse; ")))
        << text;
  }
}

TEST(TenantHosts, AreNormalisedAndUnique) {
  EXPECT_EQ(good_tenant("hosts: [{name: Bücher.Example., tls: {self_signed: true}}]").hosts[0].name,
            "xn--bcher-kva.example");
  EXPECT_THAT(tenant_problems("hosts:\n  - {name: a.example, tls: off}\n  - {name: A.example., tls: off}\n"),
              ElementsAre(error_at("4:12", "the host 'a.example' is given twice, first in line 3")));
  EXPECT_THAT(tenant_problems("hosts: []"), ElementsAre(error_at("2:8", "must not be empty")));
  EXPECT_THAT(tenant_problems("hosts: [{tls: off}]"), ElementsAre(error_at("2:9", "'name' is missing")));
  EXPECT_THAT(tenant_problems("hosts: [a.example]"), ElementsAre(error_at("2:9", "a mapping")));
  EXPECT_THAT(tenant_problems("hosts: [{name: \"*.de\", tls: off}]"),
              ElementsAre(error_at("2:16", "'*.de' is not a host name: it is a wildcard before a single label")));
  EXPECT_THAT(tenant_problems("hosts: [{name: \"a.example:443\", tls: off}]"),
              ElementsAre(error_at("2:16", "has a port")));
  EXPECT_THAT(tenant_problems("hosts: [{name: \"a\\u0000b\", tls: off}]"),
              ElementsAre(error_at("2:16", "control character '\\x00'")));
  EXPECT_EQ(
      good_tenant("hosts: [{name: \"*\", tls: off}, {name: \"*.a.example\", tls: off}, {name: x.a.example, tls: off}]")
          .hosts.size(),
      3U);
}

TEST(TenantHosts, KnowWhichCertificate) {
  const auto tls = [](const std::string& value) {
    return tenant_problems("hosts: [{name: a.example, tls: " + value + "}]");
  };
  EXPECT_THAT(tls("off"), IsEmpty());
  EXPECT_THAT(tls("false"), IsEmpty());
  EXPECT_THAT(tls("no"), ElementsAre(error_at("2:32", "'no' is not known here; write off, ")));
  EXPECT_THAT(tls("true"), ElementsAre(error_at("2:32", "'true' is not known here")));
  EXPECT_THAT(tls("[off]"), ElementsAre(error_at("2:32", "a mapping")));
  EXPECT_THAT(tls("{self_signed: true}"), IsEmpty());
  EXPECT_THAT(tls("{self_signed: yes}"), ElementsAre(error_at("2:46", "'yes' is neither true nor false; write true")));
}

TEST(TenantHosts, WarnOfASelfSignedCertificateThatNobodyAskedFor) {
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example}]"), ElementsAre(warning_at("2:16", "self_signed: true")));
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example, tls: {min_version: \"1.3\"}}]"),
              ElementsAre(warning_at("2:32", "self_signed: true")));
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example, tls: {self_signed: false}}]"),
              ElementsAre(error_at("2:46", "needs certificate_file and key_file")));
}

TEST(TenantHosts, ReadCertificatesAndClientCertificates) {
  TemporaryFolder folder;
  folder.write("cert.pem", "x");
  folder.write("key.pem", "x");
  const GatewayConfig gateway = gateway_with("policy: {files: [" + folder.path() + "]}");
  const std::string cert = folder.path() + "cert.pem";
  const std::string key = folder.path() + "key.pem";
  const auto host = [&](const std::string& tls) {
    return tenant_of("hosts: [{name: a.example, tls: {" + tls + "}}]", gateway);
  };
  const LoadedTenant good = host("certificate_file: " + cert + ", key_file: " + key + ", client_ca_file: " + cert);
  ASSERT_TRUE(good.config) << good.problems[0].to_string();
  EXPECT_EQ(good.config->hosts[0].tls, HostTls::files);
  EXPECT_EQ(good.config->hosts[0].certificate_file, cert);
  EXPECT_EQ(good.config->hosts[0].key_file, key);
  EXPECT_EQ(good.config->hosts[0].client_auth, ClientAuth::required);  // a CA is named for a purpose
  EXPECT_EQ(host("self_signed: true, client_ca_file: " + cert + ", client_auth: optional").config->hosts[0].client_auth,
            ClientAuth::optional);
  EXPECT_EQ(host("self_signed: true, client_ca_file: " + cert + ", client_auth: false").config->hosts[0].client_auth,
            ClientAuth::off);
  EXPECT_EQ(good.config->hosts[0].hsts, std::chrono::hours(8760));
  EXPECT_EQ(host("self_signed: true, hsts: 1h").config->hosts[0].hsts, std::chrono::hours(1));
  EXPECT_EQ(host("self_signed: true, hsts: 0s").config->hosts[0].hsts, std::chrono::hours(0));
  EXPECT_EQ(host("self_signed: true, hsts: off").config->hosts[0].hsts, std::nullopt);
  EXPECT_THAT(lines_of(host("self_signed: true, hsts: 20000h").problems), ElementsAre(error_at("2:58", "17520h")));
  EXPECT_THAT(lines_of(host("certificate_file: " + cert).problems),
              ElementsAre(error_at("2:51", "'key_file' is missing")));
  EXPECT_THAT(lines_of(host("key_file: " + key).problems),
              ElementsAre(error_at("2:43", "'certificate_file' is missing")));
  EXPECT_THAT(lines_of(host("self_signed: true, certificate_file: " + cert + ", key_file: " + key).problems),
              ElementsAre(error_at("2:46", "exclude each other")));
  EXPECT_THAT(lines_of(host("self_signed: true, client_auth: required").problems),
              ElementsAre(error_at("2:65", "needs client_ca_file")));
  EXPECT_THAT(lines_of(host("self_signed: true, min_version: 1.1").problems),
              ElementsAre(error_at("2:65", "is not known here")));
  EXPECT_THAT(lines_of(host("certificate_file: " + folder.path() + "none.pem, key_file: " + key).problems),
              ElementsAre(error_at("2:51", "cannot find")));
}

TEST(TenantHosts, WarnWhenNoListenerServesThem) {
  const GatewayConfig http = gateway_with("listeners: [{address: \"[::]:80\", protocol: http}]");
  const GatewayConfig https = gateway_with("listeners: [{address: \"[::]:443\", protocol: https}]");
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example, tls: {self_signed: true}}]", http),
              ElementsAre(warning_at("2:32", "no listener with protocol: https")));
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example, tls: off}]", https),
              ElementsAre(warning_at("2:32", "no listener with protocol: http")));
  EXPECT_THAT(tenant_problems("hosts: [{name: a.example, tls: off}]", http), IsEmpty());
}

TEST(TenantServices, NeedNamesAndSites) {
  EXPECT_THAT(tenant_problems("services: {}"), ::testing::Contains(error_at("2:11", "at least one must be given")));
  EXPECT_THAT(tenant_problems("services: [web]"),
              ElementsAre(error_at("2:11", "a mapping from names to settings is expected here, not a list"),
                          error_at("4:38", "there is no service 'web'")));
  EXPECT_THAT(tenant_problems("services: {\"a b\": {sites: []}}"),
              ::testing::IsSupersetOf(
                  {error_at("2:12", "'a b' is not a service's name"), error_at("2:27", "must not be empty")}));
  EXPECT_THAT(tenant_problems("services: {web: {}}"), ElementsAre(error_at("2:17", "'sites' is missing")));
  EXPECT_THAT(tenant_problems("services: {web: }"), ElementsAre(error_at("2:12", "not nothing")));
  EXPECT_THAT(tenant_problems("services: {web: {sites: [{endpoints: [\"10.0.0.1:80\"]}]}}"),
              ElementsAre(error_at("2:26", "'site' is missing")));
  EXPECT_THAT(tenant_problems("services: {web: {sites: [{site: a}]}}"),
              ElementsAre(error_at("2:26", "'endpoints' is missing")));
  EXPECT_THAT(tenant_problems("services: {web: {sites: [{site: a, endpoints: []}]}}"),
              ElementsAre(error_at("2:47", "must not be empty")));
}

TEST(TenantServices, RefuseDuplicates) {
  EXPECT_THAT(tenant_problems("services: {web: {health: {}, sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}, {site: a, "
                              "endpoints: [\"10.0.0.2:80\"]}]}}"),
              ElementsAre(error_at("2:77", "the site 'a' is given twice")));
  EXPECT_THAT(tenant_problems("services: {web: {sites: [{site: a, endpoints: [\"10.0.0.1:80\", \"10.0.0.1:80\"]}]}}"),
              ElementsAre(error_at("2:63", "is given twice")));
}

TEST(TenantServices, TakeAddressesAsEndpoints) {
  const auto endpoint = [](const std::string& text, const GatewayConfig& gateway = gateway_with()) {
    return tenant_problems("services: {web: {sites: [{site: a, endpoints: [\"" + text + "\"]}]}}", gateway);
  };
  EXPECT_THAT(endpoint("10.0.0.1:80"), IsEmpty());
  EXPECT_THAT(endpoint("127.0.0.1:9001"), IsEmpty());
  EXPECT_THAT(endpoint("[2001:db8::1]:80"), IsEmpty());
  EXPECT_THAT(endpoint("web.shop.svc:80"),
              ElementsAre(error_at("2:48", "names are not taken, since 'dns' does not exist in this version")));
  EXPECT_THAT(endpoint("10.0.0.1"), ElementsAre(error_at("2:48", "is not an address with a port")));
  EXPECT_THAT(endpoint("http://10.0.0.1:80"), ElementsAre(error_at("2:48", "is not an address with a port")));
}

TEST(Tenant, TellsItsProblemsAlongWithASecondDocument) {
  const LoadedTenant loaded = parse_tenant(tenant_with("waf: {paranoia: 9}\n") + "---\nfoo: 1\n",
                                           "/nonexistent/tenants/file.yaml", gateway_with());
  EXPECT_FALSE(loaded.config);
  EXPECT_EQ(loaded.name, "shop");
  EXPECT_THAT(lines_of(loaded.problems),
              ElementsAre(error_at("2:17", "out of range: 1 to 4"), error_at("6:1", "a second document begins here")));
}

TEST(TenantLimits, WarnWhereTheyCountOnThisNodeAlone) {
  const auto problems = [](const std::string& gateway) {
    return tenant_problems(
        "rate_limits: {a: {rate: 1/s}}\nroutes: [{match: {path: /}, service: web, rate_limits: [a]}]",
        parse_gateway(gateway, "/nonexistent/gateway.yaml").as_read);
  };
  for (const char* gateway : {"", "site: saar1\n", "nonsense: 1\n", "site: saar1\nsite: saar2\n"})
    EXPECT_THAT(problems(gateway), ElementsAre(warning_at("2:15", "without 'redis' in gateway.yaml"))) << gateway;
  EXPECT_THAT(problems("redis: {url: \"redis://h\"}\n"), IsEmpty());
}

TEST(TenantLimits, DoNotWarnWhereRedisIsThereButWrong) {
  for (const char* gateway :
       {"redis: {url: \"http://h\"}\n", "redis: {url: \"redis://:hunter2@h\"}\n", "redis: {}\n", "redis:\n", "redis\n",
        "site: saar1\nredis\n", "redis: redis://h\n", "redis: {url: \"redis://h\", sentinel: {}}\n",
        "redis: &x {url: \"redis://h\"}\n", "site: saar1\n---\nredis: {url: \"redis://h\"}\n",
        "redis: {url: \"redis://h\"}\n---\nsite: saar1\n", "site: [\nredis: {url: \"redis://h\"}\n",
        "site: \x01\nredis: {url: \"redis://h\"}\n"}) {
    const LoadedGateway loaded = parse_gateway(gateway, "/nonexistent/gateway.yaml");
    EXPECT_FALSE(loaded.config) << gateway;
    EXPECT_THAT(
        tenant_problems("rate_limits: {a: {rate: 1/s}}\nroutes: [{match: {path: /}, service: web, rate_limits: [a]}]",
                        loaded.as_read),
        IsEmpty())
        << gateway;
  }
}

TEST(TenantServices, BoundWhatIsSharedByAll) {
  const auto services = [](int count, int endpoints, const std::string& health) {
    std::string out = "services:\n  web: {sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}\n";
    for (int i = 0; i < count; ++i) {
      out += fmt::format("  s{}: {{{}sites: [{{site: a, endpoints: [", i, health);
      for (int k = 0; k < endpoints; ++k)
        out += fmt::format("{}\"10.1.{}.{}:80\"", k > 0 ? ", " : "", k / 250, k % 250);
      out += "]}]}\n";
    }
    Problems errors = tenant_of(out).problems;
    std::erase_if(errors, [](const Problem& problem) { return problem.severity != Severity::error; });
    return lines_of(errors);
  };
  EXPECT_THAT(services(5, 999, ""), IsEmpty());
  EXPECT_THAT(services(6, 1000, ""), ElementsAre(error_at("3:3", "at most 5000 endpoints, this one 6001")));
  EXPECT_THAT(services(1, 1000, "health: {interval: 2s}, "), IsEmpty());
  EXPECT_THAT(services(2, 501, "health: {interval: 1h}, "),
              ElementsAre(error_at("3:3", "at most 1000 endpoints with health checks, this one 1002")));
  EXPECT_THAT(services(1, 5, "health: {interval: 10ms}, "), IsEmpty());
  EXPECT_THAT(services(1, 6, "health: {interval: 10ms}, "),
              ElementsAre(error_at("3:3", "at most 30000 health checks a minute, this one 36000")));
}

TEST(TenantServices, RefuseForbiddenEndpoints) {
  const auto endpoint = [](const std::string& text, const std::string& gateway = "redis: {url: \"redis://h\"}") {
    return tenant_problems("services: {web: {sites: [{site: a, endpoints: [\"" + text + "\"]}]}}",
                           gateway_with(gateway));
  };
  for (const char* text : {"169.254.169.254:80", "169.254.0.1:1", "[fe80::1]:80", "[febf::1]:80",
                           "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80"}) {
    EXPECT_THAT(endpoint(text), ElementsAre(error_at("2:48", "link-local"))) << text;
  }
  for (const char* text : {"[fd00:ec2::254]:80", "100.100.100.200:80", "[::ffff:100.100.100.200]:80",
                           "[64:ff9b::6464:64c8]:80", "[2002:6464:64c8::1]:80"}) {
    EXPECT_THAT(endpoint(text), ElementsAre(error_at("2:48", "metadata service"))) << text;
  }
  for (const char* text : {"[fd00:ec2::253]:80", "100.100.100.201:80", "[2002:a00:1::1]:80"})
    EXPECT_THAT(endpoint(text), IsEmpty()) << text;
  for (const char* text : {"0.0.0.0:80", "[::]:80", "0.1.2.3:80", "224.0.0.1:80", "239.1.1.1:80", "[ff02::1]:80",
                           "255.255.255.255:80", "[::a00:1]:80", "10.0.0.1:0"}) {
    EXPECT_THAT(endpoint(text), ElementsAre(error_at("2:48", "cannot be an endpoint: it"))) << text;
  }
  for (const char* text : {"127.0.0.1:8443", "127.9.9.9:8080", "[::1]:8443", "[::ffff:127.0.0.1]:8080"})
    EXPECT_THAT(endpoint(text), ElementsAre(error_at("2:48", "own listener"))) << text;
  EXPECT_THAT(endpoint("127.0.0.1:9901"), ElementsAre(error_at("2:48", "own admin address")));
  EXPECT_THAT(endpoint("127.0.0.1:9902", "metrics: {address: \"[::]:9902\"}"),
              ElementsAre(error_at("2:48", "own metrics address")));
  const std::string one = "listeners: [{address: \"10.0.0.1:443\", protocol: https}]";
  EXPECT_THAT(endpoint("10.0.0.1:443", one), ElementsAre(error_at("2:48", "own listener")));
  EXPECT_THAT(endpoint("127.0.0.1:443", one), IsEmpty());  // a loopback address is not bound by a listener elsewhere
  EXPECT_THAT(endpoint("10.0.0.2:443", one), IsEmpty());
  EXPECT_THAT(endpoint("10.0.0.1:444", one), IsEmpty());
  const std::string local = "listeners: [{address: \"127.0.0.1:8443\", protocol: https}]";
  EXPECT_THAT(endpoint("127.0.0.2:8443", local), ElementsAre(error_at("2:48", "own listener")));
  EXPECT_THAT(endpoint("198.51.100.7:8443", local), IsEmpty());
  for (const char* host : {"127.0.0.1", "127.0.0.2", "localhost", "LocalHost.", "[::1]"}) {
    const std::string redis = "redis: {url: \"redis://" + std::string(host) + ":6380\"}";
    for (const char* text : {"127.0.0.1:6380", "127.9.9.9:6380", "[::1]:6380", "[::ffff:127.0.0.1]:6380"})
      EXPECT_THAT(endpoint(text, redis), ElementsAre(error_at("2:48", "own Redis"))) << text << " " << host;
    EXPECT_THAT(endpoint("127.0.0.1:6381", redis), IsEmpty());
    EXPECT_THAT(endpoint("198.51.100.7:6380", redis), IsEmpty());
  }
  EXPECT_THAT(endpoint("198.51.100.7:6380", "redis: {url: \"redis://198.51.100.7:6380\"}"),
              ElementsAre(error_at("2:48", "own Redis")));
}

/// From now on this thread can open no netlink socket, as under systemd's RestrictAddressFamilies without AF_NETLINK.
bool forbid_netlink() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(TenantServices, RefuseEndpointsThatMayBeTheGatewaysOwnWhereTheMachinesAddressesAreNotTold) {
  bool forbidden = false;
  std::map<std::string, std::vector<std::string>> problems;
  const auto judge = [&](const char* endpoint, const char* gateway) {
    problems[endpoint] = tenant_problems(
        "services: {web: {sites: [{site: a, endpoints: [\"" + std::string(endpoint) + "\"]}]}}", gateway_with(gateway));
  };
  // The filter is the thread's own and ends with it.
  std::thread([&] {
    forbidden = forbid_netlink();
    if (!forbidden) return;
    for (const char* endpoint : {"198.51.100.7:8080", "198.51.100.7:9902", "198.51.100.7:9901", "127.0.0.1:8443"})
      judge(endpoint, "{metrics: {address: \"[::]:9902\"}, redis: {url: \"redis://h\"}}");
    judge("198.51.100.7:6380", "redis: {url: \"redis://127.0.0.1:6380\"}");
    judge("198.51.100.7:6381", "redis: {url: \"redis://198.51.100.8:6381\"}");
    judge("198.51.100.7:6382", "redis: {url: \"redis://198.51.100.8:6381\"}");
    judge("198.51.100.7:443",
          "{listeners: [{address: \"10.0.0.1:443\", protocol: https}], redis: {url: \"redis://h\"}}");
  }).join();
  if (!forbidden) GTEST_SKIP() << "no seccomp here";
  for (const char* endpoint : {"198.51.100.7:8080", "198.51.100.7:9902", "198.51.100.7:6380", "198.51.100.7:6381"})
    EXPECT_THAT(problems[endpoint], ElementsAre(error_at("2:48", "must have AF_NETLINK"))) << endpoint;
  EXPECT_THAT(problems["127.0.0.1:8443"], ElementsAre(error_at("2:48", "is the gateway's own listener")));
  // Another's port, or one that the gateway has on one address alone.
  for (const char* endpoint : {"198.51.100.7:9901", "198.51.100.7:6382", "198.51.100.7:443"})
    EXPECT_THAT(problems[endpoint], IsEmpty()) << endpoint;
}

TEST(TenantServices, KnowProtocolBalanceAndTls) {
  const std::string sites = "sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]";
  const auto service = [&](const std::string& keys) {
    return tenant_problems("services: {web: {" + keys + ", " + sites + "}}");
  };
  EXPECT_EQ(good_tenant("services: {web: {protocol: https, tls: {server_name: Web.Example}, " + sites + "}}")
                .services[0]
                .tls.server_name,
            "web.example");
  EXPECT_THAT(service("protocol: grpc"), ElementsAre(error_at("2:28", "known are 'http1', 'https'")));
  EXPECT_THAT(service("balance: random"), ElementsAre(error_at("2:27", "is not known here")));
  EXPECT_THAT(service("tls: {server_name: a}"), ElementsAre(error_at("2:23", "'tls' needs protocol: https")));
  EXPECT_THAT(service("protocol: https, tls: {server_name: \"*.example.de\"}"),
              ElementsAre(error_at("2:54", "asterisk")));
  EXPECT_THAT(service("protocol: https, tls: {verify: false}"),
              ElementsAre(error_at("2:41", "'verify' is not a key here")));
}

TEST(TenantServices, CheckHealth) {
  const auto health = [](const std::string& keys) {
    return tenant_problems("services: {web: {health: {" + keys +
                           "}, sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}}");
  };
  EXPECT_THAT(health(""), IsEmpty());
  EXPECT_THAT(health("path: healthz"), ElementsAre(error_at("2:33", "does not begin with '/'")));
  EXPECT_THAT(health("path: \"/a b\""), ElementsAre(error_at("2:33", "percent-encoded")));
  EXPECT_THAT(health("interval: 1ms"), ElementsAre(error_at("2:37", "out of range: 10ms to 1h")));
  EXPECT_THAT(health("unhealthy_after: 0"), ElementsAre(error_at("2:44", "out of range: 1 to 100")));
  EXPECT_THAT(health("interval: 1s, timeout: 2s"),
              ElementsAre(warning_at("2:50", "longer (2s) than the interval between two (1s)")));
  const auto timeout = [](const std::string& interval) {
    return good_tenant("services: {web: {health: {interval: " + interval +
                       "}, sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}}")
        .services[0]
        .health->timeout;
  };
  EXPECT_EQ(timeout("200ms"), 200ms);
  EXPECT_EQ(timeout("10s"), 1s);
}

TEST(TenantServices, WarnOfSeveralSitesWithoutHealth) {
  const std::string sites = "sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}, {site: b, endpoints: [\"10.0.0.2:80\"]}]";
  EXPECT_THAT(tenant_problems("services: {web: {" + sites + "}}"), ElementsAre(warning_at("2:25", "no 'health'")));
  EXPECT_THAT(tenant_problems("services: {web: {health: {}, " + sites + "}}"), IsEmpty());
}

TEST(TenantServices, CheckRetry) {
  const auto retry = [](const std::string& keys) {
    return tenant_of("services: {web: {retry: {" + keys + "}, sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}}");
  };
  EXPECT_FALSE(retry("retry_on: [reset]").config->services[0].retry.on_connect);
  EXPECT_FALSE(retry("retry_on: []").config->services[0].retry.on_connect);
  EXPECT_THAT(lines_of(retry("attempts: 0").problems), ElementsAre(error_at("2:36", "out of range: 1 to 10")));
  EXPECT_THAT(lines_of(retry("retry_on: [504]").problems),
              ElementsAre(error_at("2:37", "'504' is not known here; did you mean '50")));
  EXPECT_THAT(lines_of(retry("retry_on: connect").problems), ElementsAre(error_at("2:36", "write [connect]")));
}

TEST(TenantAccess, ChecksNetworks) {
  EXPECT_THAT(tenant_problems("access: {deny: [198.51.100.7/24]}"),
              ElementsAre(error_at("2:17", "write 198.51.100.0/24")));
  EXPECT_THAT(tenant_problems("access: {permit: []}"), ElementsAre(error_at("2:10", "known are 'allow', 'deny'")));
}

TEST(TenantLimits, ChecksNumbers) {
  EXPECT_THAT(tenant_problems("limits: {connections: -1}"), ElementsAre(error_at("2:23", "has a sign")));
  EXPECT_THAT(tenant_problems("limits: {requests_in_flight: 1.5}"),
              ElementsAre(error_at("2:30", "is not a whole number")));
  EXPECT_THAT(tenant_problems("limits: {}"), IsEmpty());
}

TEST(TenantLimits, ReadsSharesOfAProcessor) {
  for (const char* good : {"0", "1", "2", "0.5", "0.25", "1.125", "5%", "250%", "\"750m\"", "1m"})
    EXPECT_THAT(tenant_problems(std::string("limits: {waf_cpu: ") + good + "}"), IsEmpty()) << good;
  for (const char* bad : {"50 %", "0.5%", "1.0001", ".5", "1.", "5x", "'%'", "m", "1.5m", "50%%", "-1", "1e3", "auto"})
    EXPECT_THAT(tenant_problems(std::string("limits: {waf_cpu: ") + bad + "}"),
                ElementsAre(error_at("2:19", "share of a processor")))
        << bad;
  EXPECT_THAT(tenant_problems("limits: {waf_cpu: 100000}"), ElementsAre(error_at("2:19", "256000m")));
}

}  // namespace
}  // namespace gatehouse::config::test
