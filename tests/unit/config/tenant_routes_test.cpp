// A tenant's routes and rate limits.
#include <chrono>

#include "config/tenant_parts.hpp"
#include "support.hpp"

namespace gatehouse::config::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;

/// The problems of a tenant with these routes, one a line from line 3 on.
std::vector<std::string> routes(std::initializer_list<const char*> lines) {
  std::string section = "routes:\n";
  for (const char* line : lines) section += std::string("  - ") + line + "\n";
  return tenant_problems(section);
}

/// The problems of one route with this match; the match begins at 3:13.
std::vector<std::string> match(const std::string& keys) {
  return tenant_problems("routes:\n  - {match: {" + keys + "}, service: web}\n");
}

TEST(TenantRoutes, NeedMatchAndService) {
  EXPECT_THAT(routes({"{match: {path: /}}", "{service: web}"}), Contains(error_at("3:5", "'service' is missing")));
  EXPECT_THAT(routes({"{match: {path: /}, service: web}", "{service: web}"}),
              ElementsAre(error_at("4:5", "'match' is missing")));
  EXPECT_THAT(tenant_problems("routes: []"), ElementsAre(error_at("2:9", "must not be empty")));
  EXPECT_THAT(routes({"web"}), ElementsAre(error_at("3:5", "a mapping")));
}

TEST(TenantRoutes, FollowReferences) {
  EXPECT_THAT(routes({"{match: {path: /}, service: wep}"}),
              ElementsAre(error_at("3:33", "there is no service 'wep'; did you mean 'web'?")));
  EXPECT_THAT(routes({"{match: {path: /}, service: web, rate_limits: [all]}"}),
              ElementsAre(error_at("3:52", "there is no rate limit 'all'")));
  EXPECT_THAT(tenant_problems("rate_limits: {per_client: {rate: 1/s}}\nroutes: [{match: {path: /}, service: web, "
                              "rate_limits: [per_clients]}]"),
              ElementsAre(error_at("3:57", "there is no rate limit 'per_clients'; did you mean 'per_client'?")));
  EXPECT_THAT(
      tenant_problems("rate_limits: {a: {rate: 1/s}}\nroutes: [{match: {path: /}, service: web, rate_limits: [a, a]}]"),
      ElementsAre(error_at("3:60", "is given twice")));
}

TEST(TenantRoutes, SayNothingOfAReferenceToWhatHasAnErrorItself) {
  EXPECT_THAT(tenant_problems("services: {web: {sites: []}}"), ElementsAre(error_at("2:25", "must not be empty")));
  EXPECT_THAT(
      tenant_problems("rate_limits: {a: {rate: 1}}\nroutes: [{match: {path: /}, service: web, rate_limits: [a]}]"),
      ElementsAre(error_at("2:25", "is not a rate")));
}

TEST(TenantRoutes, ReferToTheRightService) {
  const TenantConfig tenant = good_tenant(
      "services:\n  b: {sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}\n  a: {sites: [{site: a, endpoints: "
      "[\"10.0.0.1:81\"]}]}\n"
      "routes:\n  - {match: {path: /a}, service: a}\n  - {match: {path: /b}, service: b}\n");
  EXPECT_EQ(tenant.services[tenant.routes[0].service].name, "a");
  EXPECT_EQ(tenant.services[tenant.routes[1].service].name, "b");
}

TEST(TenantRoutes, WarnOfWhatNoRouteUses) {
  EXPECT_THAT(tenant_problems("services:\n  web: {sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}\n  old: {sites: "
                              "[{site: a, endpoints: [\"10.0.0.1:81\"]}]}\n"),
              ElementsAre(warning_at("4:3", "no route uses the service 'old'")));
  EXPECT_THAT(tenant_problems("rate_limits:\n  a: {rate: 1/s}\n"),
              ElementsAre(warning_at("3:3", "no route uses the rate limit 'a'")));
}

TEST(TenantRoutes, NormalisePaths) {
  const auto path = [](const std::string& text) {
    return good_tenant("routes: [{match: {path: \"" + text + "\"}, service: web}]").routes[0].match.path;
  };
  EXPECT_EQ(path("/api"), "/api");
  EXPECT_EQ(path("/%61pi/%c3%bc"), "/api/%C3%BC");
  EXPECT_EQ(path("/a%2Fb"), "/a%2Fb");
  EXPECT_EQ(path("/!$&'()*+,;=:@-._~"), "/!$&'()*+,;=:@-._~");
  EXPECT_EQ(path("/.well-known/..a/a.."), "/.well-known/..a/a..");
}

