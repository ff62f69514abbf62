// A tenant's own rules at work: where they run, and that they mean what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::shared_ptr<const Policy> with(std::string before, std::string after = "",
                                   config::TenantRules allowed = config::TenantRules::yes) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = std::move(before);
  config.waf.rules_after = std::move(after);
  return policy_of(config, allowed);
}

std::vector<std::uint32_t> own_ids(const Outcome& outcome) {
  std::vector<std::uint32_t> own;
  for (const auto id : ids(outcome)) {
    if (id < 100'000) own.push_back(id);
  }
  return own;
}

const std::string attack = "/?id=1%27%20or%201%3D1--%20";

TEST(TenantRules, DenyWithTheirStatus) {
  const auto policy = with("SecRule ARGS:x \"@streq y\" \"id:10001,phase:2,deny,status:418,msg:'no y'\"\n");
  const Result result = run(*policy, get("/?x=y"));
  EXPECT_EQ(result.last, Step::deny);
  EXPECT_EQ(result.outcome.status, 418);
  ASSERT_NE(find(result.outcome, 10001), nullptr);
  EXPECT_EQ(find(result.outcome, 10001)->message, "no y");
  EXPECT_EQ(find(result.outcome, 10001)->target, "ARGS:x");
  EXPECT_EQ(run(*policy, get("/?x=z")).last, Step::proceed);
}

TEST(TenantRules, RunBeforeAndAfterCrs) {
  // The score is there only for those behind CRS; what is set before is what CRS goes by.
  const auto policy = with(
      "SecRule TX:anomaly_score_pl1 \"@ge 1\" \"id:10001,phase:2,pass,log,msg:'before'\"\n"
      "SecAction \"id:10002,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=1000\"\n",
      "SecRule TX:anomaly_score_pl1 \"@ge 1\" \"id:10003,phase:2,pass,log,msg:'after'\"\n");
  const Result result = run(*policy, get(attack));
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_THAT(own_ids(result.outcome), ElementsAre(10003u));
  EXPECT_THAT(ids(result.outcome), Contains(942100u));
}

TEST(TenantRules, RunBehindTheTenantsValues) {
  // The YAML says paranoia 1; the tenant's own rule, which comes later, says 3.
  const auto policy = with(
      "SecAction \"id:10001,phase:1,pass,nolog,setvar:tx.executing_paranoia_level=3,setvar:tx.paranoia_level=3\"\n");
  Request request = get("/");
  request.headers.erase(request.headers.begin() + 2);
  EXPECT_THAT(ids(run(*policy, request).outcome), Contains(920300u));
}

TEST(TenantRules, DecideByRequestWhatCrsRuns) {
  const auto policy = with(
      "SecRule REQUEST_HEADERS:X-Strict \"@streq yes\" "
      "\"id:10001,phase:1,pass,nolog,setvar:tx.executing_paranoia_level=3,setvar:tx.paranoia_level=3\"\n");
  Request request = get("/");
  request.headers.erase(request.headers.begin() + 2);
  EXPECT_THAT(ids(run(*policy, request).outcome), Not(Contains(920300u)));
  request.header("X-Strict", "yes");
  EXPECT_THAT(ids(run(*policy, request).outcome), Contains(920300u));
}

TEST(TenantRules, SkipToTheirOwnMarkers) {
  const auto policy = with(
      "SecRule ARGS:skip \"@eq 1\" \"id:10001,phase:2,pass,nolog,skipAfter:END\"\n"
      "SecRule ARGS:a \"@eq 1\" \"id:10002,phase:2,pass,log,msg:'not skipped'\"\n"
      "SecMarker END\n"
      "SecRule ARGS:a \"@eq 1\" \"id:10003,phase:2,pass,log,msg:'behind'\"\n");
  EXPECT_THAT(own_ids(run(*policy, get("/?a=1")).outcome), ElementsAre(10002u, 10003u));
  EXPECT_THAT(own_ids(run(*policy, get("/?a=1&skip=1")).outcome), ElementsAre(10003u));
}

TEST(TenantRules, Chain) {
  const auto policy = with(
      "SecRule ARGS:a \"@eq 1\" \"id:10001,phase:2,deny,chain\"\n"
      "  SecRule ARGS:b \"@eq 2\" \"setvar:'tx.seen=1'\"\n"
      "SecRule TX:seen \"@eq 1\" \"id:10002,phase:2,pass,log,msg:'seen'\"\n");
  EXPECT_THAT(own_ids(run(*policy, get("/?a=1")).outcome), IsEmpty());
  EXPECT_EQ(run(*policy, get("/?a=1&b=2")).last, Step::deny);
}

TEST(TenantRules, RunInTheirPhase) {
  const auto policy = with(
      "SecRule REQUEST_METHOD \"@streq GET\" \"id:10001,phase:1,pass,log,msg:'1'\"\n"
      "SecRule RESPONSE_STATUS \"@eq 200\" \"id:10003,phase:3,pass,log,msg:'3'\"\n"
      "SecRule RESPONSE_STATUS \"@eq 200\" \"id:10005,phase:5,pass,log,msg:'5'\"\n");
  EXPECT_THAT(own_ids(run(*policy, get("/")).outcome), ElementsAre(10001u, 10003u, 10005u));
  const auto denies = with("SecRule RESPONSE_HEADERS:X-Secret \"@contains a\" \"id:10003,phase:3,deny\"\n");
  Request leak = get("/");
  leak.response_headers.emplace_back("X-Secret", "banana");
  EXPECT_EQ(run(*denies, leak).phase, 3);
  EXPECT_EQ(run(*denies, leak).last, Step::deny);
}

TEST(TenantRules, RemoveAndNarrowRules) {
  EXPECT_THAT(ids(run(*with("SecRuleRemoveById 942000-942999 949110\n"), get(attack)).outcome), Not(Contains(942100u)));
  const auto narrowed = with("SecRuleUpdateTargetById 942100 \"!ARGS:id\"\n");
  EXPECT_THAT(ids(run(*narrowed, get(attack)).outcome), Not(Contains(942100u)));
  EXPECT_THAT(ids(run(*narrowed, get("/?x=1%27%20or%201%3D1--%20")).outcome), Contains(942100u));
}

TEST(TenantRules, WidenRules) {
  Request request = get("/");
  request.header("X-Search", "1' or 1=1-- ");
  EXPECT_THAT(ids(run(*with(""), request).outcome), Not(Contains(942100u)));
  EXPECT_THAT(ids(run(*with("SecRuleUpdateTargetById 942100 \"REQUEST_HEADERS:X-Search\"\n"), request).outcome),
              Contains(942100u));
}

// What is added is not in the rules' texts, from which it is concluded what nobody reads.
TEST(TenantRules, WidenRulesByWhatNothingElseReads) {
  config::TenantConfig config = tenant();
  config.waf.rules_before =
      "SecAction \"id:10001,phase:1,pass,nolog,setvar:'tx.foo=%{REQUEST_HEADERS.X-Query}'\"\n"
      "SecRule ARGS:zz \"@contains evil\" \"id:10002,phase:2,deny\"\n"
      "SecRuleUpdateTargetById 10002 \"TX:foo\"\n"
      "SecRuleUpdateTargetById 942100 \"TX:foo\"\n"
      "SecRule RESPONSE_HEADERS:x-none \"@contains evil\" \"id:10003,phase:3,deny\"\n"
      "SecRuleUpdateTargetById 10003 \"ARGS:q\"\n";
  const auto policy = policy_of(config);
  EXPECT_EQ(run(*policy, get("/?q=x")).last, Step::proceed);
  EXPECT_NE(find(run(*policy, get("/").header("X-Query", "evil")).outcome, 10002), nullptr);
  EXPECT_NE(find(run(*policy, get("/").header("X-Query", "1' or '1'='1")).outcome, 942100), nullptr);
  EXPECT_NE(find(run(*policy, get("/?q=evil")).outcome, 10003), nullptr);
}

TEST(TenantRules, MayTurnOtherRulesOffIfTrusted) {
  const std::string text =
      "SecRule REQUEST_FILENAME \"@beginsWith /blog\" "
      "\"id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=942100,ctl:ruleRemoveTargetById=942190;ARGS:id\"\n";
  const auto policy = with(text, "", config::TenantRules::trusted);
  EXPECT_THAT(ids(run(*policy, get("/blog" + attack)).outcome), Not(Contains(942100u)));
  EXPECT_THAT(ids(run(*policy, get(attack)).outcome), Contains(942100u));
  const auto detect = with(
      "SecRule REQUEST_FILENAME \"@beginsWith /blog\" \"id:10001,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly\"\n",
      "", config::TenantRules::trusted);
  EXPECT_EQ(run(*detect, get("/blog" + attack)).last, Step::proceed);
  EXPECT_EQ(run(*detect, get(attack)).last, Step::deny);
}

TEST(TenantRules, OfFoldedRulesTooIfTrusted) {
  // 911011 is one of those that are decided when the policy is made; here a request may take it out.
  const auto policy =
      with("SecRule ARGS:x \"@eq 1\" \"id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=920000-920999\"\n", "",
           config::TenantRules::trusted);
  Request request = get("/?x=1");
  request.headers[0].second = "192.0.2.1";  // 920350
  EXPECT_THAT(ids(run(*policy, request).outcome), Not(Contains(920350u)));
  request.target = "/?x=2";
  EXPECT_THAT(ids(run(*policy, request).outcome), Contains(920350u));
}

TEST(TenantRules, SayWhatTheParserUnderstood) {
  const auto policy =
      with(R"(SecRule ARGS:a "@rx ^x\"y%z\\w$" "id:10001,phase:2,deny")"
           "\n"
           R"(SecRule ARGS:'/^p[ =,]q$/' "@streq 1" "id:10002,phase:2,deny")"
           "\n"
           R"(SecRule ARGS:'/^(r|s)$/' "@streq it's;fine" "id:10003,phase:2,deny")"
           "\n"
           R"(SecRule REMOTE_ADDR "@ipMatch 203.0.113.0/24" "id:10004,phase:2,pass,nolog,setvar:'tx.net=a b'")"
           "\n"
           R"(SecRule TX:net "@streq a b" "id:10005,phase:2,pass,log,msg:'net %{TX.net}, from %{REMOTE_ADDR}'")"
           "\n"
           R"(SecRule ARGS:t "@within %{TX.net} c" "id:10006,phase:2,deny")"
           "\n"
           R"(SecRule ARGS:u "@pm evil bad" "id:10007,phase:2,deny,t:none,t:lowercase")"
           "\n");
  const auto denied_by = [&](const char* target) {
    const Result result = run(*policy, get(target));
    auto own = own_ids(result.outcome);
    std::erase(own, 10005u);
    return result.last == Step::deny && !own.empty() ? own.back() : 0u;
  };
  EXPECT_EQ(denied_by("/?a=x%22y%25z%5Cw"), 10001u);
  EXPECT_EQ(denied_by("/?a=x%22y%25z%5C%5Cw"), 0u);
  EXPECT_EQ(denied_by("/?p%20q=1"), 10002u);
  EXPECT_EQ(denied_by("/?p%2Cq=1"), 10002u);
  EXPECT_EQ(denied_by("/?pxq=1"), 0u);
  EXPECT_EQ(denied_by("/?s=it's%3Bfine"), 10003u);
  EXPECT_EQ(denied_by("/?t=b+c"), 10006u);
  EXPECT_EQ(denied_by("/?u=EVIL"), 10007u);
  const Result plain = run(*policy, get("/"));
  ASSERT_NE(find(plain.outcome, 10005), nullptr);
  EXPECT_EQ(find(plain.outcome, 10005)->message, "net a b, from 203.0.113.9");
}

