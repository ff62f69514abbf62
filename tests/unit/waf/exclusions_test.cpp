// Exclusions mean what users mean by them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <time.h>

#include "waf/exclusions.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* form = "application/x-www-form-urlencoded";
constexpr const char* attack = "1%27%20or%201%3D1--%20";

std::shared_ptr<const Policy> excluding(std::vector<config::Exclusion> exclusions) {
  config::TenantConfig config = tenant();
  config.waf.exclusions = std::move(exclusions);
  return policy_of(config);
}

bool fires(const Policy& policy, const Request& request, std::uint32_t rule = 942100) {
  return find(run(policy, request).outcome, rule) != nullptr;
}

TEST(Exclusions, TakeARuleOutEverywhere) {
  const auto policy = excluding({{.rule = 942100}});
  EXPECT_FALSE(fires(*policy, get(std::string("/?id=") + attack)));
  EXPECT_TRUE(fires(*policy, get("/?id=%3Cscript%3Ealert(1)%3C/script%3E"), 941100));
}

TEST(Exclusions, TakeARuleOutOnAPath) {
  const auto policy = excluding({{.rule = 942100, .path = "/blog/"}});
  EXPECT_FALSE(fires(*policy, get(std::string("/blog?id=") + attack)));
  EXPECT_FALSE(fires(*policy, get(std::string("/blog/x?id=") + attack)));
  EXPECT_TRUE(fires(*policy, get(std::string("/blogx?id=") + attack)));
  EXPECT_TRUE(fires(*policy, get(std::string("/?id=") + attack)));
}

