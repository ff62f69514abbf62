// Secrets stay out of what is shown.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gateway_config.hpp"
#include "waf/mask.hpp"
#include "waf/mask_looks.hpp"
#include "waf/printable.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Masker& masker() {
  static const Masker instance(config::AuditLog{}.mask);
  return instance;
}

TEST(MaskNames, KnowSecretsByTheirLastSegment) {
  for (const char* name :
       {"password", "PASSWORD", "Password", "json.user.password", "user[password]", "user[password][]",
        "users.array_0.password", "ARGS:password", "authorization", "X-Api-Key", "api-key", "access_token", "csrf",
        "new_password", "password_confirmation", "session_id", "iban", "a.b.c.token.0"}) {
    EXPECT_TRUE(masker().is_secret_name(name)) << name;
  }
  for (const char* name :
       {"", "name", "password.hint.text", "passwords", "compass", "tokens", "comment", "...", "array_0", "12", "[]"}) {
    EXPECT_FALSE(masker().is_secret_name(name)) << name;
  }
}

TEST(MaskNames, OfTargets) {
  EXPECT_TRUE(masker().is_secret_target("ARGS:password"));
  EXPECT_TRUE(masker().is_secret_target("REQUEST_HEADERS:Authorization"));
  EXPECT_TRUE(masker().is_secret_target("REQUEST_HEADERS:Cookie"));
  EXPECT_TRUE(masker().is_secret_target("REQUEST_COOKIES:anything"));
  EXPECT_TRUE(masker().is_secret_target("MATCHED_VARS:ARGS:password"));
  EXPECT_TRUE(masker().is_secret_target("RESPONSE_HEADERS:Set-Cookie"));
  EXPECT_FALSE(masker().is_secret_target("ARGS_NAMES:password"));
  EXPECT_FALSE(masker().is_secret_target("ARGS:id"));
  EXPECT_FALSE(masker().is_secret_target("REQUEST_BODY"));
  EXPECT_FALSE(Masker({"password"}).is_secret_target("REQUEST_COOKIES:anything"));
}

struct Shown {
  const char* value;
  const char* shown;
};

class MaskTexts : public ::testing::TestWithParam<Shown> {};

TEST_P(MaskTexts, HideWhatIsSecret) { EXPECT_EQ(masker().text(GetParam().value, 200), GetParam().shown); }

INSTANTIATE_TEST_SUITE_P(Forms, MaskTexts,
                         ::testing::Values(Shown{"a=1&password=hunter2&b=3", "a=1&password=***&b=3"},
                                           Shown{"password=hunter2", "password=***"},
                                           Shown{"password = hunter2&x=1", "password = ***&x=1"},
                                           Shown{"password=with blanks, and more", "password=***"},
                                           Shown{"pass%77ord=hunter2&x=1", "pass%77ord=***&x=1"},
                                           Shown{"user[password]=x&y=z", "user[password]=***&y=z"},
                                           Shown{"sid=1; session=abc; theme=dark", "sid=1; session=***; theme=dark"},
                                           Shown{"password=a;b&x=1", "password=***&x=1"},
                                           Shown{"token=\"a b\" x", "token=\"***\" x"}, Shown{"password=", "password="},
                                           Shown{"a=password&b=1", "a=password&b=1"},
                                           Shown{"/login?next=/x&token=abc", "/login?next=/x&token=***"}));

INSTANTIATE_TEST_SUITE_P(
    Json, MaskTexts,
    ::testing::Values(Shown{R"({"user":"a","password":"hunter2","b":1})", R"({"user":"a","password":"***","b":1})"},
                      Shown{R"({"password" : "a\"b","c":1})", R"({"password" : "***","c":1})"},
                      Shown{R"({"pin_token":1234,"c":1})", R"({"pin_token":***,"c":1})"},
                      Shown{R"({"password":"cut off)", R"({"password":"***)"},
                      Shown{R"({"secret":{"a":"b"},"c":1})", R"({"secret":***)"},
                      Shown{R"({'token':'abc','d':1})", R"({'token':'***','d':1})"},
                      Shown{R"({"note":"my password is long"})", R"({"note":"my password is long"})"}));

INSTANTIATE_TEST_SUITE_P(
    Others, MaskTexts,
    ::testing::Values(Shown{"Host: a\nAuthorization: Basic eA==\nAccept: b",
                            "Host: a\\x0AAuthorization: ***\\x0AAccept: b"},
                      Shown{"Cookie: a=b; c=d\nX: y", "Cookie: ***\\x0AX: y"},
                      Shown{"<login><password>hunter2</password></login>", "<login><password>***</password></login>"},
                      Shown{"<password type='x'>hunter2</password>", "<password type='x'>***</password>"},
                      Shown{"Content-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--xyz",
                            "Content-Disposition: form-data; name=\"password\"***\\x0A--xyz"},
                      Shown{"Bearer abcdefghijkl", "Bearer ***"}, Shown{"x basic dXNlcjpwYXNz y", "x basic *** y"},
                      Shown{"bearer of news", "bearer of news"},
                      Shown{"t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl u", "t *** u"},
                      Shown{"https://user:hunter2@host/x", "https://user:***@host/x"},
                      Shown{"card 4111 1111 1111 1111 end", "card *** end"}, Shown{"4111-1111-1111-1111", "***"},
                      Shown{"4111111111111111", "***"}, Shown{"4111111111111112", "4111111111111112"},
                      Shown{"order 1234567890123", "order 1234567890123"},
                      Shown{"DE89 3704 0044 0532 0130 00 bitte", "*** bitte"}, Shown{"DE89370400440532013000", "***"},
                      Shown{"DE88370400440532013000", "DE88370400440532013000"}));