TEST(TenantRules, ErrorsOfATextInQuotesAreAtItsBeginning) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "\n\n\nSecRuleEngine Off\n";
  config.waf.rules_before_place = {config.file, 2, 9};
  config.text = std::make_shared<const std::string>("waf:\n  a: b; \"\\n\\n\\nSecRuleEngine Off\\n\"\n");
  const config::Problems problems = problems_of(config);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].place.line, 2);
  EXPECT_EQ(problems[0].place.column, 9);
}

TEST(TenantRules, ABoundedNumberOfProblemsIsTold) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRuleRemoveById";
  for (int i = 0; i < 40'000; ++i) config.waf.rules_before += " 7";
  const config::Problems problems = problems_of(config);
  EXPECT_TRUE(config::has_errors(problems));
  EXPECT_LT(problems.size(), 400u);
}

TEST(TenantRules, LeaveOutAsManyTargetsAsExclusionsMay) {
  config::TenantConfig config = tenant();
  const auto removals = [](int count) {
    std::string text = "SecRuleUpdateTargetById 942100 \"!ARGS:a";
    for (int i = 1; i < count; ++i) text += ",!ARGS:a" + std::to_string(i);
    return text + "\"\n";
  };
  config.waf.rules_before = removals(200);
  EXPECT_FALSE(config::has_errors(problems_of(config)));
  config.waf.rules_after = removals(1);
  EXPECT_THAT(problems_of(config).front().message, HasSubstr("more than 200 exclusions"));
}