TEST(TenantRoutes, RefusePathsThatNoRequestHas) {
  const std::pair<const char*, const char*> cases[] = {
      {"api", "does not begin with '/'"},
      {"/a?b=1", "has a '?'"},
      {"/a#b", "has a '#'"},
      {"/a//b", "has '//'"},
      {"/a/../b", "'.' or '..'"},
      {"/.", "'.' or '..'"},
      {"/%2e%2E/a", "'.' or '..'"},
      {"/%zz", "two hexadecimal"},
      {"/a%", "two hexadecimal"},
      {"/a%2", "two hexadecimal"},
      {"/%00", "%00"},
      {"/a b", "write it as %20"},
      {"/ü", "write it as %C3"},
      {"/a\\\"b", "write it as %22"},
      {"/a\\\\b", "write it as %5C"},
  };
  for (const auto& [text, words] : cases) {
    EXPECT_THAT(match(std::string("path: \"") + text + "\""), ElementsAre(error_at("3:20", words))) << text;
    EXPECT_THAT(match(std::string("path_exact: \"") + text + "\""), ElementsAre(error_at("3:26", words))) << text;
  }
  EXPECT_THAT(match("path: \"\""), ElementsAre(error_at("3:20", "it is empty")));
  EXPECT_THAT(match("path: /" + std::string(2048, 'a')), ElementsAre(error_at("3:20", "at most 2048 bytes")));
}

TEST(TenantRoutes, CompileExpressions) {
  EXPECT_THAT(match("path_regex: \"/a/[0-9]+\""), IsEmpty());
  EXPECT_THAT(match("path_regex: \"/a(\""), ElementsAre(error_at("3:26", "does not compile (RE2)")));
  EXPECT_THAT(match("path_regex: \"/a\xE2\x80\xAE\""),
              ElementsAre(error_at("3:26", "invisible character; write it as \\x{202E}")));
  EXPECT_THAT(match("path_regex: '/a\\x{202E}\xC3\xA4'"), IsEmpty());
  EXPECT_THAT(match("path_regex: '(a)\\1'"), ElementsAre(error_at("3:26", "does not compile (RE2)")));
  EXPECT_THAT(match("path_regex: '((((a{1,100}){1,100}){1,100}){1,100})'"),
              ElementsAre(error_at("3:26", "does not compile (RE2)")));
  EXPECT_THAT(match("path_regex: " + std::string(501, 'a')), ElementsAre(error_at("3:26", "at most 500 bytes")));
}

TEST(TenantRoutes, BoundTheExpressionsOfATenant) {
  const auto routes_of = [](int count, const std::string& expression) {
    std::string section = "routes:\n";
    for (int i = 0; i < count; ++i)
      section += "  - {match: {path_regex: '" + expression + std::to_string(100 + i) + "'}, service: web}\n";
    return section;
  };
  // The first dozens of errors of expressions that do not compile, then no more is compiled.
  EXPECT_THAT(tenant_problems(routes_of(83, std::string(400, '('))),
              ::testing::Contains(error_at("85:26", "at most 32768 bytes in all")));
  EXPECT_THAT(tenant_problems(routes_of(12, '/' + std::string(399, 'a'))), IsEmpty());
  EXPECT_THAT(tenant_problems(routes_of(13, '/' + std::string(399, 'a'))),
              ElementsAre(error_at("15:26", "at most 5000 steps")));
  EXPECT_THAT(tenant_problems(routes_of(1, "/((.*a.{40}b|.*b.{40}a).{30}){9}y")),
              ElementsAre(error_at("3:26", "at most 5000 steps")));
  EXPECT_THAT(tenant_problems(routes_of(100, "/a")), IsEmpty());
  EXPECT_THAT(tenant_problems(routes_of(101, "/a")), ElementsAre(error_at("103:26", "at most 100 routes")));
}

TEST(TenantRoutes, HaveOneKindOfPath) {
  EXPECT_THAT(match("path: /a, path_exact: /b"), ElementsAre(error_at("3:13", "exclude each other")));
  EXPECT_THAT(match("path_exact: /a, path_regex: /b"), ElementsAre(error_at("3:13", "exclude each other")));
  EXPECT_EQ(good_tenant("routes: [{match: {methods: [GET]}, service: web}]").routes[0].match.path, "/");
}

