// Secrets stay out of what events show, through the real rules.
#include <algorithm>
#include <ctime>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gateway_config.hpp"
#include "waf/harvest.hpp"
#include "waf/mask.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf {

using ::testing::HasSubstr;
using ::testing::Not;

namespace testing {
namespace {

// Through the real rules: nothing of a secret is in any match, message or target.
void expect_hidden(const Request& request, std::string_view secret) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::detect;
  config.waf.paranoia = 4;
  const Result result = run(*policy_of(config), request);
  EXPECT_FALSE(result.outcome.rules.empty());
  for (const RuleMatch& match : result.outcome.rules) {
    for (const std::string& text : {match.match, match.message, match.target}) {
      EXPECT_EQ(text.find(secret), std::string::npos) << match.id << ": " << text;
      EXPECT_LE(text.size(), 256u);
    }
    EXPECT_LE(match.match.size(), 100u);
  }
}

TEST(MaskedEvents, HideSecretsThatRulesMatched) {
  const std::string form = "application/x-www-form-urlencoded";
  expect_hidden(post(form, "user=x&password=hunter2%27+or+1%3D1--+"), "hunter2");
  expect_hidden(post("application/json", R"({"user":"x","password":"hunter2' or 1=1-- <script>"})"), "hunter2");
  expect_hidden(get("/?token=hunter2%27%20or%201%3D1--%20&x=%3Cscript%3E"), "hunter2");
  Request cookie = get("/");
  cookie.header("Cookie", "session=hunter2' or 1=1-- ; lang=de");
  expect_hidden(cookie, "hunter2");
  Request bearer = get("/?x=%3Cscript%3E");
  bearer.header("Authorization", "Bearer hunter2hunter2' or 1=1-- ");
  expect_hidden(bearer, "hunter2");
  expect_hidden(post("text/plain", "password=hunter2' or 1=1-- "), "hunter2");
  expect_hidden(
      post("multipart/form-data; boundary=xyz",
           "--xyz\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2' or 1=1-- \r\n--xyz--\r\n"),
      "hunter2");
}

TEST(MaskedEvents, HideNamesOfCookies) {
  expect_hidden(get("/").header("Cookie", "hunter2' union select 1 from b -- =1"), "hunter2");
}

TEST(MaskedEvents, NameTheCookieThatAnAttackIsIn) {
  config::TenantConfig config = tenant();
  config.waf.rules_before =
      "SecRule REQUEST_COOKIES \"@contains hunter2\" \"id:10001,phase:1,pass,log,msg:'m',chain\"\n"
      "  SecRule MATCHED_VARS \"@contains hunter2\" \"t:none\"\n";
  const Result result =
      run(*policy_of(config), get("/").header("Cookie", "lang=de; basket=hunter2' or '1'='1' -- ; id=5"));
  ASSERT_NE(find(result.outcome, 942100), nullptr);
  EXPECT_EQ(find(result.outcome, 942100)->target, "REQUEST_COOKIES:basket");
  EXPECT_EQ(find(result.outcome, 942100)->match, "***");
  ASSERT_NE(find(result.outcome, 10001), nullptr);
  EXPECT_EQ(find(result.outcome, 10001)->target, "MATCHED_VARS:REQUEST_COOKIES:basket");
  EXPECT_EQ(find(result.outcome, 10001)->match, "***");
}

TEST(MaskedEvents, ShowTheClientAsItMayBeShown) {
  config::TenantConfig config = tenant();
  config.waf.rules_before =
      "SecRule REMOTE_ADDR \"@ipMatch 203.0.113.0/24\" "
      "\"id:10001,phase:1,pass,log,msg:'from %{REMOTE_ADDR} it is',setvar:tx.from=%{REMOTE_ADDR}\"\n"
      "SecRule TX:from \"@rx .\" \"id:10002,phase:1,pass,log,msg:'x'\"\n"
      "SecRule REMOTE_HOST \"@rx .\" \"id:10003,phase:1,pass,log,msg:'x'\"\n";
  const auto policy = policy_of(config);
  const auto matches = [&](std::string_view shown) {
    const auto transaction = crs_engine().begin(*policy,
                                                {.request_id = "x",
                                                 .client_ip = "203.0.113.77",
                                                 .client_shown = shown,
                                                 .server_ip = "192.0.2.2",
                                                 .method = "GET",
                                                 .target = "/",
                                                 .http_version = "1.1"},
                                                std::chrono::seconds(20));
    EXPECT_EQ(transaction->request_headers(), Step::proceed);
    return transaction->finish();
  };
  for (const std::string shown : {"203.0.113.77", "203.0.113.0", "***"}) {
    const Outcome outcome = matches(shown == "203.0.113.77" ? "" : shown);
    ASSERT_NE(find(outcome, 10001), nullptr);
    EXPECT_EQ(find(outcome, 10001)->message, "from " + shown + " it is");
    EXPECT_EQ(find(outcome, 10001)->match, shown);
    ASSERT_NE(find(outcome, 10002), nullptr);
    EXPECT_EQ(find(outcome, 10002)->match, shown);
  }
}

TEST(MaskedEvents, ShowTheClientSoInLongValuesToo) {
  config::TenantConfig config = tenant();
  config.waf.rules_before =
      "SecRule REQUEST_HEADERS:X-A \"@rx (addresses|attack\\d)\" \"id:10001,phase:1,pass,log,capture,msg:'m'\"\n";
  const auto policy = policy_of(config);
  const auto match = [&](const std::string& value) {
    const auto transaction = crs_engine().begin(*policy,
                                                {.request_id = "x",
                                                 .client_ip = "2001:db8:1:2:3:4:5:6",
                                                 .client_shown = "2001:db8:1::",
                                                 .server_ip = "192.0.2.2",
                                                 .method = "GET",
                                                 .target = "/",
                                                 .http_version = "1.1"},
                                                std::chrono::seconds(20));
    transaction->add_request_header("X-A", value);
    EXPECT_EQ(transaction->request_headers(), Step::proceed);
    const Outcome outcome = transaction->finish();
    const RuleMatch* const found = find(outcome, 10001);
    return found != nullptr ? found->match : "none";
  };
  std::string many;
  while (many.size() < 80'000) many += "2001:db8:1:2:3:4:5:6,";
  EXPECT_EQ(match("addresses " + many).substr(0, 36), "addresses 2001:db8:1::,2001:db8:1::,");
  // Behind the first 64 KiB, and within them once the addresses are shorter.
  EXPECT_EQ(match(many + "attack7"), "b8:1::,2001:db8:1::,attack7");
}

TEST(MaskedEvents, HideSecretsInTheTenantsMessages) {
  config::TenantConfig config = tenant();
  config.waf.rules_before =
      "SecRule ARGS:password \"@rx .\" \"id:10001,phase:2,pass,log,msg:'it was %{MATCHED_VAR}'\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:10002,phase:2,pass,log,msg:'and %{ARGS.password}',chain\"\n"
      "  SecRule MATCHED_VAR \"@rx .\" \"setvar:'tx.copy=%{ARGS.password}'\"\n"
      "SecRule TX:copy \"@rx .\" \"id:10003,phase:2,pass,log,msg:'copied'\"\n"
      "SecRule ARGS \"@rx .\" \"id:10004,phase:2,pass,log,msg:'x',t:lowercase,chain\"\n"
      "  SecRule MATCHED_VARS \"@contains hunter\" \"t:none\"\n";
  const Result result = run(*policy_of(config), get("/?password=Hunter2Hunter&a=b"));
  EXPECT_GE(result.outcome.rules.size(), 4u);
  for (const RuleMatch& match : result.outcome.rules) {
    for (const std::string& text : {match.match, match.message, match.target}) {
      EXPECT_EQ(text.find("unter"), std::string::npos) << match.id << ": " << text;
    }
  }
}

config::TenantConfig nosy(std::string rules) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::detect;
  config.waf.rules_before = std::move(rules);
  return config;
}

TEST(MaskedEvents, HideTheTextsOfXmlThatNamesASecret) {
  for (const std::string type : {"text/xml", "application/soap+xml; charset=utf-8"}) {
    expect_hidden(post(type, "<l><password>Hunter2' or '1'='1'-- </password></l>"), "unter2");
    expect_hidden(post(type, "<l><w:Password xmlns:w='urn:w'>Hunter2' or '1'='1'-- </w:Password></l>"), "unter2");
    expect_hidden(post(type, "<l token=\"Hunter2' or '1'='1'-- \"/>"), "unter2");
    expect_hidden(post(type, "<l><password><![CDATA[Hunter2' or '1'='1'-- ]]></password></l>"), "unter2");
    expect_hidden(post(type, "<l><field name='password'>Hunter2' or '1'='1'-- </field></l>"), "unter2");
  }
}

TEST(MaskedEvents, HideTheTextsOfXmlInUtf16) {
  std::string body = "\xFF\xFE";
  for (const char c : std::string_view("<l><password>Hunter2' or '1'='1'-- </password></l>")) (body += c) += '\0';
  expect_hidden(post("text/xml", body), "unter2");
}

TEST(MaskedEvents, ShowTheTextsOfOtherXml) {
  const Result result = run(post("text/xml", "<l><name>Hunter2' or '1'='1'-- </name></l>"));
  const RuleMatch* const match = find(result.outcome, 942130);
  const bool shown = std::ranges::any_of(result.outcome.rules, [](const RuleMatch& rule) {
    return rule.target == "XML:/*" && rule.match.find("unter2") != std::string::npos;
  });
  EXPECT_TRUE(shown) << (match != nullptr ? match->match : "");
}

TEST(MaskedEvents, HideWhatRulesHaveCopiedOfXml) {
  const auto policy = policy_of(nosy(
      "SecRule XML:/* \"@rx (.+)\" \"id:10001,phase:2,pass,log,capture,msg:'m %{TX.0}',setvar:tx.leak=%{TX.1},chain\"\n"
      "  SecRule MATCHED_VAR \"@rx .\" \"t:none\"\n"
      "SecRule TX:leak \"@rx .\" \"id:10002,phase:2,pass,log,msg:'n'\"\n"
      "SecRule TX:leak \"@rx .\" \"id:10003,phase:5,pass,log,msg:'o %{TX.leak}'\"\n"));
  const Result result = run(*policy, post("text/xml", "<l><password>Hunter2Hunter</password></l>"));
  for (const std::uint32_t id : {10001u, 10002u, 10003u}) {
    const RuleMatch* const match = find(result.outcome, id);
    ASSERT_NE(match, nullptr) << id;
    EXPECT_EQ(match->match, "***") << id;
  }
  EXPECT_EQ(find(result.outcome, 10001)->message, "m ***");
  EXPECT_EQ(find(result.outcome, 10003)->message, "o ***");
  const Result other = run(*policy, post("text/xml", "<l><name>Hunter2Hunter</name></l>"));
  EXPECT_EQ(find(other.outcome, 10002)->match, "Hunter2Hunter");
  EXPECT_EQ(find(other.outcome, 10003)->message, "o Hunter2Hunter");
}

TEST(MaskedEvents, HidePartsOfSecretsThatRulesHaveCopied) {
  const auto policy = policy_of(nosy(
      "SecRule REQUEST_HEADERS:Authorization \"@rx ^Bearer (.+)$\" "
      "\"id:10001,phase:1,pass,nolog,capture,setvar:'tx.leak=%{TX.1}',setvar:'tx.mixed=x:%{TX.1}:y'\"\n"
      "SecRule REQUEST_HEADERS:Authorization \"@rx ^.{9}(.{6})\" "
      "\"id:10002,phase:1,pass,nolog,capture,setvar:'tx.part=%{TX.1}'\"\n"
      "SecRule REQUEST_HEADERS:Authorization \"@rx .\" "
      "\"id:10003,phase:1,pass,nolog,t:base64Encode,t:base64Decode,t:uppercase,setvar:'tx.upper=%{MATCHED_VAR}'\"\n"
      "SecRule TX:leak|TX:mixed|TX:part|TX:upper \"@rx .\" \"id:10004,phase:1,pass,log,msg:'m %{MATCHED_VAR} n'\"\n"
      "SecRule TX:leak \"@rx .\" \"id:10005,phase:2,pass,log,msg:'m %{TX.leak} n'\"\n"
      "SecRule TX:mixed \"@rx .\" \"id:10006,phase:3,pass,log,msg:'m %{TX.part} n'\"\n"
      "SecRule TX:part \"@rx .\" \"id:10007,phase:5,pass,log,msg:'m %{TX.upper} n'\"\n"
      "SecRule TX:upper \"@rx .\" \"id:10008,phase:1,pass,log,msg:'m'\"\n"
      "SecAction \"id:10009,phase:1,pass,nolog,setvar:'tx.harmless=a harmless text'\"\n"
      "SecRule TX:harmless \"@rx .\" \"id:10010,phase:1,pass,log,msg:'m %{TX.harmless} n'\"\n"));
  Request request = get("/?a=b");
  request.header("Authorization", "Bearer q7f3kk29xw0a");
  const Result result = run(*policy, request);
  for (std::uint32_t id = 10004; id <= 10008; ++id) {
    const RuleMatch* const match = find(result.outcome, id);
    ASSERT_NE(match, nullptr) << id;
    EXPECT_EQ(match->match, "***") << id;
    if (id != 10008) EXPECT_EQ(match->message, "m *** n") << id;
  }
  EXPECT_EQ(find(result.outcome, 10010)->match, "a harmless text");
  EXPECT_EQ(find(result.outcome, 10010)->message, "m a harmless text n");
}

TEST(MaskedEvents, HideCopiesOfWhatIsReleasedMeanwhile) {
  const std::string rules =
      "SecRule ARGS_POST:password \"@rx .\" \"id:10001,phase:2,pass,nolog,setvar:'tx.leak=%{MATCHED_VAR}'\"\n"
      "SecAction \"id:10002,phase:2,pass,nolog,setvar:'tx.harmless=a harmless text'\"\n"
      "SecRule TX:leak \"@rx .\" \"id:10003,phase:3,pass,log,msg:'m %{TX.leak} n'\"\n"
      "SecRule TX:harmless \"@rx .\" \"id:10004,phase:5,pass,log,msg:'m'\"\n";
  const Result result = run(*policy_of(nosy(rules)), post("application/x-www-form-urlencoded", "password=hunter2"));
  ASSERT_NE(find(result.outcome, 10003), nullptr);
  EXPECT_EQ(find(result.outcome, 10003)->match, "***");
  EXPECT_EQ(find(result.outcome, 10003)->message, "m *** n");
  EXPECT_EQ(find(result.outcome, 10004)->match, "a harmless text");
}

TEST(MaskedEvents, HideCopiesOfBasicCredentialsThatRulesHaveDecoded) {
  const auto policy = policy_of(
      nosy("SecRule REQUEST_HEADERS:Authorization \"@rx ^Basic (.+)$\" "
           "\"id:10001,phase:1,pass,nolog,capture,setvar:'tx.leak=%{TX.1}'\"\n"
           "SecRule TX:leak \"@rx (.+)\" \"id:10002,phase:1,pass,log,t:base64Decode,capture,msg:'m %{TX.1}'\"\n"));
  Request request = get("/");
  request.header("Authorization", "Basic dXNlcjpodW50ZXIy");  // user:hunter2
  const Result result = run(*policy, request);
  ASSERT_NE(find(result.outcome, 10002), nullptr);
  EXPECT_EQ(find(result.outcome, 10002)->match, "***");
  EXPECT_EQ(find(result.outcome, 10002)->message, "m ***");
}

TEST(MaskedEvents, HideSecretsThatTheTenantsRulesEncode) {
  const auto policy = policy_of(
      nosy("SecRule QUERY_STRING \"@rx .\" \"id:10001,phase:1,pass,log,t:hexEncode,msg:'m'\"\n"
           "SecRule REQUEST_HEADERS:Authorization \"@rx .\" \"id:10002,phase:1,pass,log,t:base64Encode,msg:'m "
           "%{MATCHED_VAR} n'\"\n"
           "SecRule ARGS:password \"@rx .\" "
           "\"id:10003,phase:2,pass,nolog,t:sha1,t:hexEncode,setvar:'tx.a=%{MATCHED_VAR}'\"\n"
           "SecRule TX:a \"@rx .\" \"id:10004,phase:2,pass,log,msg:'m %{TX.a} n'\"\n"
           "SecRule ARGS:password \"@rx .\" \"id:10005,phase:2,pass,nolog,t:BASE64ENCODE\"\n"
           "SecRule MATCHED_VAR \"@rx .\" \"id:10006,phase:2,pass,log,msg:'m %{MATCHED_VAR} n'\"\n"
           "SecRule ARGS:a \"@rx .\" \"id:10007,phase:2,pass,log,msg:'m'\"\n"
           "SecRule ARGS:password \"@rx ^(..)\" \"id:10008,phase:2,pass,log,t:hexEncode,capture,msg:'m %{TX.1} n'\"\n"
           "SecRule ARGS:a \"@rx .\" \"id:10009,phase:2,pass,log,t:utf8toUnicode,t:urlDecodeUni,msg:'m'\"\n"));
  Request request = get("/?a=harmless&password=hunter2");
  request.header("Authorization", "Bearer q7f3kk29xw0a");
  const Result result = run(*policy, request);
  for (const std::uint32_t id : {10001u, 10002u, 10004u, 10008u}) {
    const RuleMatch* const match = find(result.outcome, id);
    ASSERT_NE(match, nullptr) << id;
    EXPECT_EQ(match->match, "***") << id;
    EXPECT_EQ(match->message, id == 10001 ? "m" : "m *** n") << id;
  }
  if (const RuleMatch* const later = find(result.outcome, 10006)) {  // if the library still knows it then
    EXPECT_EQ(later->match, "***");
    EXPECT_EQ(later->message, "m *** n");
  }
  EXPECT_EQ(find(result.outcome, 10007)->match, "harmless");
  EXPECT_EQ(find(result.outcome, 10009)->match, "harmless");
  // Without a secret copies are shown.
  const Result plain = run(*policy_of(nosy("SecRule ARGS:a \"@rx .\" \"id:10001,phase:2,pass,nolog,t:hexEncode\"\n"
                                           "SecRule ARGS:a \"@rx .\" "
                                           "\"id:10002,phase:2,pass,nolog,setvar:'tx.a=%{MATCHED_VAR}'\"\n"
                                           "SecRule TX:a \"@rx .\" \"id:10003,phase:2,pass,log,msg:'m'\"\n")),
                           get("/?a=harmless"));
  EXPECT_EQ(find(plain.outcome, 10003)->match, "harmless");
}

TEST(MaskedEvents, HideCopiesOfSecretsThatAreWithinOtherValues) {
  const auto policy =
      policy_of(nosy("SecRule ARGS|REQUEST_HEADERS|REQUEST_BODY \"@rx (hunter2.*)\" "
                     "\"id:10001,phase:2,pass,log,capture,msg:'m %{TX.1}',setvar:'tx.leak=%{TX.1}'\"\n"
                     "SecRule TX:leak \"@rx .\" \"id:10002,phase:2,pass,log,msg:'m'\"\n"));
  Request referred = get("/");
  referred.header("Referer", "https://a.example/?token=hunter2x");
  for (const Request& request :
       {referred, get("/?q=%7B%22password%22:%22hunter2x%22%7D"), post("text/plain", "password=hunter2x"),
        post("application/json", R"({"password":{"new":"hunter2x"}})")}) {
    const Result result = run(*policy, request);
    ASSERT_NE(find(result.outcome, 10001), nullptr);
    EXPECT_EQ(find(result.outcome, 10001)->message, "m ***");
    EXPECT_EQ(find(result.outcome, 10002)->match, "***");
  }
}

TEST(MaskedEvents, HideSecretsBesideMuchElse) {
  const auto policy =
      policy_of(nosy("SecRule REQUEST_URI \"@rx .\" \"id:10001,phase:2,pass,log,msg:'m %{ARGS.password}'\"\n"));
  Request request =
      post("application/x-www-form-urlencoded", "a=" + std::string(300'000, 'a') + "&password=hunter2", "/hunter2");
  const Result result = run(*policy, request);
  ASSERT_NE(find(result.outcome, 10001), nullptr);
  EXPECT_EQ(find(result.outcome, 10001)->match, "***");
  EXPECT_EQ(find(result.outcome, 10001)->message, "m ***");
}

TEST(MaskedEvents, ShowAttacksThatSpeakOfSecrets) {
  const Result result = run(get("/?q=1%20union%20select%20name%20from%20users%20where%20password='root'%26root=root"));
  EXPECT_TRUE(std::ranges::any_of(result.outcome.rules, [](const RuleMatch& rule) {
    return rule.match == "1 union select name from users where password='***'&root=root";
  }));
}

TEST(MaskedEvents, KeepTheRulesOwnWords) {
  // A number of CRS's that passes for a card's, and words of the message that happen to be somebody's password.
  const Result overflow = run(get("/big?n=2147483648&password=skipfish"));
  ASSERT_NE(find(overflow.outcome, 942220), nullptr);
  EXPECT_EQ(
      find(overflow.outcome, 942220)->message,
      "Looking for integer overflow attacks, these are taken from skipfish, except 3.0.00738585072007e-308 is the "
      "\\\"magic number\\\" crash");
  const auto policy = policy_of(nosy(
      "SecRule ARGS:a \"@rx .\" \"id:10001,phase:2,pass,log,msg:'token: 4111111111111111 (%{MATCHED_VAR}) secret=x, "
      "<%{ARGS.b}> password=%{ARGS.c}.'\"\n"));
  const auto message = [&](const std::string& query) {
    const Result result = run(*policy, get("/?" + query));
    const RuleMatch* const match = find(result.outcome, 10001);
    return match != nullptr ? match->message : "";
  };
  EXPECT_EQ(message("a=4111111111111111&b=4111111111111111"),
            "token: 4111111111111111 (***) secret=x, <***> password=.");
  EXPECT_EQ(message("a=.&c=hunter2&secret=hunter2"), "token: 4111111111111111 (***) secret=x, <> password=***.");
}

TEST(MaskedEvents, HideSecretsThatStandBetweenTheRulesWords) {
  // "-" is the rule's as well as the password's.
  const auto policy =
      policy_of(nosy("SecRule ARGS:a \"@rx .\" \"id:10001,phase:2,pass,log,msg:'%{ARGS.x}-%{ARGS.y}.'\"\n"));
  const Result result = run(*policy, get("/?a=b&x=abc-def&password=abc-def"));
  ASSERT_NE(find(result.outcome, 10001), nullptr);
  EXPECT_EQ(find(result.outcome, 10001)->message, "***-***.");
}

TEST(MaskedEvents, HidePasswordsWithoutLettersOrDigits) {
  const auto policy =
      policy_of(nosy("SecRule ARGS:password \"@rx .\" \"id:10001,phase:2,pass,nolog,setvar:'tx.leak=%{MATCHED_VAR}'\"\n"
                     "SecRule TX:leak \"@rx .\" \"id:10002,phase:2,pass,log,msg:'m'\"\n"));
  for (const std::string password : {"%21%3F%21%3F%21", "%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C"}) {
    const Result result = run(*policy, get("/?password=" + password));
    ASSERT_NE(find(result.outcome, 10002), nullptr);
    EXPECT_EQ(find(result.outcome, 10002)->match, "***");
  }
}

TEST(MaskedEvents, HidePiecesOfSecretsOfAnyLength) {
  const auto policy =
      policy_of(nosy("SecRule ARGS:password \"@rx ^(.)(.)\" "
                     "\"id:10001,phase:2,pass,nolog,t:lowercase,capture,setvar:'tx.b=%{TX.1}%{TX.2}'\"\n"
                     "SecRule TX:b \"@rx ^(.)\" \"id:10002,phase:2,pass,log,msg:'m %{tx.b} n'\"\n"
                     "SecRule ARGS:a \"@rx .\" \"id:10003,phase:2,pass,log,msg:'m %{tx.b} n'\"\n"
                     "SecRule TX:b \"@rx .\" \"id:10004,phase:5,pass,log,msg:'m %{tx.b} n'\"\n"));
  for (const std::string password : {"hunter2hunter", "42", "123"}) {
    const Result result = run(*policy, get("/?a=shown&password=" + password));
    for (const std::uint32_t id : {10002u, 10003u, 10004u}) {
      const RuleMatch* const match = find(result.outcome, id);
      ASSERT_NE(match, nullptr) << id;
      EXPECT_EQ(match->message, "m *** n") << id;
      EXPECT_EQ(match->match, id == 10003 ? "shown" : "***") << id;
    }
  }
  // Without captures, and without a secret, what is short is shown.
  const std::string copy =
      "SecRule ARGS:a \"@rx ^(..)\" \"id:10001,phase:2,pass,nolog,setvar:'tx.b=%{MATCHED_VAR}'\"\n";
  const std::string show = "SecRule TX:b \"@rx .\" \"id:10002,phase:2,pass,log,msg:'m %{tx.b} n'\"\n";
  EXPECT_EQ(find(run(*policy_of(nosy(copy + show)), get("/?a=xy&password=hunter2")).outcome, 10002)->message, "m xy n");
  const std::string piece =
      "SecRule ARGS:a \"@rx ^(..)\" \"id:10001,phase:2,pass,nolog,capture,setvar:'tx.b=%{TX.1}'\"\n";
  EXPECT_EQ(find(run(*policy_of(nosy(piece + show)), get("/?a=xyz")).outcome, 10002)->message, "m xy n");
  EXPECT_EQ(find(run(*policy_of(nosy(piece + show)), get("/?a=xyz&password=hunter2")).outcome, 10002)->message,
            "m *** n");
}

TEST(MaskedEvents, HideShortSecretsInMessages) {
  const auto policy = policy_of(
      nosy("SecRule ARGS:pin|ARGS:password \"@rx .\" \"id:10001,phase:2,pass,log,msg:'m %{MATCHED_VAR}'\"\n"));
  const Result result = run(*policy, get("/?password=12"));
  ASSERT_NE(find(result.outcome, 10001), nullptr);
  EXPECT_EQ(find(result.outcome, 10001)->match, "***");
  EXPECT_EQ(find(result.outcome, 10001)->message, "m ***");
}

TEST(MaskedEvents, HidePiecesThatThePlatformsRulesHaveCaptured) {
  const auto policy =
      policy_of(nosy("SecRule ARGS:a \"@rx .\" \"id:10001,phase:2,pass,log,msg:'m %{TX.0}'\"\n"
                     "SecRule TX:/^[0-9]$/ \"@rx .\" \"id:10002,phase:2,pass,log,msg:'m'\"\n"));
  const Result result = run(*policy, get("/?a=b&password=hunter2"));
  for (const RuleMatch& match : result.outcome.rules) {
    if (match.id == 10001) EXPECT_TRUE(match.message == "m " || match.message == "m ***") << match.message;
    if (match.id == 10002) EXPECT_EQ(match.match, "***");
  }
}

TEST(MaskedEvents, HideSecretsOfAnswersInMessages) {
  config::TenantConfig config = nosy(
      "SecRule RESPONSE_BODY \"@rx token=['\\\"]?(\\w+)\" "
      "\"id:10001,phase:4,pass,log,capture,msg:'m %{TX.1} n',setvar:'tx.leak=%{TX.1}'\"\n"
      "SecRule TX:leak \"@rx .\" \"id:10002,phase:5,pass,log,msg:'m %{tx.leak} n'\"\n"
      "SecRule RESPONSE_BODY \"@rx <b>(\\w+)\" \"id:10003,phase:4,pass,log,capture,msg:'m %{TX.1} n'\"\n");
  config.waf.inspect_response_body = true;
  const auto policy = policy_of(config);
  Request request = get("/");
  for (const std::string body :
       {"<b>hello</b>\n<a token=q7f3kk29xw0a>x</a>", "<b>hello</b>\n<a token='q7f3kk29xw0a'>x</a>"}) {
    request.response_body = body;
    const Result result = run(*policy, request);
    for (const std::uint32_t id : {10001u, 10002u}) {
      const RuleMatch* const match = find(result.outcome, id);
      ASSERT_NE(match, nullptr) << id;
      EXPECT_EQ(match->message, "m *** n") << id;
      EXPECT_EQ(match->match.find("q7f3"), std::string::npos) << match->match;
    }
  }
  request.response_body = "<b>hello</b>";
  EXPECT_EQ(find(run(*policy, request).outcome, 10003)->message, "m hello n");
  // What is beyond what is searched may be anything.
  request.response_body = "<b>x</b>" + std::string(70'000, ' ') + "\n<a token=q7f3kk29xw0a>x</a>";
  const Result large = run(*policy, request);
  EXPECT_EQ(find(large.outcome, 10001)->message, "m *** n");
  EXPECT_EQ(find(large.outcome, 10002)->match, "***");
}

TEST(MaskedEvents, HideMoreOfRequestsWithVeryManySecrets) {
  const auto policy =
      policy_of(nosy("SecRule ARGS:password \"@rx .\" \"id:10001,phase:2,pass,nolog,setvar:'tx.leak=%{MATCHED_VAR}'\"\n"
                     "SecRule TX:leak \"@rx .\" \"id:10002,phase:2,pass,log,msg:'m'\"\n"));
  std::string query = "/?";
  for (int i = 0; i < 400; ++i) query += "password=secret" + std::to_string(i) + "&";
  const Result many = run(*policy, get(query));
  ASSERT_NE(find(many.outcome, 10002), nullptr);
  EXPECT_EQ(find(many.outcome, 10002)->match, "***");
  const Result large = run(*policy, post("application/x-www-form-urlencoded", "password=" + std::string(60'000, 's')));
  ASSERT_NE(find(large.outcome, 10002), nullptr);
  EXPECT_EQ(find(large.outcome, 10002)->match, "***");
}

TEST(MaskedEvents, MaskQueries) { EXPECT_EQ(crs_engine().masked_query("q=a&password=b"), "q=a&password=***"); }

}  // namespace
}  // namespace testing
}  // namespace gatehouse::waf
