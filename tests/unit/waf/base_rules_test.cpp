// Our own base configuration: what cannot be read for certain never passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/base_rules.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::Contains;
using ::testing::Not;

constexpr const char* form = "application/x-www-form-urlencoded";
constexpr const char* multipart = "multipart/form-data; boundary=xyz";

void expect_denied_by(const Result& result, std::uint32_t rule, int status) {
  EXPECT_EQ(result.last, Step::deny);
  EXPECT_EQ(result.phase, 2);
  EXPECT_THAT(ids(result.outcome), Contains(rule));
  EXPECT_EQ(result.outcome.status, status);
}

std::string part(std::string_view head, std::string_view value) {
  return "--xyz\r\nContent-Disposition: form-data; " + std::string(head) + "\r\n\r\n" + std::string(value) + "\r\n";
}

TEST(BaseRules, ReadsXmlByContentType) {  // 200000
  for (const char* type : {"text/xml", "application/xml; charset=utf-8", "application/soap+xml", "Application/XML"}) {
    EXPECT_THAT(ids(run(post(type, "<a>1' or 1=1-- </a>")).outcome), Contains(942100u)) << type;
    expect_denied_by(run(post(type, "<a>")), 200002, 400);
  }
  EXPECT_THAT(ids(run(post("text/plain", "<a>")).outcome), Not(Contains(200002u)));
}