TEST(TenantRoutes, CheckMethods) {
  EXPECT_THAT(match("path: /, methods: [get]"), ElementsAre(error_at("3:33", "write it in capitals")));
  EXPECT_THAT(match("path: /, methods: [\"GET POST\"]"),
              ElementsAre(error_at("3:33", "characters that a method cannot have")));
  EXPECT_THAT(match("path: /, methods: [GET, GET]"), ElementsAre(error_at("3:38", "is given twice")));
  EXPECT_THAT(match("path: /, methods: []"), ElementsAre(error_at("3:32", "must not be empty")));
  EXPECT_THAT(match("path: /, methods: [PROPFIND, M-SEARCH]"), IsEmpty());
}

TEST(TenantRoutes, CheckHeaders) {
  EXPECT_THAT(match("headers: {\"a b\": x}"), ElementsAre(error_at("3:24", "is not a header name")));
  EXPECT_THAT(match("headers: {X-A: a, x-a: b}"), ElementsAre(error_at("3:32", "'x-a' is given twice")));
  EXPECT_THAT(match("headers: {x-a: [1]}"), ElementsAre(error_at("3:29", "a header's value is expected here")));
  EXPECT_THAT(match("headers: {x-a: \"ä\"}"), ElementsAre(error_at("3:29", "printable ASCII")));
  EXPECT_THAT(match("headers: {x-a: \" a\"}"), ElementsAre(error_at("3:29", "begins or ends with a blank")));
  EXPECT_THAT(match("headers: [x-a]"), ElementsAre(error_at("3:23", "a mapping from names to settings")));
  EXPECT_EQ(good_tenant("routes: [{match: {headers: {x-a: \"\"}}, service: web}]").routes[0].match.headers[0].value,
            "");
}

TEST(TenantRoutes, CheckTimeout) {
  EXPECT_THAT(routes({"{match: {path: /}, service: web, timeout: 15}"}), ElementsAre(error_at("3:47", "has no unit")));
  EXPECT_THAT(routes({"{match: {path: /}, service: web, timeout: 0s}"}), ElementsAre(error_at("3:47", "out of range")));
}

TEST(TenantRoutes, HaveUniqueNames) {
  EXPECT_THAT(routes({"{name: a, match: {path: /a}, service: web}", "{name: a, match: {path: /b}, service: web}"}),
              ElementsAre(error_at("4:5", "the route in line 3 is called 'a' too")));
  EXPECT_THAT(routes({"{match: {path: /a, methods: [GET]}, service: web}", "{match: {path: /a}, service: web}"}),
              ElementsAre(error_at("4:5", "the route in line 3 is called '/a' too; give this one a name")));
  EXPECT_THAT(
      routes({"{match: {path: /a, methods: [GET]}, service: web}", "{name: b, match: {path: /a}, service: web}"}),
      IsEmpty());
  EXPECT_THAT(routes({"{name: \"a b\", match: {path: /a}, service: web}"}), ElementsAre(error_at("3:12", "blanks")));
}

TEST(TenantRoutes, RefuseTheSameMatchTwice) {
  EXPECT_THAT(routes({"{match: {path: /a}, service: web}", "{name: b, match: {path: /a}, service: web}"}),
              ElementsAre(error_at("4:5", "has the same match as the one in line 3")));
  EXPECT_THAT(routes({"{match: {path: /a}, service: web}", "{name: b, match: {path: /a/}, service: web}"}),
              ElementsAre(error_at("4:5", "has the same match")));
  EXPECT_THAT(routes({"{match: {path: /a, methods: [GET, POST]}, service: web}",
                      "{name: b, match: {path: /a, methods: [POST, GET]}, service: web}"}),
              ElementsAre(error_at("4:5", "has the same match")));
  EXPECT_THAT(routes({"{match: {path_regex: /a}, service: web}", "{name: b, match: {path_regex: /a}, service: web}"}),
              ElementsAre(error_at("4:5", "has the same match")));
}

TEST(TenantRoutes, WarnOfTheUnreachable) {
  const auto second = [](const std::string& first, const std::string& later) {
    return tenant_problems("routes:\n  - {name: a, match: {" + first + "}, service: web}\n  - {name: b, match: {" +
                           later + "}, service: web}\n");
  };
  const auto unreachable = ElementsAre(warning_at("4:5", "is never reached: the one in line 3 takes all its requests"));
  EXPECT_THAT(second("path: /", "path: /a"), unreachable);
  EXPECT_THAT(second("path: /", "path_regex: /a.*"), unreachable);
  EXPECT_THAT(second("path: /a", "path: /a/b"), unreachable);
  EXPECT_THAT(second("path: /a/", "path_exact: /a"), unreachable);
  EXPECT_THAT(second("path: /a", "path: /a, methods: [GET]"), unreachable);
  EXPECT_THAT(second("path: /a, methods: [GET, POST]", "path: /a/b, methods: [GET]"), unreachable);
  EXPECT_THAT(second("path: /a, headers: {x: }", "path: /a, headers: {x: \"1\"}"), unreachable);
  EXPECT_THAT(second("path: /a, headers: {x: \"1\"}", "path: /a, headers: {x: \"1\", y: }"), unreachable);
  EXPECT_THAT(second("path_exact: /a", "path_exact: /a, methods: [GET]"), unreachable);
}

