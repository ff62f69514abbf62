// The CPU of a transaction is bounded, and what goes wrong in a pattern is never taken for "no match".
#include <time.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/interpose.hpp"
#include "waf/pattern_cache.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;

std::chrono::nanoseconds thread_cpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::unique_ptr<Engine> engine_with(milliseconds budget) {
  config::PlatformWaf platform;
  platform.time_budget = budget;
  auto engine = Engine::create(platform, {});
  EXPECT_TRUE(engine.has_value());
  return std::move(*engine);
}

std::string repeated(std::string_view text, std::size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += text;
  return out;
}

TEST(Interposition, IsActive) { EXPECT_TRUE(interposition_active()); }

TEST(Interposition, EndsARequestThatNeedsTooMuch) {
  const auto engine = engine_with(milliseconds(100));
  config::Problems warnings;
  const auto policy = engine->policy(tenant(), config::TenantRules::yes, warnings);
  ASSERT_TRUE(policy.has_value());
  // A body that costs CRS 3.3.4 seconds of regular expressions.
  const Request costly = post("application/x-www-form-urlencoded", "a=" + repeated("'%2B", 240'000));
  const auto start = thread_cpu();
  const Result result = run(*engine, **policy, costly);
  const auto used = thread_cpu() - start;
  EXPECT_EQ(result.last, Step::error);
  EXPECT_TRUE(result.outcome.engine_error);
  EXPECT_FALSE(result.outcome.denied);
  // One match can go on beyond the budget until its own limit; sanitizers are slow.
  EXPECT_LT(used, milliseconds(3'000));
  // The next request on this thread has its own budget.
  EXPECT_EQ(run(*engine, **policy, get("/")).last, Step::proceed);
  EXPECT_EQ(run(*engine, **policy, get("/?id=1%27%20or%201%3D1--%20")).last, Step::deny);
}

// A POST with a form, before its first phase.
std::unique_ptr<Transaction> begin_form(Engine& engine, const Policy& policy, std::chrono::nanoseconds budget) {
  auto transaction = engine.begin(policy,
                                  {.request_id = "x",
                                   .client_ip = "192.0.2.1",
                                   .server_ip = "192.0.2.2",
                                   .method = "POST",
                                   .target = "/",
                                   .http_version = "1.1"},
                                  budget);
  transaction->add_request_header("Content-Type", "application/x-www-form-urlencoded");
  return transaction;
}

TEST(Interposition, StaysAnErrorForTheRestOfTheTransaction) {
  const auto engine = engine_with(milliseconds(1));
  config::Problems warnings;
  const auto policy = engine->policy(tenant(), config::TenantRules::yes, warnings);
  const auto transaction = begin_form(*engine, **policy, engine->time_budget());
  if (transaction->request_headers() == Step::proceed) {
    transaction->append_request_body("a=" + repeated("'%2B", 100'000));
    EXPECT_EQ(transaction->request_body(), Step::error);
  }
  EXPECT_EQ(transaction->response_headers(200, "1.1"), Step::error);
  EXPECT_EQ(transaction->response_body(), Step::error);
  EXPECT_TRUE(transaction->finish().engine_error);
}

TEST(Interposition, SaysWhetherMoreTimeWouldHelp) {
  const auto engine = engine_with(milliseconds(1000));
  config::Problems warnings;
  const auto policy = engine->policy(tenant(), config::TenantRules::yes, warnings);
  const std::string body = "a=" + repeated("'%2B", 8'000);
  const auto phase_two = [&](std::chrono::nanoseconds budget, std::chrono::nanoseconds more) {
    const auto transaction = begin_form(*engine, **policy, budget);
    EXPECT_EQ(transaction->request_headers(), Step::proceed);
    EXPECT_FALSE(transaction->ran_out_of_time());
    transaction->extend_budget(more);
    transaction->append_request_body(body);
    const Step step = transaction->request_body();
    return std::pair(step, transaction->ran_out_of_time());
  };
  EXPECT_EQ(phase_two(milliseconds(500), -milliseconds(499)), std::pair(Step::error, true));
  EXPECT_NE(phase_two(milliseconds(500), milliseconds(5000)).first, Step::error);
}

// A pattern that backtracks without end: PCRE2 gives up, and that is an error, not "no match".
TEST(Interposition, TakesAMatchLimitForAnError) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRule ARGS:x \"@rx ^(a+)+$\" \"id:10001,phase:2,deny\"\n";
  const auto policy = policy_of(config);
  EXPECT_EQ(run(*policy, get("/?x=aaaa")).last, Step::deny);
  EXPECT_EQ(run(*policy, get("/?x=aaab")).last, Step::proceed);
  const Result result = run(*policy, get("/?x=" + std::string(60, 'a') + "b"));
  EXPECT_EQ(result.last, Step::error);
  EXPECT_TRUE(result.outcome.engine_error);
}

// A tenant's pattern may take twice the time for each byte more: it ends with the budget, not at PCRE2's limit.
TEST(Interposition, EndsATenantsPatternOnAShortText) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRule REQUEST_METHOD \"@rx ^(P+)+$\" \"id:10001,phase:1,deny\"\n";
  const auto policy = policy_of(config);
  const std::string method = std::string(40, 'P') + "-";
  const auto transaction = crs_engine().begin(*policy,
                                              {.request_id = "x",
                                               .client_ip = "192.0.2.1",
                                               .server_ip = "192.0.2.2",
                                               .method = method,
                                               .target = "/",
                                               .http_version = "1.1"},
                                              milliseconds(2));
  EXPECT_FALSE(transaction->was_costly());
  EXPECT_EQ(transaction->request_headers(), Step::error);
  EXPECT_TRUE(transaction->ran_out_of_time());
  EXPECT_TRUE(transaction->was_costly());
}

// A negated pattern would fire on an error; the verdict must still be an error, or the deny that fired.
TEST(Interposition, TakesAMatchLimitOfANegatedPatternForAnError) {
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRule ARGS:x \"!@rx ^(a+)+$\" \"id:10001,phase:2,pass,log,msg:'x'\"\n";
  EXPECT_EQ(run(*policy_of(config), get("/?x=" + std::string(60, 'a') + "b")).last, Step::error);
}

TEST(Interposition, LetsLongHarmlessBodiesPass) {
  config::TenantConfig config = tenant();
  const Result result = run(
      *policy_of(config),
      post("application/json", "{\"text\":\"" + repeated("Lorem ipsum dolor sit amet consectetur. ", 200'000) + "\"}"));
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_FALSE(result.outcome.engine_error);
}

TEST(Budget, ChargesOnlyInAScope) {
  Budget budget(milliseconds(5));
  EXPECT_FALSE(budget_spent(1'000'000'000));
  {
    const BudgetScope scope(budget);
    EXPECT_FALSE(budget_spent(1));
  }
  EXPECT_FALSE(budget.spent());
}

TEST(Budget, AddsUpOverScopes) {
  Budget budget(milliseconds(30));
  int scopes = 0;
  while (!budget.spent() && scopes < 100) {
    ++scopes;
    const BudgetScope scope(budget);
    const auto start = thread_cpu();
    while (thread_cpu() - start < milliseconds(5)) {
    }
  }
  EXPECT_GE(scopes, 2);
  EXPECT_LE(scopes, 8);
  EXPECT_EQ(budget.state(), BudgetState::time);
}

TEST(Budget, IsRaisedToATotal) {
  Budget budget(milliseconds(20));
  budget.raise(milliseconds(40));
  budget.raise(milliseconds(40));
  budget.raise(milliseconds(10));
  {
    const BudgetScope scope(budget);
    const auto start = thread_cpu();
    while (thread_cpu() - start < milliseconds(50)) {
    }
  }
  EXPECT_EQ(budget.state(), BudgetState::time);
}

// Whatever was outside of the interposed functions counts as well, all of it, and waiting does not.
TEST(Budget, ChargesAllOfAScope) {
  Budget budget(milliseconds(60));
  {
    const BudgetScope scope(budget);
    const auto start = thread_cpu();
    while (thread_cpu() - start < milliseconds(100)) {
    }
  }
  EXPECT_EQ(budget.state(), BudgetState::time);

  Budget waits(milliseconds(60));
  {
    const BudgetScope scope(waits);
    const timespec pause{0, 100'000'000};
    nanosleep(&pause, nullptr);
    EXPECT_FALSE(budget_spent(1'000'000));
  }
  EXPECT_FALSE(waits.spent());
}

TEST(Budget, EndsInTheMiddleOfAScope) {
  Budget budget(milliseconds(10));
  const BudgetScope scope(budget);
  const auto start = thread_cpu();
  while (!budget_spent(50'000)) ASSERT_LT(thread_cpu() - start, std::chrono::seconds(2));
  EXPECT_GE(thread_cpu() - start, milliseconds(5));
}

TEST(PatternCache, AnswersTheSecondTime) {
  const auto policy = policy_of(tenant());
  run(*policy, get("/"));
  const std::size_t before = patterns_found();
  run(*policy, get("/"));
  EXPECT_GT(patterns_found(), before);
}

TEST(PatternCache, HoldsWhateverClientsSend) {
  // A pattern made of what the client sends, more of them than are kept.
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRule ARGS:x \"@eq 1\" \"id:10001,phase:2,pass,nolog,setvar:'tx.a_%{ARGS.y}=1'\"\n";
  EXPECT_FALSE(problems_of(config).empty());  // which tenants cannot write; the platform's rules can
  const auto policy = policy_of(tenant());
  for (int i = 0; i < 200; ++i) run(*policy, get("/"));
}

// ---- one rule of a tenant's ------------------------------------------------------------------------------------------

// CPU of one request of 1 MiB whose only rules are the tenant's own.
std::chrono::nanoseconds cpu_of(const std::string& rules, const std::string& body, bool* failed = nullptr) {
  static const auto engine = engine_with(milliseconds(100));
  config::TenantConfig config = tenant();
  config.waf.rules_before = "SecRuleRemoveById 900000-999999\n" + rules;
  config.waf.body_limit = std::size_t{2} << 20;
  config::Problems warnings;
  const auto policy = engine->policy(config, config::TenantRules::yes, warnings);
  EXPECT_TRUE(policy.has_value()) << (policy ? "" : policy.error()[0].message);
  if (!policy) return {};
  const Request request = post(body.starts_with("a=") ? "application/x-www-form-urlencoded" : "text/plain", body);
  const auto start = thread_cpu();
  const Result result = run(*engine, **policy, request);
  const auto used = thread_cpu() - start;
  if (failed != nullptr) *failed = result.outcome.engine_error;
  return used;
}

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int slowness = 10;
#else
constexpr int slowness = 1;
#endif
constexpr milliseconds within = milliseconds(300) * slowness;  // the budget is 100 ms; machines that test are busy

std::string variables_of_body(std::size_t count) {
  std::string out = "REQUEST_BODY";
  for (std::size_t i = 1; i < count; ++i) out += "|REQUEST_BODY";
  return out;
}

TEST(OneRule, IsEndedBetweenItsTransformations) {
  const std::string chain =
      "t:cmdLine,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:urlDecodeUni,t:lowercase,t:compressWhitespace,"
      "t:normalizePath,t:utf8toUnicode,t:cmdLine,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:urlDecodeUni,t:lowercase,"
      "t:compressWhitespace,t:normalizePath,t:removeNulls,t:cmdLine,t:trim";
  const std::string body = "a=" + std::string(1'000'000, 'a');
  for (const std::string& multi : {std::string(), std::string("multiMatch,")}) {
    bool failed = false;
    EXPECT_LT(
        cpu_of("SecRule " + variables_of_body(100) + " \"@streq y\" \"id:10001,phase:2,deny," + multi + chain + "\"\n",
               body, &failed),
        within);
    EXPECT_TRUE(failed);
  }
}

TEST(OneRule, IsEndedBetweenItsValues) {
  bool failed = false;
  EXPECT_LT(cpu_of("SecRule " + variables_of_body(100) + " \"@validateUtf8Encoding\" \"id:10001,phase:2,deny\"\n",
                   "a=" + std::string(1'000'000, 'a'), &failed),
            within);
  EXPECT_TRUE(failed);
}

TEST(OneRule, SearchesInTimeByTheLength) {
  const std::string body = "a=" + std::string(1'000'000, 'a');
  const std::string needle = std::string(4'000, 'a') + "b";
  EXPECT_LT(
      cpu_of("SecRule " + variables_of_body(10) + " \"@contains " + needle + "\" \"id:10001,phase:2,deny\"\n", body),
      within);
  EXPECT_LT(cpu_of("SecAction \"id:10002,phase:2,pass,nolog,setvar:tx.a=%{ARGS.a}\"\n"
                   "SecRule REQUEST_BODY \"@contains %{tx.a}c\" \"id:10001,phase:2,deny\"\n",
                   "a=" + std::string(60'000, 'a') + "&b=" + std::string(900'000, 'a')),
            within);
}

// Every transformation alone, on what it has most work with.
TEST(OneRule, TransformsInTimeByTheLength) {
  const auto of = [](std::string_view text) { return repeated(text, 1'000'000); };
  using namespace std::string_view_literals;
  for (const char* name : {"base64Decode",       "base64DecodeExt",
                           "base64Encode",       "cmdLine",
                           "compressWhitespace", "cssDecode",
                           "escapeSeqDecode",    "hexDecode",
                           "hexEncode",          "htmlEntityDecode",
                           "jsDecode",           "length",
                           "lowercase",          "md5",
                           "normalisePath",      "normalisePathWin",
                           "parityEven7bit",     "parityOdd7bit",
                           "parityZero7bit",     "removeComments",
                           "removeCommentsChar", "removeNulls",
                           "removeWhitespace",   "replaceComments",
                           "replaceNulls",       "sha1",
                           "sqlHexDecode",       "trim",
                           "trimLeft",           "trimRight",
                           "uppercase",          "urlDecode",
                           "urlDecodeUni",       "urlEncode",
                           "utf8toUnicode"}) {
    for (const std::string& body :
         {of("a"),      of("\0"sv),  of(" "),        of("\0a"sv),  of(" a"),   of("/*"),      of("--"),
          of("/../"),   of("a/../"), of("./"),       of("&#x41;"), of("&"),    of("\\u0041"), of("\\"),
          of("%u0041"), of("%"),     of("\xc3\xa4"), of("\xff"),   of("0x41"), of("'"),       of("( ")}) {
      const auto used =
          cpu_of("SecRule REQUEST_BODY \"@streq y\" \"id:10001,phase:2,deny,t:" + std::string(name) + "\"\n", body);
      EXPECT_LT(used, within) << name << " on " << body.substr(0, 6);
    }
  }
}

// The results of ours are those of the library, for which the rules of CRS were written.
TEST(OneRule, TransformsAsTheLibraryDoes) {
  const auto becomes = [](const std::string& name, const std::string& value, const std::string& result) {
    const auto policy = [&] {
      config::TenantConfig config = tenant();
      config.waf.rules_before =
          "SecRule REQUEST_HEADERS:X-A \"@streq " + result + "\" \"id:10001,phase:1,deny,t:none,t:" + name + "\"\n";
      return policy_of(config);
    }();
    Request request = get("/");
    request.header("X-A", value);
    EXPECT_EQ(run(*policy, request).last, Step::deny) << name << " of " << value;
  };
  becomes("removeNulls", std::string("a\0b\0\0c", 6), "abc");
  becomes("replaceNulls", std::string("a\0b\0\0c", 6), "a b  c");
  becomes("removeWhitespace",
          " a\t b\r\n\v\f c\xc2\xa0"
          "d\xa0",
          "abcd");
  becomes("removeCommentsChar", "a/*b*/c<!--d-->e--f#g/h*i-j<!-k", "abcdefg/h*i-j<!-k");
  becomes("removeCommentsChar", "//**x", "/*x");
  becomes("removeCommentsChar", "--->y", "->y");
}

}  // namespace
}  // namespace gatehouse::waf::testing