TEST(Exclusions, TakeAnArgumentOut) {
  const auto policy = excluding({{.rule = 942100, .target = "ARGS:comment"}});
  EXPECT_FALSE(fires(*policy, get(std::string("/?comment=") + attack)));
  EXPECT_FALSE(fires(*policy, get(std::string("/?Comment=") + attack)));
  EXPECT_FALSE(fires(*policy, post(form, std::string("comment=") + attack)));
  EXPECT_FALSE(fires(*policy, post("application/json", R"({"comment":"1' or 1=1-- "})")));
  EXPECT_FALSE(fires(*policy, post("application/json", R"({"COMMENT":"1' or 1=1-- "})")));
  EXPECT_TRUE(fires(*policy, get(std::string("/?comments=") + attack)));
  EXPECT_TRUE(fires(*policy, get(std::string("/?id=") + attack)));
  EXPECT_TRUE(fires(*policy, get(std::string("/?comment=x&id=") + attack)));
  EXPECT_TRUE(fires(*policy, post("application/json", R"({"other":{"comment":"1' or 1=1-- "}})")));
}

TEST(Exclusions, DoNotReachTheCookieOfTheSameName) {
  const auto policy =
      excluding({{.rule = 942100, .target = "ARGS:/^comment$/"}, {.rule = 942100, .target = "ARGS:note"}});
  Request cookie = get("/");
  cookie.header("Cookie", "comment=1' or 1=1-- ; x=y");
  EXPECT_TRUE(fires(*policy, cookie));
  EXPECT_FALSE(fires(*policy, get(std::string("/?comment=") + attack)));
}

TEST(Exclusions, TakeAnArgumentOutOnAPath) {
  const auto policy = excluding({{.rule = 942100, .target = "args:comment", .path = "/blog"}});
  EXPECT_FALSE(fires(*policy, get(std::string("/blog/new?comment=") + attack)));
  EXPECT_TRUE(fires(*policy, get(std::string("/shop?comment=") + attack)));
  // What counts is where the request goes, not how it is written.
  Request detour = get(std::string("/blog/../shop?comment=") + attack);
  detour.path = "/shop";
  EXPECT_TRUE(fires(*policy, detour));
}

TEST(Exclusions, DoNotApplyOnAPathThatIsNotKnown) {
  const Exclusions::Active none = [] {
    Exclusions exclusions;
    exclusions.add_rule(942100, "/blog");
    return exclusions.activate("");
  }();
  EXPECT_TRUE(none.rules.empty());
}

TEST(Exclusions, TakeNestedAndListedArgumentsOut) {
  const auto nested = excluding({{.rule = 942100, .target = "ARGS:user.note"}});
  EXPECT_FALSE(fires(*nested, post("application/json", R"({"user":{"note":"1' or 1=1-- "}})")));
  EXPECT_TRUE(fires(*nested, post("application/json", R"({"note":"1' or 1=1-- "})")));
  const auto pattern = excluding({{.rule = 942100, .target = "ARGS:/^items\\./"}});
  EXPECT_FALSE(fires(*pattern, post("application/json", R"({"items":[{"note":"1' or 1=1-- "}]})")));
}

TEST(Exclusions, TakeCookiesHeadersAndNamesOut) {
  Request cookie = get("/");
  cookie.header("Cookie", "Prefs=1' or 1=1-- ; x=y");
  EXPECT_TRUE(fires(*excluding({}), cookie));
  EXPECT_FALSE(fires(*excluding({{.rule = 942100, .target = "REQUEST_COOKIES:prefs"}}), cookie));
  Request agent = get("/");
  agent.headers[1].second = "x' or 1=1-- ";
  EXPECT_TRUE(fires(*excluding({}), agent));
  EXPECT_FALSE(fires(*excluding({{.rule = 942100, .target = "REQUEST_HEADERS:user-agent"}}), agent));
  const Request name = get(std::string("/?") + attack + "=x");
  EXPECT_TRUE(fires(*excluding({}), name));
  EXPECT_FALSE(fires(*excluding({{.rule = 942100, .target = "ARGS_NAMES"}}), name));
}

TEST(Exclusions, TakeAWholeCollectionOut) {
  const auto policy = excluding({{.rule = 942100, .target = "ARGS"}});
  EXPECT_FALSE(fires(*policy, get(std::string("/?a=") + attack)));
  Request cookie = get("/");
  cookie.header("Cookie", "id=1' or 1=1-- ; x=y");
  EXPECT_TRUE(fires(*policy, cookie));
}

TEST(Exclusions, ReachTheTenantsOwnRules) {
  config::TenantConfig config = tenant();
  config.waf.rules_after = "SecRule ARGS:a \"@streq bad\" \"id:10001,phase:2,deny\"\n";
  const Request bad = get("/?a=bad");
  EXPECT_TRUE(fires(*policy_of(config), bad, 10001));
  config.waf.exclusions = {{.rule = 10001, .path = "/x"}};
  EXPECT_TRUE(fires(*policy_of(config), bad, 10001));
  EXPECT_FALSE(fires(*policy_of(config), get("/x?a=bad"), 10001));
}

TEST(Exclusions, OfUnknownRulesAreErrorsAtTheirPlace) {
  config::TenantConfig config = tenant();
  config.waf.exclusions = {{.rule = 123456, .place = {.file = config.file, .line = 31, .column = 9}}};
  const config::Problems problems = problems_of(config);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].severity, config::Severity::error);
  EXPECT_EQ(problems[0].place.line, 31);
  EXPECT_EQ(problems[0].place.column, 9);
  EXPECT_THAT(problems[0].message, HasSubstr("123456"));
}

TEST(Exclusions, WarnOfTargetsThatTheRuleDoesNotLookAt) {
  const auto warnings = [](std::uint32_t rule, const char* target) {
    config::TenantConfig config = tenant();
    config.waf.exclusions = {{.rule = rule, .target = target}};
    config::Problems found;
    EXPECT_NE(policy_of(config, config::TenantRules::yes, &found), nullptr);
    return found;
  };
  ASSERT_EQ(warnings(920300, "ARGS:x").size(), 1u);
  EXPECT_EQ(warnings(920300, "ARGS:x")[0].severity, config::Severity::warning);
  EXPECT_TRUE(warnings(942100, "ARGS:x").empty());
  EXPECT_TRUE(warnings(941100, "REQUEST_HEADERS:User-Agent").empty());
  EXPECT_EQ(warnings(941100, "REQUEST_HEADERS:X-Other").size(), 1u);
  EXPECT_EQ(warnings(912120, "ARGS:x").size(), 2u);  // never run, and looks elsewhere
}

TEST(Exclusions, RefuseTargetsThatAreNone) {
  for (const char* target : {"ARGZ:x", "ARGS:", "REQUEST_URI:x", "ARGS:/(/", "!ARGS:x", "&ARGS", "ENV:HOME", "TX",
                             "ARGS:x\"\nSecRuleEngine Off"}) {
    config::TenantConfig config = tenant();
    config.waf.exclusions = {{.rule = 942100, .target = target}};
    const auto problems = problems_of(config);
    const bool refused = std::any_of(problems.begin(), problems.end(),
                                     [](const auto& p) { return p.severity == config::Severity::error; });
    EXPECT_EQ(refused, std::string_view(target).find("SecRuleEngine") == std::string_view::npos) << target;
  }
}

// Names and paths never become SecLang, so that nothing in them can.
TEST(Exclusions, TakeAnyTextAsAName) {
  const auto policy =
      excluding({{.rule = 942100, .target = "ARGS:x\" \"id:1,phase:1,allow\"\n", .path = "/a\"b'c\\d%{ENV.HOME}"}});
  EXPECT_TRUE(fires(*policy, get(std::string("/?id=") + attack)));
}

TEST(Exclusions, AreAtMostTwoHundred) {
  config::TenantConfig config = tenant();
  config.waf.exclusions.assign(200, {.rule = 942100, .target = "ARGS:a"});
  EXPECT_TRUE(problems_of(config).empty());
  config.waf.exclusions.push_back({.rule = 942100, .target = "ARGS:a"});
  EXPECT_EQ(problems_of(config).size(), 1u);
}

// Names in every way of writing them, and exclusions of every rule: neither many of the one nor of the other may take
// time by their product with the arguments.
TEST(Exclusions, TakeLittleTimeForManyNames) {
  config::TenantConfig config = tenant();
  config::TenantConfig plain = tenant();
  for (const std::uint32_t rule : {941100U, 941160U, 942100U, 942140U, 942160U, 942190U, 932100U, 933100U, 930110U}) {
    for (int i = 0; i < 20; ++i) config.waf.exclusions.push_back({.rule = rule, .target = "ARGS:description"});
    config.waf.exclusions.push_back({.rule = rule, .target = "ARGS:/^desc/"});
  }
  std::string query;
  for (unsigned i = 0; i < 990; ++i) {
    std::string name = "description";
    for (unsigned bit = 0; bit < name.size(); ++bit) {
      if ((i >> bit & 1) != 0) name[bit] = static_cast<char>(name[bit] - 'a' + 'A');
    }
    query += (query.empty() ? "" : "&") + name + "=1";
  }
  const auto took = [&](const config::TenantConfig& of) {
    const auto policy = policy_of(of);
    const auto cpu = [] {
      timespec now{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
      return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
    };
    const double start = cpu();
    run(*policy, get("/?" + query));
    return cpu() - start;
  };
  EXPECT_LT(took(config), 3 * took(plain) + 0.05);
}

TEST(Exclusions, OfAWholeCollectionReachElementsThatTheRuleNames) {
  config::TenantConfig config = tenant();
  config.waf.rules_after = "SecRule REQUEST_HEADERS:/^x-/ \"@streq bad\" \"id:10001,phase:1,deny\"\n";
  const Request bad = get("/").header("X-A", "bad");
  EXPECT_TRUE(fires(*policy_of(config), bad, 10001));
  config.waf.exclusions = {{.rule = 10001, .target = "REQUEST_HEADERS"}};
  EXPECT_FALSE(fires(*policy_of(config), bad, 10001));
  config.waf.exclusions = {{.rule = 10001, .target = "REQUEST_HEADERS:x-a"}};
  EXPECT_FALSE(fires(*policy_of(config), bad, 10001));
  config.waf.exclusions = {{.rule = 10001, .target = "REQUEST_HEADERS:x-b"}};
  EXPECT_TRUE(fires(*policy_of(config), bad, 10001));
}

TEST(PathWithin, HoldsWholeSegments) {
  EXPECT_TRUE(path_within("/api", "/api"));
  EXPECT_TRUE(path_within("/api", "/api/"));
  EXPECT_TRUE(path_within("/api/x", "/api"));
  EXPECT_TRUE(path_within("/api/x", "/api/"));
  EXPECT_TRUE(path_within("/anything", "/"));
  EXPECT_FALSE(path_within("/apix", "/api"));
  EXPECT_FALSE(path_within("/ap", "/api"));
  EXPECT_FALSE(path_within("/API/x", "/api"));
}

}  // namespace
}  // namespace gatehouse::waf::testing
