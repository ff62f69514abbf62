// Attacks and clean requests against the real Core Rule Set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* form = "application/x-www-form-urlencoded";
constexpr const char* json = "application/json";

void expect_denied(const Result& result, std::uint32_t rule) {
  EXPECT_EQ(result.last, Step::deny);
  EXPECT_TRUE(result.outcome.denied);
  EXPECT_FALSE(result.outcome.engine_error);
  EXPECT_EQ(result.outcome.status, 403);
  EXPECT_GE(result.outcome.inbound_score, 5u);
  EXPECT_THAT(ids(result.outcome), Contains(rule));
  EXPECT_THAT(ids(result.outcome), Contains(949110u));
}

void expect_clean(const Result& result) {
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_FALSE(result.outcome.denied);
  EXPECT_FALSE(result.outcome.engine_error);
  EXPECT_EQ(result.outcome.inbound_score, 0u);
  EXPECT_THAT(ids(result.outcome), IsEmpty());
}

TEST(Crs, PassesCleanRequests) {
  expect_clean(run(get("/")));
  expect_clean(run(get("/products/42?color=blue&size=xl&page=2")));
  expect_clean(
      run(post(form, "name=Anna+M%C3%BCller&city=Saarbr%C3%BCcken&comment=Vielen+Dank+f%C3%BCr+die+Lieferung")));
  expect_clean(
      run(post(json, R"({"name":"Anna","items":[{"id":1,"count":2},{"id":7,"count":1}],"note":"bitte klingeln"})")));
  Request request = get("/account");
  request.header("Cookie", "session=9f8a7b6c5d4e; theme=dark; lang=de");
  request.header("Referer", "https://shop.example.de/");
  request.header("Accept-Language", "de-DE,de;q=0.9");
  expect_clean(run(request));
}