TEST(MaskLooks, ChecksNumbers) {
  EXPECT_TRUE(is_card_number("4111111111111111"));
  EXPECT_TRUE(is_card_number("378282246310005"));
  EXPECT_FALSE(is_card_number("4111111111111112"));
  EXPECT_FALSE(is_card_number("0000000000000000"));
  EXPECT_FALSE(is_card_number("411111111111"));
  EXPECT_TRUE(is_iban("GB82WEST12345698765432"));
  EXPECT_TRUE(is_iban("de89370400440532013000"));
  EXPECT_FALSE(is_iban("GB82WEST12345698765433"));
  EXPECT_FALSE(is_iban("DE8937040044"));
}

TEST(MaskShown, CutsBehindTheMask) {
  const std::string secret(500, 's');
  EXPECT_EQ(masker().shown("REQUEST_BODY", "password=" + secret + "&x=1"), "password=***&x=1");
  EXPECT_EQ(masker().shown("ARGS:q", std::string(200, 'a')).size(), event_text_bytes);
  EXPECT_EQ(masker().shown("ARGS:password", "x"), "***");
  EXPECT_EQ(masker().shown("ARGS:password", ""), "");
}

TEST(MaskShown, ShowsWhatMatchedOfALongValue) {
  const std::string value = std::string(300, 'a') + " union select 1 " + std::string(300, 'b');
  EXPECT_THAT(masker().shown("ARGS:q", value, "union select"), HasSubstr("union select"));
  EXPECT_THAT(masker().shown("ARGS:q", value), Not(HasSubstr("union")));
  // A secret that begins before what is shown is still a secret.
  const std::string body = "password=" + std::string(300, 's') + "union select" + std::string(300, 's') + "&b=c";
  EXPECT_EQ(masker().shown("REQUEST_BODY", body, "union select"), "***&b=c");
}

TEST(MaskQuery, HidesValuesAndKeepsTheRest) {
  EXPECT_EQ(masker().query("a=1&password=x&b=%20c"), "a=1&password=***&b=%20c");
  EXPECT_EQ(masker().query("PASS%57ORD=x"), "PASS%57ORD=***");
  EXPECT_EQ(masker().query("token"), "token");
  EXPECT_EQ(masker().query(""), "");
  EXPECT_EQ(masker().query("&&a=&=b&token==x"), "&&a=&=b&token=***");
  EXPECT_EQ(masker().query("card=4111111111111111&x=1"), "card=***&x=1");
  EXPECT_EQ(masker().query("next=https://u:pw12@h/"), "next=https://u:***@h/");
}

TEST(MaskTexts, TakeHostileTextsInTheirStride) {
  std::string long_name(60'000, '_');
  EXPECT_FALSE(masker().is_secret_name(long_name));
  for (const std::string unit : {"_", "a.", "password ", "<password ", "eyJ.", "://", "\"token\":{", "4111 ", "DE89",
                                 "bearer ", "password=;", "%"}) {
    std::string text;
    while (text.size() < 60'000) text += unit;
    EXPECT_LE(masker().text(text, 100).size(), 100u) << unit;
  }
}

TEST(Printable, EscapesAndCutsBetweenCharacters) {
  EXPECT_EQ(printable("a\tb\x01\x7f"), "a\\x09b\\x01\\x7F");
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(printable("\xC3("), "\\xC3(");
  EXPECT_EQ(printable("\xC0\x80\xED\xA0\x80\xF5"), "\\xC0\\x80\\xED\\xA0\\x80\\xF5");
  EXPECT_EQ(printable("\xC2\x85"), "\\xC2\\x85");
  EXPECT_EQ(printable("a\xE2\x80\xAEz"), "a\\xE2\\x80\\xAEz");
  EXPECT_EQ(printable("\xF0\x9F\x98\x80", 4), "\xF0\x9F\x98\x80");
  EXPECT_EQ(printable("\xF0\x9F\x98\x80", 3), "");
  EXPECT_EQ(printable("abc\x01", 6), "abc");
  EXPECT_EQ(printable(std::string(200, 'a')).size(), event_text_bytes);
}

}  // namespace

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

TEST(MaskedEvents, MaskQueries) { EXPECT_EQ(crs_engine().masked_query("q=a&password=b"), "q=a&password=***"); }

}  // namespace
}  // namespace testing
}  // namespace gatehouse::waf
