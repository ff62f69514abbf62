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
