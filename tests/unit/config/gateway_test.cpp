// gateway.yaml: every key, what it becomes and what is refused.
#include <sys/resource.h>

#include <chrono>

#include "support.hpp"

namespace gatehouse::config::test {
namespace {

using namespace std::chrono_literals;

TEST(Gateway, HasADefaultForEveryKey) {
  const GatewayConfig config = good_gateway("");
  EXPECT_EQ(config.file, "/nonexistent/gateway.yaml");
  EXPECT_EQ(config.site, "default");
  EXPECT_EQ(config.workers, 0U);
  ASSERT_EQ(config.listeners.size(), 2U);
  EXPECT_EQ(config.listeners[0].address.to_string(), "[::]:8080");
  EXPECT_EQ(config.listeners[0].protocol, ListenerProtocol::http);
  EXPECT_EQ(config.listeners[0].redirect_port, 443);
  EXPECT_EQ(config.listeners[1].address.to_string(), "[::]:8443");
  EXPECT_EQ(config.listeners[1].protocol, ListenerProtocol::https);
  EXPECT_EQ(config.admin->to_string(), "127.0.0.1:9901");
  EXPECT_FALSE(config.metrics);
  EXPECT_EQ(config.tenants_directory, "/nonexistent/tenants/");
  EXPECT_FALSE(config.redis);
  EXPECT_EQ(config.storage.directory, "/var/lib/gatehouse");
  EXPECT_EQ(config.waf.rules.size(), 2U);
  EXPECT_EQ(config.limits.connections, 0U);
  EXPECT_EQ(config.access_log.path, "-");
  EXPECT_EQ(config.audit_log.path, "/var/log/gatehouse/audit.log");
}

TEST(Gateway, KnowsWhereTheRuleFilesAreNamed) {
  const GatewayConfig named = good_gateway("waf:\n  rules:\n    - a.conf\n    - \"/b/*.conf\"\n");
  ASSERT_EQ(named.waf.rules_places.size(), 2U);
  EXPECT_EQ(named.waf.rules_places[1].file, "/nonexistent/gateway.yaml");
  EXPECT_EQ(named.waf.rules_places[1].line, 4);
  EXPECT_EQ(named.waf.rules_places[1].column, 7);
  ASSERT_TRUE(named.text);
  EXPECT_THAT(*named.text, HasSubstr("/b/*.conf"));

  const GatewayConfig standard = good_gateway("");
  ASSERT_EQ(standard.waf.rules_places.size(), standard.waf.rules.size());
  EXPECT_EQ(standard.waf.rules_places[0].file, "/nonexistent/gateway.yaml");
  EXPECT_EQ(standard.waf.rules_places[0].line, 0);
}

TEST(Gateway, TellsItsProblemsAlongWithASecondDocument) {
  EXPECT_THAT(gateway_problems("workers: none\nnonsense: 1\n---\nworkers: 0\n"),
              ElementsAre(error_at("1:10", "is expected here"), error_at("2:1", "'nonsense' is not a key here"),
                          error_at("3:1", "a second document begins here")));
}

TEST(Gateway, ReadsTheWholeExample) {
  const GatewayConfig config = good_gateway(R"(
site: saar1
workers: 4
listeners:
  - {address: "127.0.0.1:80", protocol: http, redirect_port: 8443}
  - {address: "[::1]:443", protocol: https, proxy_protocol: required}
admin: {address: "127.0.0.1:9000"}
metrics: {address: "[::]:9002"}
tenants: /etc/tenants
trusted_proxies: [10.0.0.0/8, "2001:db8::/32", 192.0.2.1]
redis: {url: "redis://cache.example:6380/3"}
storage: {file: state}
waf:
  rules: [rules/*.conf, /usr/share/crs/*.conf]
  on_error: pass
  time_budget: 100ms
limits: {target_bytes: 8KiB, underscores: allow, escaped_slashes: refuse, path_parameters: refuse, min_rate: 1KiB/s, buffered_bytes: 64MiB, header_bytes: 32KiB, header_count: 50, body_bytes: 1MiB, connections: 100, connections_per_client: 0, h2_streams: 250}
timeouts: {tls_handshake: 1s, request_header: 2s, request_body_idle: 3s, idle: 4s, upstream_connect: 5s, response: 6s, tunnel_idle: 2h, shutdown_delay: 0s, shutdown: 7s}
policy: {tenant_rules: trusted}
access_log: {path: logs/access.log, client_ip: full}
audit_log: {path: "-", mask: [iban2, X-Pin]}
)");
  EXPECT_EQ(config.site, "saar1");
  EXPECT_EQ(config.workers, 4U);
  ASSERT_EQ(config.listeners.size(), 2U);
  EXPECT_EQ(config.listeners[0].redirect_port, 8443);
  EXPECT_TRUE(config.listeners[1].proxy_protocol_required);
  EXPECT_EQ(config.admin->port, 9000);
  EXPECT_EQ(config.metrics->to_string(), "[::]:9002");
  EXPECT_EQ(config.tenants_directory, "/etc/tenants/");
  ASSERT_EQ(config.trusted_proxies.size(), 3U);
  EXPECT_EQ(config.trusted_proxies[2].to_string(), "192.0.2.1/32");
  ASSERT_TRUE(config.redis);
  EXPECT_EQ(config.redis->host, "cache.example");
  EXPECT_EQ(config.redis->port, 6380);
  EXPECT_EQ(config.redis->database, 3);
  EXPECT_FALSE(config.redis->tls);
  EXPECT_EQ(config.storage.directory, "/nonexistent/state");
  EXPECT_THAT(config.waf.rules, ElementsAre("/nonexistent/rules/*.conf", "/usr/share/crs/*.conf"));
  EXPECT_EQ(config.waf.on_error, OnError::pass);
  EXPECT_EQ(config.waf.time_budget, 100ms);
  EXPECT_EQ(config.limits.target_bytes, 8192U);
  EXPECT_TRUE(config.limits.underscores_allowed);
  EXPECT_TRUE(config.limits.escaped_slashes_refused);
  EXPECT_TRUE(config.limits.path_parameters_refused);
  EXPECT_EQ(config.limits.min_rate_bytes_per_second, 1024U);
  EXPECT_EQ(config.limits.buffered_bytes, 64U << 20);
  EXPECT_EQ(config.limits.header_bytes, 32768U);
  EXPECT_EQ(config.limits.header_count, 50U);
  EXPECT_EQ(config.limits.body_bytes, 1048576U);
  EXPECT_EQ(config.limits.connections, 100U);
  EXPECT_EQ(config.limits.connections_per_client, 0U);
  EXPECT_EQ(config.limits.h2_streams, 250U);
  EXPECT_EQ(config.timeouts.tls_handshake, 1s);
  EXPECT_EQ(config.timeouts.request_header, 2s);
  EXPECT_EQ(config.timeouts.request_body_idle, 3s);
  EXPECT_EQ(config.timeouts.idle, 4s);
  EXPECT_EQ(config.timeouts.upstream_connect, 5s);
  EXPECT_EQ(config.timeouts.response, 6s);
  EXPECT_EQ(config.timeouts.tunnel_idle, 2h);
  EXPECT_EQ(config.timeouts.shutdown_delay, 0s);
  EXPECT_EQ(config.timeouts.shutdown, 7s);
  EXPECT_EQ(config.policy.tenant_rules, TenantRules::trusted);
  EXPECT_EQ(config.access_log.path, "/nonexistent/logs/access.log");
  EXPECT_EQ(config.access_log.client_ip, ClientIpDetail::full);
  EXPECT_EQ(config.audit_log.path, "-");
}

TEST(Gateway, ReportsAllProblemsAtOnceInOrder) {
  EXPECT_THAT(gateway_problems("timeouts: {idle: 10}\nsiet: a\nworkers: 0\nlimits: {body_bytes: 5MB}\n"),
              ElementsAre(error_at("1:18", "'10' has no unit"),
                          error_at("2:1", "'siet' is not a key here; did you mean 'site'?"),
                          error_at("3:10", "'0' is out of range: 1 to 256"), error_at("4:22", "write 5MiB")));
}

TEST(Gateway, NamesTheFileAndShowsTheLine) {
  const LoadedGateway loaded = parse_gateway("site: [a]\n", "conf/gateway.yaml");
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_EQ(loaded.problems[0].to_string(),
            "conf/gateway.yaml:1:7: error: a site's name is expected here, not a list\n  site: [a]\n        ^");
}

TEST(Gateway, ListsTheKnownKeysWhenNoneIsNear) {
  EXPECT_THAT(gateway_problems("storage: {bucket: x}\n"),
              ElementsAre(error_at("1:11", "'bucket' is not a key here; known are 'file', 'redis'")));
  EXPECT_THAT(gateway_problems("zzz: 1\n"),
              ElementsAre(AllOf(HasSubstr("known are 'site', 'workers', 'listeners'"), HasSubstr("'audit_log'"))));
}

TEST(Gateway, RefusesWhatIsNoMapping) {
  EXPECT_THAT(gateway_problems("[a]\n"),
              ElementsAre(error_at("1:1", "a mapping {key: value, ...} is expected here, not a list")));
  EXPECT_THAT(gateway_problems("site\n"), ElementsAre(error_at("1:1", "not text")));
  EXPECT_THAT(gateway_problems("limits: [a]\n"), ElementsAre(error_at("1:9", "a mapping")));
  EXPECT_THAT(gateway_problems("limits: 5\n"), ElementsAre(error_at("1:9", "a mapping")));
}

TEST(Gateway, RefusesKeysWithoutAValue) {
  EXPECT_THAT(gateway_problems("site:\nlimits:\n"),
              ElementsAre(error_at("1:1", "'site' has no value"), error_at("2:1", "'limits' has no value")));
  EXPECT_THAT(gateway_problems("trusted_proxies: ~\n"),
              ElementsAre(error_at("1:18", "'trusted_proxies' has no value")));
}

TEST(Gateway, RefusesSyntaxErrorsAsOne) {
  EXPECT_THAT(gateway_problems("site: a\nlimits: {idle: 1\n"), ElementsAre(HasSubstr("this is not YAML")));
}

TEST(GatewaySite, IsAPlainName) {
  EXPECT_EQ(good_gateway("site: fra-1.b_2").site, "fra-1.b_2");
  EXPECT_EQ(good_gateway("site: \"42\"").site, "42");
  EXPECT_EQ(good_gateway("site: no").site, "no");  // text stays text
  EXPECT_EQ(good_gateway("site: 1.2.3").site, "1.2.3");
  EXPECT_EQ(good_gateway("site: 1e").site, "1e");
  for (const std::string number : {"42", "1.5", "1e3", "0x1F", "0o17", "007", "-.5", "+1.", ".inf"})
    EXPECT_THAT(gateway_problems("site: " + number),
                ElementsAre(error_at("1:7", "is a number in YAML: write \"" + number + "\"")))
        << number;
  EXPECT_THAT(gateway_problems("site: true"), ElementsAre(error_at("1:7", "'true' is a boolean in YAML")));
  EXPECT_THAT(gateway_problems("site: \"\""), ElementsAre(error_at("1:7", "it is empty")));
  EXPECT_THAT(gateway_problems("site: a b"), ElementsAre(error_at("1:7", "characters other than")));
  EXPECT_THAT(gateway_problems("site: -a"), ElementsAre(error_at("1:7", "does not begin with")));
  EXPECT_THAT(gateway_problems("site: \"a\\nb\""), ElementsAre(error_at("1:7", "control character '\\n'")));
  EXPECT_THAT(gateway_problems("site: " + std::string(64, 'a')),
              ElementsAre(error_at("1:7", "at most 63 bytes, this one has 64")));
}

TEST(GatewayWorkers, IsAutoOrANumber) {
  EXPECT_EQ(good_gateway("workers: auto").workers, 0U);
  EXPECT_EQ(good_gateway("workers: 256").workers, 256U);
  EXPECT_THAT(gateway_problems("workers: 257"), ElementsAre(error_at("1:10", "out of range")));
  EXPECT_THAT(gateway_problems("workers: many"), ElementsAre(error_at("1:10", "auto or a whole number from 1 to 256")));
  EXPECT_THAT(gateway_problems("workers: 010"), ElementsAre(error_at("1:10", "auto or a whole number")));
  EXPECT_THAT(gateway_problems("workers: \"2\""), ElementsAre(error_at("1:10", "without quotes")));
  EXPECT_THAT(gateway_problems("workers: [2]"), ElementsAre(error_at("1:10", "auto or a whole number")));
}

TEST(GatewayListeners, NeedAddressAndProtocol) {
  EXPECT_THAT(gateway_problems("listeners:\n  - {protocol: http}\n  - {address: \"[::]:1\"}\n"),
              ElementsAre(error_at("2:5", "'address' is missing"), error_at("3:5", "'protocol' is missing")));
  EXPECT_THAT(gateway_problems("listeners: []"), ElementsAre(error_at("1:12", "must not be empty")));
  EXPECT_THAT(gateway_problems("listeners: {address: \"[::]:1\", protocol: http}"),
              ElementsAre(error_at("1:12", "a list is expected here, not a mapping")));
  EXPECT_THAT(gateway_problems("listeners: [8080]"), ElementsAre(error_at("1:13", "a mapping")));
}

TEST(GatewayListeners, TakeAddressesAlone) {
  for (const char* address : {"localhost:80", ":80", "0.0.0.0", "[::]", "*:80", "80", "127.0.0.1:080"}) {
    EXPECT_THAT(gateway_problems(std::string("listeners: [{address: \"") + address + "\", protocol: http}]"),
                ElementsAre(error_at("1:23", "is not an address with a port")))
        << address;
  }
  EXPECT_THAT(gateway_problems("listeners: [{address: \"[::1]:0\", protocol: http}]"),
              ElementsAre(warning_at("1:23", "port 0")));
}

TEST(GatewayListeners, KnowTheirProtocols) {
  EXPECT_THAT(gateway_problems("listeners: [{address: \"[::]:1\", protocol: htps}]"),
              ElementsAre(error_at("1:43", "'htps' is not known here; did you mean 'https'?")));
  EXPECT_THAT(gateway_problems("listeners: [{address: \"[::]:1\", protocol: tcp}]"),
              ElementsAre(error_at("1:43", "known are 'http', 'https'")));
}

TEST(GatewayListeners, MustNotShareAnAddress) {
  EXPECT_THAT(gateway_problems("listeners:\n  - {address: \"127.0.0.1:80\", protocol: http}\n  - {address: "
                               "\"127.0.0.1:80\", protocol: https}\n"),
              ElementsAre(error_at("3:5", "is taken by the listener 127.0.0.1:80")));
  EXPECT_THAT(
      gateway_problems(
          "listeners:\n  - {address: \"[::]:80\", protocol: http}\n  - {address: \"10.0.0.1:80\", protocol: https}\n"),
      ElementsAre(error_at("3:5", "is taken by")));
  EXPECT_THAT(gateway_problems("listeners:\n  - {address: \"127.0.0.1:80\", protocol: http}\n  - {address: "
                               "\"127.0.0.2:80\", protocol: https}\n"),
              IsEmpty());
  EXPECT_THAT(
      gateway_problems(
          "listeners:\n  - {address: \"0.0.0.0:80\", protocol: http}\n  - {address: \"[::1]:80\", protocol: https}\n"),
      IsEmpty());
}

TEST(GatewayListeners, ProxyProtocolNeedsTrustedProxies) {
  const std::string listener = "listeners: [{address: \"[::]:1\", protocol: https, proxy_protocol: required}]\n";
  EXPECT_THAT(gateway_problems(listener), ElementsAre(error_at("1:13", "nobody would be served")));
  EXPECT_THAT(gateway_problems(listener + "trusted_proxies: [10.0.0.1]\n"), IsEmpty());
}

TEST(GatewayListeners, TakeFalseForOff) {
  for (const char* off : {"off", "false", "\"off\""}) {
    EXPECT_FALSE(
        good_gateway(std::string("listeners: [{address: \"[::]:1\", protocol: https, proxy_protocol: ") + off + "}]")
            .listeners[0]
            .proxy_protocol_required);
  }
  for (const char* other : {"no", "\"false\"", "true", "on"}) {
    EXPECT_THAT(gateway_problems(std::string("listeners: [{address: \"[::]:1\", protocol: https, proxy_protocol: ") +
                                 other + "}]"),
                ElementsAre(error_at("1:66", "is not known here")))
        << other;
  }
}

TEST(GatewayListeners, RedirectFromHttpAlone) {
  EXPECT_THAT(gateway_problems("listeners: [{address: \"[::]:1\", protocol: https, redirect_port: 443}]"),
              ElementsAre(error_at("1:65", "protocol: http")));
  EXPECT_THAT(gateway_problems("listeners: [{address: \"[::]:1\", protocol: http, redirect_port: 65536}]"),
              ElementsAre(error_at("1:64", "out of range: 1 to 65535")));
}

TEST(GatewayAdmin, MayBeNoneAndWarnsWhenOpen) {
  EXPECT_FALSE(good_gateway("admin: {address: none}").admin);
  EXPECT_FALSE(good_gateway("admin: {address: off}").admin);
  EXPECT_FALSE(good_gateway("metrics: {address: false}").metrics);
  EXPECT_THAT(gateway_problems("admin: {address: \"0.0.0.0:9901\"}"),
              ElementsAre(warning_at("1:8", "admin is open to other machines")));
  EXPECT_THAT(gateway_problems("admin: {address: \"[::1]:9901\"}"), IsEmpty());
  EXPECT_THAT(gateway_problems("metrics: {address: \"0.0.0.0:9902\"}"), IsEmpty());
}

TEST(GatewayAdmin, MustNotShareAnAddress) {
  EXPECT_THAT(gateway_problems("admin: {address: \"127.0.0.1:8443\"}"),
              ElementsAre(error_at("1:8", "is taken by the listener [::]:8443")));
  EXPECT_THAT(gateway_problems("metrics: {address: \"127.0.0.1:9901\"}"),
              ElementsAre(error_at("1:10", "is taken by 'admin'")));
}

TEST(GatewayTrustedProxies, AreNetworks) {
  EXPECT_THAT(gateway_problems("trusted_proxies: [10.0.0.1/8]"),
              ElementsAre(error_at("1:19", "write 10.0.0.0/8 for the network or 10.0.0.1 for the one address")));
  EXPECT_THAT(gateway_problems("trusted_proxies: [\"2001:db8::1/32\"]"),
              ElementsAre(error_at("1:19", "write 2001:db8::/32")));
  EXPECT_THAT(gateway_problems("trusted_proxies: [lb.example]"), ElementsAre(error_at("1:19", "is not a network")));
  EXPECT_THAT(gateway_problems("trusted_proxies: [10.0.0.0/33]"), ElementsAre(error_at("1:19", "is not a network")));
  EXPECT_THAT(gateway_problems("trusted_proxies: 10.0.0.0/8"),
              ElementsAre(error_at("1:18", "a list is expected here: write [10.0.0.0/8]")));
  EXPECT_THAT(gateway_problems("trusted_proxies: [0.0.0.0/0]"),
              ElementsAre(warning_at("1:19", "believes every client")));
}

TEST(GatewayRedis, ReadsUrls) {
  EXPECT_EQ(good_gateway("redis: {url: \"redis://h\"}").redis->port, 6379);
  EXPECT_EQ(good_gateway("redis: {url: \"redis://[2001:DB8::1]:1/2\"}").redis->host, "2001:db8::1");
  EXPECT_TRUE(good_gateway("redis: {url: \"rediss://h/\"}").redis->tls);
  for (const char* url :
       {"http://h", "h:6379", "redis://", "redis://:6379", "redis://h:0", "redis://h:65536", "redis://h:x",
        "redis://h/x", "redis://h/-1", "redis://h/0/1", "redis://h/65536", "redis://[::1", "redis://[::1]x",
        "redis://[x]:1", "redis://h?x=1", "redis://a b", "unix:///run/redis"}) {
    EXPECT_THAT(gateway_problems(std::string("redis: {url: \"") + url + "\"}"), ElementsAre(error_at("1:14", "")))
        << url;
  }
  EXPECT_THAT(gateway_problems("redis: {}"), ElementsAre(error_at("1:8", "'url' is missing")));
}

TEST(GatewayRedis, NeverTakesOrShowsAPassword) {
  const LoadedGateway loaded =
      parse_gateway("redis:\n  url: redis://me:hunter2@h/0\n  password: hunter3\n", "/nonexistent/gateway.yaml");
  ASSERT_EQ(loaded.problems.size(), 2U);
  for (const Problem& problem : loaded.problems) {
    EXPECT_THAT(problem.to_string(), ::testing::Not(HasSubstr("hunter")));
    EXPECT_THAT(problem.source_line, ::testing::Not(HasSubstr("hunter")));
    EXPECT_THAT(problem.message, HasSubstr("password_file"));
  }
}

TEST(Gateway, CitesNoSecretThatStandsInTheWrongPlace) {
  for (const char* text : {"trusted_proxies: redis://:hunter2@h\n", "site: \"redis://:hunter2@h\"\n",
                           "\"redis://:hunter2@h\": 1\n", "redis: {\"password: hunter2\": 1}\n"}) {
    const LoadedGateway loaded = parse_gateway(text, "/nonexistent/gateway.yaml");
    ASSERT_FALSE(loaded.problems.empty());
    EXPECT_THAT(loaded.problems[0].to_string(), ::testing::Not(HasSubstr("hunter"))) << text;
  }
}

TEST(GatewayRedis, ChecksWhatBelongsTogether) {
  TemporaryFolder folder;
  const std::string file = folder.write("pw", "x");
  EXPECT_THAT(gateway_problems("redis: {url: \"redis://h\", username: me}"),
              ElementsAre(error_at("1:37", "needs a password_file")));
  EXPECT_THAT(gateway_problems("redis: {url: \"redis://h\", ca_file: " + file + "}"),
              ElementsAre(error_at("1:36", "rediss://")));
  EXPECT_EQ(
      good_gateway("redis: {url: \"rediss://h\", ca_file: " + file + ", username: me, password_file: " + file + "}")
          .redis->password_file,
      file);
  EXPECT_THAT(gateway_problems("redis: {url: \"redis://h\", password_file: /nonexistent/pw}"),
              ElementsAre(error_at("1:42", "cannot find '/nonexistent/pw'")));
  EXPECT_THAT(gateway_problems("redis: {url: \"redis://h\", password_file: " + folder.path() + "}"),
              ElementsAre(error_at("1:42", "is not a regular file")));
}

TEST(Gateway, RefusesWhatThisVersionLacks) {
  const std::pair<const char*, const char*> cases[] = {
      {"storage: {kubernetes: {namespace: a}}", "1:11"},
      {"redis: {sentinel: {}}", "1:9"},
      {"redis: {cluster: []}", "1:9"},
      {"waf: {verify_sample: 1}", "1:7"},
      {"audit_log: {key_file: a}", "1:13"},
      {"audit_log: {chain: true}", "1:13"},
  };
  for (const auto& [text, place] : cases) {
    EXPECT_THAT(gateway_problems(text),
                ElementsAre(error_at(place, "is not available: it does not exist in this version of gatehouse; ")))
        << text;
  }
}

TEST(GatewayWaf, ChecksItsKeys) {
  EXPECT_THAT(gateway_problems("waf: {rules: []}"), ElementsAre(error_at("1:14", "must not be empty")));
  EXPECT_THAT(gateway_problems("waf: {rules: [\"\"]}"), ElementsAre(error_at("1:15", "must not be empty")));
  EXPECT_THAT(gateway_problems("waf: {on_error: allow}"), ElementsAre(error_at("1:17", "known are 'block', 'pass'")));
  EXPECT_THAT(gateway_problems("waf: {time_budget: 0ms}"),
              ElementsAre(error_at("1:20", "'0ms' is out of range: 1ms to 1m")));
}

TEST(GatewayLimits, ChecksRangesAndUnits) {
  EXPECT_THAT(gateway_problems("limits: {header_count: 7}"), ElementsAre(error_at("1:24", "out of range: 8 to 10000")));
  EXPECT_THAT(gateway_problems("limits: {target_bytes: 16384}"), ElementsAre(error_at("1:24", "has no unit")));
  EXPECT_THAT(gateway_problems("limits: {body_bytes: 0B}"), ElementsAre(error_at("1:22", "out of range: 1B to 1TiB")));
  EXPECT_THAT(gateway_problems("limits: {underscores: yes}"), ElementsAre(error_at("1:23", "'refuse', 'allow'")));
  EXPECT_THAT(gateway_problems("limits: {min_rate: 240}"), ElementsAre(error_at("1:20", "240B/s")));
  EXPECT_THAT(gateway_problems("limits: {connections: 0}"), ElementsAre(error_at("1:23", "out of range")));
  EXPECT_EQ(good_gateway("limits: {min_rate: off}").limits.min_rate_bytes_per_second, 0U);
  EXPECT_EQ(good_gateway("limits: {min_rate: false}").limits.min_rate_bytes_per_second, 0U);
}

TEST(GatewayLimits, ConnectionsFitTheLimitOfOpenFiles) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max == RLIM_INFINITY || files.rlim_max < 1024 || files.rlim_max > 10'000'000)
    GTEST_SKIP() << "an unusual limit of open files";
  const std::string most = std::to_string((files.rlim_max - 512) / 2);
  const std::string more = std::to_string((files.rlim_max - 512) / 2 + 1);
  EXPECT_THAT(gateway_problems("limits: {connections: " + most + "}"), IsEmpty());
  EXPECT_THAT(gateway_problems("limits: {connections: " + more + "}"),
              ElementsAre(error_at("1:23", "it is at most " + most)));
}

TEST(GatewayTimeouts, ChecksRangesAndUnits) {
  EXPECT_THAT(gateway_problems("timeouts: {idle: 0s}"), ElementsAre(error_at("1:18", "out of range: 100ms to 24h")));
  EXPECT_THAT(gateway_problems("timeouts: {idle: 25h}"), ElementsAre(error_at("1:18", "out of range")));
  EXPECT_THAT(gateway_problems("timeouts: {tunnel_idle: 169h}"),
              ElementsAre(error_at("1:25", "out of range: 100ms to 168h")));
  EXPECT_THAT(gateway_problems("timeouts: {idle: [1s]}"),
              ElementsAre(error_at("1:18", "a duration such as 10s is expected here, not a list")));
}

TEST(GatewayPolicy, ReadsTenantRules) {
  EXPECT_EQ(good_gateway("policy: {tenant_rules: false}").policy.tenant_rules, TenantRules::no);
  EXPECT_EQ(good_gateway("policy: {tenant_rules: true}").policy.tenant_rules, TenantRules::yes);
  EXPECT_THAT(gateway_problems("policy: {tenant_rules: yes}"),
              ElementsAre(error_at("1:24", "known are 'false', 'true', 'trusted'")));
}

TEST(GatewayPolicy, FoldersMustBeThere) {
  TemporaryFolder folder;
  EXPECT_THAT(good_gateway("policy: {files: [" + folder.path() + "]}").policy.files, ElementsAre(folder.path()));
  EXPECT_THAT(gateway_problems("policy: {files: [certs]}"),
              ElementsAre(warning_at("1:18", "there is no folder '/nonexistent/certs/'")));
  EXPECT_THAT(gateway_problems("policy: {files: [/]}"), ElementsAre(warning_at("1:18", "opens every file")));
}

TEST(GatewayLogs, ReadPaths) {
  EXPECT_EQ(good_gateway("access_log: {path: off}").access_log.path, "");
  EXPECT_EQ(good_gateway("access_log: {path: false}").access_log.path, "");
  EXPECT_EQ(good_gateway("audit_log: {path: a/../b.log}").audit_log.path, "/nonexistent/b.log");
  EXPECT_THAT(gateway_problems("access_log: {path: logs/}"), ElementsAre(error_at("1:20", "is a folder")));
  EXPECT_THAT(gateway_problems("access_log: {client_ip: short}"), ElementsAre(error_at("1:25", "is not known here")));
  EXPECT_THAT(gateway_problems("access_log: {path: a.log}\naudit_log: {path: ./a.log}"),
              ElementsAre(error_at("2:12", "must not share a file")));
  EXPECT_THAT(gateway_problems("access_log: {path: \"-\"}\naudit_log: {path: \"-\"}"), IsEmpty());
}

TEST(GatewayLogs, MaskAddsToTheNamesThatAreAlwaysMasked) {
  const auto mask = good_gateway("audit_log: {mask: [X-Pin, password]}").audit_log.mask;
  EXPECT_THAT(mask, ::testing::Contains("x-pin"));
  EXPECT_THAT(mask, ::testing::Contains("authorization"));
  EXPECT_EQ(std::ranges::count(mask, "password"), 1);
  EXPECT_THAT(gateway_problems("audit_log: {mask: [\"a b\"]}"), ElementsAre(error_at("1:20", "blanks")));
}

}  // namespace
}  // namespace gatehouse::config::test