TEST(BaseRules, ReadsJsonByContentType) {  // 200001, 200006
  config::TenantConfig config = tenant();
  config.waf.exclusions = {{.rule = 920420}};  // the types that CRS allows
  const auto policy = policy_of(config);
  for (const char* type : {"application/json", "application/json; charset=utf-8", "APPLICATION/JSON",
                           "application/vnd.api+json", "application/problem+json"}) {
    EXPECT_THAT(ids(run(*policy, post(type, R"({"a":"1' or 1=1-- "})")).outcome), Contains(942100u)) << type;
    expect_denied_by(run(*policy, post(type, "{")), 200002, 400);
  }
}

TEST(BaseRules, RefusesBodiesThatDoNotParse) {  // 200002
  expect_denied_by(run(post("application/json", R"({"a":1)")), 200002, 400);
  expect_denied_by(run(post("application/json", "{\"a\":\"\xff\"}")), 200002, 400);
  expect_denied_by(run(post("text/xml", "<a></b>")), 200002, 400);
  expect_denied_by(run(post(multipart, "nonsense")), 200002, 400);
  EXPECT_EQ(run(post("application/json", R"({"a":1})")).last, Step::proceed);
}

TEST(BaseRules, RefusesJsonThatIsTooDeep) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); };
  EXPECT_EQ(run(post("application/json", nested(max_json_depth))).last, Step::proceed);
  expect_denied_by(run(post("application/json", nested(max_json_depth + 1))), 200002, 400);
}

TEST(BaseRules, DoesNotExpandXmlBombsOrReadFiles) {
  std::string bomb = "<!DOCTYPE a [<!ENTITY x0 \"aaaaaaaaaa\">";
  for (int i = 1; i < 12; ++i) {
    bomb += "<!ENTITY x" + std::to_string(i) + " \"";
    for (int n = 0; n < 10; ++n) bomb += "&x" + std::to_string(i - 1) + ";";
    bomb += "\">";
  }
  const Result result = run(post("text/xml", bomb + "]><a>&x11;</a>"));
  EXPECT_NE(result.last, Step::error);
  // Had the file been read, 930120 or the like would see its text.
  const Result file = run(post("text/xml", "<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><a>&f;</a>"));
  for (const RuleMatch& match : file.outcome.rules) EXPECT_EQ(match.match.find("root:"), std::string::npos);
}

TEST(BaseRules, RefusesMultipartThatIsNotStrict) {  // 200003
  expect_denied_by(run(post(multipart, part("name=\"a\"", "1") + "--xyz--\r\nmore")), 200003, 400);
  expect_denied_by(run(post(multipart, "--xyz\nContent-Disposition: form-data; name=\"a\"\n\n1\n--xyz--\n")), 200003,
                   400);
  EXPECT_EQ(run(post(multipart, part("name=\"a\"", "1") + "--xyz--\r\n")).last, Step::proceed);
}

TEST(BaseRules, RefusesUnmatchedBoundaries) {  // 200004
  config::TenantConfig config = tenant();
  config.waf.exclusions = {{.rule = 200002}, {.rule = 200003}};  // which see most of it first
  const Result result = run(*policy_of(config), post(multipart, part("name=\"a\"", "1\r\n--other")));
  expect_denied_by(result, 200004, 400);
}

TEST(BaseRules, RefusesBodiesBeyondWhatIsInspected) {  // 200005
  config::TenantConfig config = tenant();
  config.waf.body_limit = 1000;
  const auto policy = policy_of(config);
  EXPECT_EQ(run(*policy, post(form, "a=" + std::string(998, 'b'))).last, Step::proceed);
  expect_denied_by(run(*policy, post(form, "a=" + std::string(999, 'b'))), 200005, 413);
  expect_denied_by(run(*policy, post("application/octet-stream", std::string(1001, 'b'))), 200005, 413);
}

TEST(BaseRules, RefusesTooManyArguments) {  // 200007
  const auto arguments = [](std::size_t count, std::string_view last) {
    std::string text;
    for (std::size_t i = 1; i < count; ++i) text += "a=1&";
    return text += last;
  };
  config::TenantConfig config = tenant();
  config.waf.exclusions = {{.rule = 921180}};
  const auto policy = policy_of(config);
  EXPECT_EQ(run(*policy, post(form, arguments(max_arguments, "a=1"))).last, Step::proceed);
  expect_denied_by(run(*policy, post(form, arguments(max_arguments + 1, "a=1"))), 200007, 400);
  // What the library drops is not what saves an attack.
  expect_denied_by(run(*policy, post(form, arguments(max_arguments + 50, "id=1'+or+1=1--+"))), 200007, 400);
  EXPECT_EQ(run(*policy, post(
                             "application/json", "[" +
                                                     [&] {
                                                       std::string list;
                                                       for (std::size_t i = 0; i < max_arguments + 50; ++i)
                                                         list += "1,";
                                                       return list + "1]";
                                                     }()))
                .last,
            Step::deny);
}

constexpr const char* related =
    "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1' or 1=1-- <script>alert(1)</script>\r\n--xyz--\r\n";

TEST(BaseRules, RefusesMultipartOtherThanForms) {  // 200010
  for (const char* type : {"multipart/related; boundary=xyz", "multipart/mixed; boundary=xyz", "multipart/form-dat",
                           "multipart/alternative; boundary=xyz", "Multipart/Related;boundary=xyz", "multipart/"}) {
    const Result result = run(post(type, related));
    expect_denied_by(result, 200010, 415);
    ASSERT_NE(find(result.outcome, 200010), nullptr) << type;
    EXPECT_EQ(find(result.outcome, 200010)->severity, "CRITICAL");
  }
  EXPECT_EQ(run(post("multipart/related; boundary=xyz", "")).last, Step::proceed);
  EXPECT_EQ(run(post("multipart/form-datax; boundary=xyz", related)).last, Step::deny);
  const std::string harmless = part("name=\"a\"", "1") + "--xyz--\r\n";
  EXPECT_EQ(run(post("Multipart/Form-Data; boundary=xyz", harmless)).last, Step::proceed);
}

TEST(BaseRules, ReadsBodiesWithoutATypeAsForms) {  // 200011
  config::TenantConfig config = tenant();
  config.waf.exclusions = {{.rule = 911100}};  // the methods that CRS allows
  const auto policy = policy_of(config);
  Request request = post(form, "a=1'%20or%201%3D1--+");
  std::erase_if(request.headers, [](const auto& header) { return header.first == "Content-Type"; });
  const Result result = run(*policy, request);
  EXPECT_EQ(result.last, Step::deny);
  const RuleMatch* const match = find(result.outcome, 942100);
  ASSERT_NE(match, nullptr);
  EXPECT_EQ(match->target, "ARGS:a");
  request.body = "a=1";
  EXPECT_EQ(run(*policy, request).last, Step::proceed);
  EXPECT_FALSE(run(*policy, request).outcome.body_unread);
  for (const char* method : {"PUT", "PATCH", "DELETE", "OPTIONS"}) {  // some services read what they get whatever it is
    request.method = method;
    request.body = "a=1";
    EXPECT_EQ(run(*policy, request).last, Step::proceed) << method;
    EXPECT_FALSE(run(*policy, request).outcome.body_unread) << method;
    request.body = R"({"a":"1' or 1=1-- "})";
    EXPECT_EQ(run(*policy, request).last, Step::deny) << method;
  }
}

TEST(BaseRules, RefusesCharsetsThatHideText) {  // 200012
  config::TenantConfig config = tenant();
  config.waf.exclusions = {
      {.rule = 920420}, {.rule = 920480}, {.rule = 920530}};  // what CRS says of types and charsets
  const auto policy = policy_of(config);
  for (const char* charset : {"ibm037", "utf-7", "\"utf-16\"", "utf-8; charset=utf-7"}) {
    for (const auto& [type, body] :
         {std::pair(form, "a=b"), std::pair("application/json", "{}"), std::pair("text/xml", "<a/>")})
      expect_denied_by(run(*policy, post(std::string(type) + "; charset=" + charset, body)), 200012, 415);
    EXPECT_EQ(run(*policy, post(std::string(form) + "; charset=" + charset, "")).last, Step::proceed);
  }
  for (const char* charset : {"utf-8", "iso-8859-15", "Windows-1252"})
    EXPECT_EQ(run(*policy, post(std::string(form) + "; charset=" + charset, "a=b")).last, Step::proceed);
  config.waf.exclusions.push_back({.rule = 200012});
  const Result passed = run(*policy_of(config), post(std::string(form) + "; charset=ibm037", "id=1' or '1'='1"));
  EXPECT_THAT(ids(passed.outcome), Contains(942100u));  // seen as far as it can be
  EXPECT_TRUE(passed.outcome.body_unread);
}

TEST(BaseRules, LetsNoBodyPassWhoseTypeSaysNothing) {
  for (const char* type : {"", ";", "; charset=utf-8", "x", "multipart", "form-data"})
    EXPECT_EQ(run(post(type, "a=1")).last, Step::deny) << type;
}

TEST(BaseRules, NoBodyWithoutAParserPassesForInspected) {
  const auto unread = [](const Policy& policy, const Request& request) {
    const Result result = run(policy, request);
    EXPECT_EQ(result.last, Step::proceed);
    return result.outcome.body_unread;
  };
  Request untyped = post(form, "a=1'%20or%201%3D1--+");
  std::erase_if(untyped.headers, [](const auto& header) { return header.first == "Content-Type"; });
  const std::vector<std::pair<std::uint32_t, Request>> cases{
      {200000, post("text/xml", "<a>1' or 1=1-- </a>")},
      {200001, post("application/json", R"({"a":"1' or 1=1-- "})")},
      {200001, post("application/json", "{")},
      {200006, post("application/cloudevents+json", R"({"a":"1' or 1=1-- "})")},
      {200010, post("multipart/related; boundary=xyz", related)},
      {200011, untyped},
      {920420, post("text/plain", "1' or 1=1-- ")}};
  for (const auto& [rule, request] : cases) {
    config::TenantConfig everywhere = tenant();
    everywhere.waf.exclusions = {{.rule = rule}};
    config::TenantConfig on_path = tenant();
    on_path.waf.exclusions = {{.rule = rule, .path = "/a"}};
    config::TenantConfig by_text = tenant();
    by_text.waf.rules_before = "SecRuleRemoveById " + std::to_string(rule) + "\n";
    EXPECT_TRUE(unread(*policy_of(everywhere), request)) << rule;
    EXPECT_TRUE(unread(*policy_of(by_text), request)) << rule;
    Request below = request;
    below.target = "/a/b";
    EXPECT_TRUE(unread(*policy_of(on_path), below)) << rule;
    EXPECT_EQ(run(*policy_of(on_path), request).last, Step::deny) << rule;
    Request empty = request;
    empty.body.clear();
    EXPECT_FALSE(run(*policy_of(everywhere), empty).outcome.body_unread) << rule;
  }
  // The rule may be there and look at nothing.
  config::TenantConfig narrowed = tenant();
  narrowed.waf.rules_before = "SecRuleUpdateTargetById 200001 \"!REQUEST_HEADERS:Content-Type\"\n";
  EXPECT_TRUE(unread(*policy_of(narrowed), post("application/json", R"({"a":"1' or 1=1-- "})")));
  // What is reported and not refused has passed without inspection all the same.
  config::TenantConfig detect = tenant();
  detect.waf.mode = config::WafMode::detect;
  EXPECT_TRUE(unread(*policy_of(detect), post("multipart/related; boundary=xyz", related)));
  EXPECT_TRUE(unread(*policy_of(detect), post("text/plain", "1' or 1=1-- ")));
}

TEST(BaseRules, EveryTypeThatCrsLetsPassIsReadOrRefused) {
  for (const char* type : {form, multipart, "multipart/related", "text/xml", "application/xml", "application/soap+xml",
                           "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}) {
    for (const char* body : {"a", "{}", "<a/>"}) {
      const Result result = run(post(type, body));
      EXPECT_TRUE(result.last == Step::deny || !result.outcome.body_unread) << type << ' ' << body;
    }
  }
}

TEST(BaseRules, LeavesBodiesAloneThatPassUninspected) {
  for (const char* type : {multipart, "application/json", "text/xml", form}) {
    Request request = post(type, "");
    request.pass_body = true;
    EXPECT_EQ(run(request).last, Step::proceed) << type;
  }
  // Headers and the query are still inspected.
  Request request = post(multipart, "", "/?id=1%27%20or%201%3D1--%20");
  request.pass_body = true;
  EXPECT_EQ(run(request).last, Step::deny);
}

TEST(BaseRules, DetectModeReportsThem) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::detect;
  const Result result = run(*policy_of(config), post("application/json", "{"));
  EXPECT_EQ(result.last, Step::proceed);
  EXPECT_THAT(ids(result.outcome), Contains(200002u));
}

}  // namespace
}  // namespace gatehouse::waf::testing