TEST(Crs, DeniesSqlInjectionWhereverItStands) {
  expect_denied(run(get("/?id=1%27%20or%201%3D1--%20")), 942100);
  expect_denied(run(post(form, "id=1%27+or+1%3D1--+")), 942100);
  expect_denied(run(post(json, R"({"a":{"id":"1' or 1=1-- "}})")), 942100);
  Request cookie = get("/");
  cookie.header("Cookie", "id=1' or 1=1-- ");
  expect_denied(run(cookie), 942100);
  Request agent = get("/");
  agent.headers[1].second = "x' or 1=1-- ";
  expect_denied(run(agent), 942100);
}

TEST(Crs, DeniesCrossSiteScriptingWhereverItStands) {
  expect_denied(run(get("/?q=%3Cscript%3Ealert(1)%3C/script%3E")), 941100);
  expect_denied(run(post(form, "q=%3Cscript%3Ealert(1)%3C%2Fscript%3E")), 941100);
  expect_denied(run(post(json, R"({"q":"<script>alert(1)</script>"})")), 941100);
  Request cookie = get("/");
  cookie.header("Cookie", "q=<script>alert(1)</script>");
  expect_denied(run(cookie), 941100);
  Request referer = get("/");
  referer.header("Referer", "https://x/<script>alert(1)</script>");
  expect_denied(run(referer), 941110);
}

TEST(Crs, DeniesFileInclusionWhereverItStands) {
  expect_denied(run(get("/?file=/etc/passwd")), 930120);
  expect_denied(run(get("/?file=../../../../etc/passwd")), 930100);
  expect_denied(run(post(form, "file=/etc/passwd")), 930120);
  expect_denied(run(post(json, R"({"file":"/etc/passwd"})")), 930120);
}

TEST(Crs, DeniesShellInjectionWhereverItStands) {
  expect_denied(run(get("/?c=;cat%20/etc/passwd")), 932160);
  expect_denied(run(post(form, "c=%3B/bin/bash+-i")), 932160);
  expect_denied(run(post(json, R"({"c":";/bin/bash -i"})")), 932160);
}

TEST(Crs, SeesTheTargetAsReceived) { expect_denied(run(get("/static/../../../etc/passwd")), 930100); }

// CVE-2024-1019: libmodsecurity 3.0.9 cuts the path at an encoded question mark. The caller escapes it once more.
TEST(Crs, SeesBehindAnEscapedEncodedQuestionMark) {
  expect_denied(run(get("/a%253Fb/%3Cscript%3Ealert(1)%3C/script%3E")), 941110);
  // Without that, the library does not see it: should this ever fail, the escape is no longer needed.
  EXPECT_EQ(run(get("/a%3Fb/%3Cscript%3Ealert(1)%3C/script%3E")).last, Step::proceed);
}

TEST(Crs, NamesTheTargetAndTheMatch) {
  const Result result = run(get("/?id=1%27%20or%201%3D1--%20"));
  const RuleMatch* match = find(result.outcome, 942100);
  ASSERT_NE(match, nullptr);
  EXPECT_EQ(match->target, "ARGS:id");
  EXPECT_EQ(match->match, "1' or 1=1-- ");
  EXPECT_EQ(match->severity, "CRITICAL");
  EXPECT_EQ(match->message, "SQL Injection Attack Detected via libinjection");
}

TEST(Crs, FlagsWithoutDenyingBelowTheThreshold) {
  Request request = get("/");
  request.headers.erase(request.headers.begin() + 2);  // no Accept: 920300 at paranoia 3
  config::TenantConfig config = tenant();
  config.waf.paranoia = 3;
  const Result result = run(*policy_of(config), request);
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_THAT(ids(result.outcome), Contains(920300u));
  EXPECT_EQ(result.outcome.inbound_score, 2u);
}

TEST(Crs, ParanoiaDecidesWhichRulesRun) {
  Request request = get("/");
  request.headers.erase(request.headers.begin() + 2);
  EXPECT_THAT(ids(run(request).outcome), Not(Contains(920300u)));
  config::TenantConfig config = tenant();
  config.waf.paranoia = 3;
  EXPECT_THAT(ids(run(*policy_of(config), request).outcome), Contains(920300u));
}

TEST(Crs, ThresholdDecidesWhatIsDenied) {
  const Request attack = get("/?id=1%27%20or%201%3D1--%20");
  config::TenantConfig config = tenant();
  config.waf.inbound_threshold = 1000;
  const Result lenient = run(*policy_of(config), attack);
  EXPECT_EQ(lenient.last, Step::proceed);
  EXPECT_THAT(ids(lenient.outcome), Contains(942100u));
  EXPECT_GE(lenient.outcome.inbound_score, 5u);
}

TEST(Crs, DetectModeReportsAndPasses) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::detect;
  const auto policy = policy_of(config);
  EXPECT_EQ(policy->mode(), config::WafMode::detect);
  const Result result = run(*policy, get("/?id=1%27%20or%201%3D1--%20"));
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_FALSE(result.outcome.denied);
  EXPECT_THAT(ids(result.outcome), Contains(942100u));
  EXPECT_THAT(ids(result.outcome), Contains(949110u));
  EXPECT_GE(result.outcome.inbound_score, 5u);
}

TEST(Crs, ModeOffHasNoPolicy) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::off;
  EXPECT_EQ(policy_of(config), nullptr);
}

TEST(Crs, InspectsResponseBodiesWhenAsked) {
  Request request = get("/");
  request.response_status = 500;
  request.response_body =
      "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the "
      "right syntax";
  config::TenantConfig config = tenant();
  EXPECT_EQ(run(*policy_of(config), request).last, Step::proceed);
  config.waf.inspect_response_body = true;
  const Result result = run(*policy_of(config), request);
  EXPECT_EQ(result.last, Step::deny);
  EXPECT_EQ(result.phase, 4);
  EXPECT_THAT(ids(result.outcome), Contains(951230u));
}

}  // namespace
}  // namespace gatehouse::waf::testing