TEST(TenantRules, ErrorsAreAtTheirPlaceInTheFile) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "# fine\nSecRule ARGS \"@rx (\" \"id:10001,phase:2,deny\"\nSecRuleEngine Off\n";
  config.waf.rules_after = "SecRuleRemoveById 123456\n";
  const config::Problems problems = problems_of(config);
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems[0].place.file, config.file);
  EXPECT_EQ(problems[0].place.line, 21);
  EXPECT_EQ(problems[0].place.column, 5 + 19);
  EXPECT_EQ(problems[0].source_line, "    SecRule ARGS \"@rx (\" \"id:10001,phase:2,deny\"");
  EXPECT_EQ(problems[1].place.line, 22);
  EXPECT_EQ(problems[1].place.column, 5);
  EXPECT_THAT(problems[2].message, HasSubstr("there is no rule 123456"));
  EXPECT_EQ(problems[2].place.line, 40);
}

TEST(TenantRules, NeedThePlatformsLeave) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecMarker A\n";
  EXPECT_TRUE(problems_of(config).empty());
  const auto refused = problems_of(config, config::TenantRules::no);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_THAT(refused[0].message, HasSubstr("policy.tenant_rules"));
  config.waf.rules_before = " \n";
  EXPECT_TRUE(problems_of(config, config::TenantRules::no).empty());
}