TEST(TenantRoutes, WarnOfWhatNoRequestIs) {
  const auto only = [](const std::string& match) {
    return tenant_problems("routes:\n  - {match: {" + match + "}, service: web}\n");
  };
  for (const char* expression : {"a.*", "^$", "[0-9]+", "api/.*", "\\.php", "A|B"})
    EXPECT_THAT(only(std::string("path_regex: '") + expression + "'"),
                ElementsAre(warning_at("3:26", "and it begins with '/'")))
        << expression;
  for (const char* expression : {".*", "/", "/a|b", "(?i)/A", ".*\\.php", "[/a].*", "\\S+", "(a|/).*", "^/.*$"})
    EXPECT_THAT(only(std::string("path_regex: '") + expression + "'"), IsEmpty()) << expression;
  EXPECT_THAT(only("path: /, methods: [GET, CONNECT]"), ElementsAre(warning_at("3:38", "always refused")));
}

TEST(TenantRoutes, AcceptWhatCanBeReached) {
  const auto second = [](const std::string& first, const std::string& later) {
    return tenant_problems("routes:\n  - {name: a, match: {" + first + "}, service: web}\n  - {name: b, match: {" +
                           later + "}, service: web}\n");
  };
  EXPECT_THAT(second("path: /a", "path: /"), IsEmpty());
  EXPECT_THAT(second("path: /a", "path: /ab"), IsEmpty());
  EXPECT_THAT(second("path: /a", "path_regex: /.*"), IsEmpty());
  EXPECT_THAT(second("path: /a, methods: [GET]", "path: /a/b"), IsEmpty());
  EXPECT_THAT(second("path: /a, methods: [GET]", "path: /a, methods: [GET, POST]"), IsEmpty());
  EXPECT_THAT(second("path: /a, headers: {x: \"1\"}", "path: /a, headers: {x: \"2\"}"), IsEmpty());
  EXPECT_THAT(second("path: /a, headers: {x: \"1\"}", "path: /a, headers: {x: }"), IsEmpty());
  EXPECT_THAT(second("path_exact: /a", "path: /a"), IsEmpty());
  EXPECT_THAT(second("path_regex: /a", "path_exact: /a"), IsEmpty());
}

TEST(PrefixCovers, WholeSegments) {
  EXPECT_TRUE(prefix_covers("/", "/a"));
  EXPECT_TRUE(prefix_covers("/", "/"));
  EXPECT_TRUE(prefix_covers("/a", "/a"));
  EXPECT_TRUE(prefix_covers("/a/", "/a"));
  EXPECT_TRUE(prefix_covers("/a", "/a/"));
  EXPECT_TRUE(prefix_covers("/a", "/a/b"));
  EXPECT_FALSE(prefix_covers("/a", "/ab"));
  EXPECT_FALSE(prefix_covers("/a/b", "/a"));
}

std::vector<std::string> limit(const std::string& keys) {
  return tenant_problems("rate_limits:\n  a: {" + keys +
                         "}\nroutes: [{match: {path: /}, service: web, rate_limits: [a]}]");
}
RateLimit good_limit(const std::string& keys) {
  const TenantConfig tenant =
      good_tenant("rate_limits:\n  a: {" + keys + "}\nroutes: [{match: {path: /}, service: web, rate_limits: [a]}]");
  return tenant.rate_limits.empty() ? RateLimit{} : tenant.rate_limits[0];
}

TEST(TenantRateLimits, HaveDefaults) {
  const RateLimit a = good_limit("rate: 10/s");
  ASSERT_EQ(a.key.size(), 1U);
  EXPECT_EQ(a.key[0].kind, LimitKeyKind::client_ip);
  EXPECT_EQ(a.on_store_failure, OnStoreFailure::local);
  EXPECT_FALSE(a.shadow || a.headers_always);
}

TEST(TenantRateLimits, TakeOneSecondOfTheRateAsBurst) {
  EXPECT_EQ(good_limit("rate: 10/s").burst, 10U);
  EXPECT_EQ(good_limit("rate: 60/m").burst, 1U);
  EXPECT_EQ(good_limit("rate: 61/m").burst, 2U);
  EXPECT_EQ(good_limit("rate: 1/h").burst, 1U);
  EXPECT_EQ(good_limit("rate: 1000000000/s").burst, 1'000'000'000U);
  EXPECT_EQ(good_limit("rate: 1/s, burst: 7").burst, 7U);
}

TEST(TenantRateLimits, KeepTheRateAsWritten) {
  const RateLimit a = good_limit("rate: 90/m");
  EXPECT_EQ(a.rate_count, 90U);
  EXPECT_EQ(a.rate_period, 1min);
  EXPECT_DOUBLE_EQ(a.rate_per_second, 1.5);
}

TEST(TenantRateLimits, CheckRateAndBurst) {
  EXPECT_THAT(limit("burst: 1"), ElementsAre(error_at("3:6", "'rate' is missing")));
  EXPECT_THAT(limit("rate: 0/s"), ElementsAre(error_at("3:13", "lets nobody in")));
  EXPECT_THAT(limit("rate: 0.5/s"), ElementsAre(error_at("3:13", "fraction")));
  EXPECT_THAT(limit("rate: 1000000001/s"), ElementsAre(error_at("3:13", "out of range: 1 to 1000000000")));
  EXPECT_THAT(limit("rate: 1/s, burst: 0"), ElementsAre(error_at("3:25", "out of range: 1 to 1000000000")));
  EXPECT_THAT(limit("rate: 1/s, burst: 5/s"), ElementsAre(error_at("3:25", "is not a whole number")));
}

TEST(TenantRateLimits, CheckKeys) {
  EXPECT_EQ(good_limit("rate: 1/s, key: \"header:X-Key\"").key[0].name, "x-key");
  EXPECT_EQ(good_limit("rate: 1/s, key: [tenant, host]").key[1].kind, LimitKeyKind::host);
  EXPECT_THAT(limit("rate: 1/s, key: ip"),
              ElementsAre(error_at("3:23", "known are 'client_ip', 'tenant', 'host', 'header:NAME'")));
  EXPECT_THAT(limit("rate: 1/s, key: client-ip"), ElementsAre(error_at("3:23", "did you mean 'client_ip'?")));
  EXPECT_THAT(limit("rate: 1/s, key: \"header:\""), ElementsAre(error_at("3:23", "does not name a header")));
  EXPECT_THAT(limit("rate: 1/s, key: \"header:a b\""), ElementsAre(error_at("3:23", "does not name a header")));
  EXPECT_THAT(limit("rate: 1/s, key: []"), ElementsAre(error_at("3:23", "must not be empty")));
  EXPECT_THAT(limit("rate: 1/s, key: [host, host]"), ElementsAre(error_at("3:30", "is given twice")));
  EXPECT_THAT(limit("rate: 1/s, key: [\"header:a\", \"header:A\"]"), ElementsAre(error_at("3:36", "is given twice")));
  EXPECT_THAT(limit("rate: 1/s, key: {a: b}"), ElementsAre(error_at("3:23", "not a mapping")));
}

TEST(TenantRateLimits, CheckTheOtherKeys) {
  EXPECT_THAT(limit("rate: 1/s, on_store_failure: pass"), ElementsAre(error_at("3:36", "is not known here")));
  EXPECT_THAT(limit("rate: 1/s, shadow: on"), ElementsAre(error_at("3:26", "write true")));
  EXPECT_THAT(limit("rate: 1/s, shadow: \"true\""), ElementsAre(error_at("3:26", "without quotes")));
  EXPECT_THAT(limit("rate: 1/s, headers: never"), ElementsAre(error_at("3:27", "'limited', 'always'")));
  EXPECT_THAT(tenant_problems("rate_limits: {\"a b\": {rate: 1/s}}"),
              ElementsAre(error_at("2:15", "'a b' is not a rate limit's name")));
}

TEST(TenantRateLimits, WarnOnceWithoutRedis) {
  const auto found = tenant_problems(
      "rate_limits:\n  a: {rate: 1/s, mode: exact}\n  b: {rate: 1/s}\nroutes: [{match: {path: /}, service: web, "
      "rate_limits: [a, b]}]",
      gateway_with(""));
  EXPECT_THAT(found, ElementsAre(warning_at("3:3", "counts on this node alone")));
}

}  // namespace
}  // namespace gatehouse::config::test