// Rules that multiply a value, one after the other.
std::string growth(std::string_view first, std::size_t rules) {
  std::string text = "SecAction \"id:20000,phase:1,pass,nolog,setvar:tx.a=" + std::string(first) + "\"\n";
  for (std::size_t i = 1; i <= rules; ++i)
    text += "SecAction \"id:" + std::to_string(20'000 + i) +
            ",phase:1,pass,nolog,setvar:tx.a=%{tx.a}%{tx.a}%{tx.a}%{tx.a}\"\n";
  return text;
}

// What nobody reads is not even set.
const std::string ask = "SecRule TX:a \"@streq %{tx.a}\" \"id:10001,phase:1,deny\"\n";

TEST(TenantRules, CannotFillTheMemoryWhenTheyAreLoaded) {
  const auto policy = with(growth("xxxxxxxxxxxxxxxx", 60) + ask);
  EXPECT_TRUE(run(*policy, get("/")).outcome.engine_error);
}

TEST(TenantRules, CannotFillTheMemoryByValuesThatGrow) {
  const auto policy = with(growth("%{REQUEST_HEADERS.User-Agent}", 40) + ask);
  const Result result = run(*policy, get("/"));
  EXPECT_TRUE(result.outcome.engine_error);
  EXPECT_FALSE(result.outcome.denied);
  // Up to the bound they are what they say: 64 bytes four times over five times are 64 KiB.
  Request request = get("/");
  request.headers[1].second = std::string(64, 'M');
  EXPECT_EQ(run(*with(growth("%{REQUEST_HEADERS.User-Agent}", 5) + ask), request).last, Step::deny);
  request.headers[1].second += 'M';
  EXPECT_EQ(run(*with(growth("%{REQUEST_HEADERS.User-Agent}", 5) + ask), request).last, Step::error);
}

TEST(TenantRules, ShareOneBoundOfWhatTheySet) {
  std::string text;
  for (int i = 0; i < 70; ++i)
    text += "SecAction \"id:" + std::to_string(20'000 + i) + ",phase:1,pass,nolog,setvar:tx.a" + std::to_string(i) +
            "=%{REQUEST_HEADERS.User-Agent}\"\n";
  text += "SecRule TX:a0";
  for (int i = 1; i < 70; ++i) text += "|TX:a" + std::to_string(i);
  text += " \"@streq x\" \"id:10001,phase:1,deny\"\n";
  Request request = get("/");
  request.headers[1].second = std::string(900, 'M');
  EXPECT_EQ(run(*with(text), request).last, Step::proceed);
  request.headers[1].second = std::string(1000, 'M');
  EXPECT_TRUE(run(*with(text), request).outcome.engine_error);
}

TEST(TenantRules, SetAVariableAnewAsOftenAsTheyLike) {
  const auto policy = with(
      "SecRule ARGS \"@rx .\" \"id:10001,phase:2,pass,nolog,setvar:tx.last=%{MATCHED_VAR}\"\n"
      "SecRule TX:last \"@streq x\" \"id:10002,phase:2,deny\"\n");
  std::string query = "/?";
  for (int i = 0; i < 200; ++i) query += "a" + std::to_string(i) + "=" + std::string(1000, 'a') + "&";
  EXPECT_FALSE(run(*policy, get(query + "z=1")).outcome.engine_error);
}

TEST(TenantRules, MessagesOfAnyLengthDenyAsTheyShould) {
  const auto policy = with(
      "SecRule REQUEST_BODY \"@contains aaa\" \"id:10001,phase:2,deny,msg:'m %{REQUEST_BODY}',"
      "logdata:'%{REQUEST_BODY}%{REQUEST_BODY}%{REQUEST_BODY}%{REQUEST_BODY}'\"\n");
  EXPECT_EQ(run(*policy, post("application/x-www-form-urlencoded", "a=" + std::string(200'000, 'a'))).last, Step::deny);
  // An argument that is too long is not cut: the rule would mean something else.
  const auto compares = with("SecRule REQUEST_BODY \"@streq %{REQUEST_BODY}\" \"id:10001,phase:2,deny,msg:'m'\"\n");
  EXPECT_EQ(run(*compares, post("application/x-www-form-urlencoded", "a=" + std::string(1'000, 'a'))).last, Step::deny);
  EXPECT_EQ(run(*compares, post("application/x-www-form-urlencoded", "a=" + std::string(70'000, 'a'))).last,
            Step::error);
}

}  // namespace
}  // namespace gatehouse::waf::testing
