// Loading the platform's rules: what is wrong is said with its place.
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/platform_rules.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::HasSubstr;

class PlatformFiles : public ::testing::Test {
 protected:
  PlatformFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "gatehouse-rules-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~PlatformFiles() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, std::string_view text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  [[nodiscard]] config::Problems problems(std::vector<std::string> globs) const {
    auto rules = PlatformRules::load(globs);
    return rules ? config::Problems{} : rules.error();
  }
  std::string folder_;
};

TEST_F(PlatformFiles, ReportsGlobsThatMatchNothing) {
  const auto found = problems({folder_ + "/*.conf"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place.file, folder_ + "/*.conf");
  EXPECT_THAT(found[0].message, HasSubstr("no file matches"));
}

TEST_F(PlatformFiles, ReportsTheirNamesWhereTheyAreWritten) {
  const std::string good = write("a.conf", "SecMarker A\n");
  std::filesystem::create_directory(folder_ + "/folder.conf");
  const std::vector<config::Place> places{{"gateway.yaml", 3, 7}, {"gateway.yaml", 4, 7}, {"gateway.yaml", 5, 7}};
  auto rules = PlatformRules::load({folder_ + "/*.none", good, folder_ + "/absent/*.conf"}, places);
  ASSERT_FALSE(rules.has_value());
  ASSERT_EQ(rules.error().size(), 2u);
  EXPECT_EQ(rules.error()[0].to_string(), "gateway.yaml:3:7: error: waf.rules: no file matches '" + folder_ +
                                              "/*.none'; install modsecurity-crs or name the files that there are");
  EXPECT_EQ(rules.error()[1].to_string(),
            "gateway.yaml:5:7: error: waf.rules: the folder of '" + folder_ + "/absent/*.conf' cannot be read");

  rules = PlatformRules::load({good, folder_ + "/*.conf"}, places);
  ASSERT_FALSE(rules.has_value());
  ASSERT_EQ(rules.error().size(), 1u);
  EXPECT_EQ(rules.error()[0].to_string(), "gateway.yaml:4:7: error: waf.rules: the file '" + folder_ +
                                              "/folder.conf' cannot be read: Is a directory");
}

TEST_F(PlatformFiles, ReportsSyntaxErrorsOfTheLibraryWithTheirLine) {
  const std::string path = write("a.conf", "\n\nSecRule ARGS \"@rx a\" \"id:1,phase:1,nonsense\"\n");
  const auto found = problems({path});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place.file, path);
  EXPECT_EQ(found[0].place.line, 3);
  EXPECT_GT(found[0].place.column, 0);
  EXPECT_THAT(found[0].message, HasSubstr("nonsense"));
  EXPECT_EQ(found[0].source_line, "SecRule ARGS \"@rx a\" \"id:1,phase:1,nonsense\"");
}

TEST_F(PlatformFiles, ReportsSyntaxErrorsOfIncludedFilesWithTheirLine) {
  const std::string included = write("b.inc", "#\nSecRule ARGS \"@rx a\" \"id:1,phase:1,nonsense\"\n");
  const auto found = problems({write("a.conf", "# first\n# second\nInclude " + included + "\n")});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place.file, included);
  EXPECT_EQ(found[0].place.line, 2);
  EXPECT_THAT(found[0].source_line, ::testing::StartsWith("SecRule"));
}

TEST_F(PlatformFiles, AreIncludedInTheirPlace) {
  const auto action = [](int id) { return "SecAction \"id:" + std::to_string(id) + ",phase:1,pass\"\n"; };
  write("deep.inc", action(13));
  write("x1.inc", action(11) + "Include deep.inc\n" + action(12));
  write("x2.inc", action(14));
  const std::string path =
      write("a.conf", action(10) + "include x?.inc   \n" + action(15) + "Include \"" + folder_ + "/deep2.inc\"");
  write("deep2.inc", "SecRule ARGS \"@rx a\" \"id:16,phase:1,pass\"");
  const auto rules = PlatformRules::load({path});
  ASSERT_TRUE(rules.has_value()) << rules.error().front().to_string();
  std::vector<std::int64_t> order;
  for (const auto& rule : (*rules)->phase(modsecurity::RequestHeadersPhase).rules) {
    if (const auto* actions = dynamic_cast<modsecurity::RuleWithActions*>(rule.get());
        actions != nullptr && actions->m_ruleId < 100)
      order.push_back(actions->m_ruleId);
  }
  EXPECT_THAT(order, ::testing::ElementsAre(10, 11, 13, 12, 14, 15, 16));
  ASSERT_NE((*rules)->facts(16), nullptr);
  EXPECT_EQ((*rules)->facts(16)->variables().size(), 1u);  // learned as any other rule
}

TEST_F(PlatformFiles, ReportsWhatIsWrongAroundAnInclude) {
  write("good.inc", "SecAction \"id:1,phase:1,pass\"\n");
  const auto first = [&](const std::string& text) {
    const auto found = problems({write("a.conf", text)});
    return found.size() == 1 ? found[0].to_string() : "not one problem";
  };
  const std::string at = folder_ + "/a.conf:";
  EXPECT_THAT(first("#\nInclude none.inc\n"),
              ::testing::StartsWith(at + "2:1: error: Include: no file matches '" + folder_ + "/none.inc'\n  Include"));
  EXPECT_THAT(first("#\n Include a.conf\n"),
              ::testing::StartsWith(at + "2:2: error: Include: files include each other"));
  EXPECT_THAT(first("Include good.inc\n\nSecRule ARGS \"@rx a\" \"id:2,phase:1,nonsense\"\n"),
              ::testing::StartsWith(at + "3:"));
  EXPECT_THAT(first("Include good.inc\nSecRule ARGS \"@rx a\" \"id:1,phase:2,pass\"\n"),
              ::testing::HasSubstr("rule id 1 is used twice"));
  EXPECT_THAT(first("Include /proc/self/mem\n"), ::testing::HasSubstr("cannot be read"));
}

TEST_F(PlatformFiles, ReportsWhatTheLibraryKeepsQuietAbout) {
  const std::string pattern = write("a.conf", "SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\"\n");
  auto found = problems({pattern});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place.line, 1);
  EXPECT_EQ(found[0].place.column, 19);
  EXPECT_THAT(found[0].message, HasSubstr("does not compile"));
  EXPECT_THAT(found[0].to_string(),
              HasSubstr("\n  SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\"\n" + std::string(2 + 18, ' ') + "^"));

  const std::string first = write("b.conf", "SecAction \"id:1,phase:1,pass\"\n");
  const std::string second = write("c.conf", "#\nSecRule ARGS \"@rx a\" \"id:1,phase:2,deny\"\n");
  found = problems({first, second});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place.file, second);
  EXPECT_EQ(found[0].place.line, 2);
  EXPECT_THAT(found[0].message, HasSubstr("used twice"));
  EXPECT_THAT(found[0].source_line, ::testing::StartsWith("SecRule ARGS"));
}

TEST_F(PlatformFiles, CutLongLinesUnderAProblem) {
  const std::string path =
      write("a.conf", "SecRule ARGS \"@rx (" + std::string(100'000, 'a') + "\" \"id:1,phase:1,deny\"\n");
  const auto found = problems({path});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].source_line, ::testing::StartsWith("SecRule ARGS \"@rx (aaa"));
  EXPECT_LE(found[0].source_line.size(), 210u);
}

TEST_F(PlatformFiles, AreReadInOrderAndOnce) {
  write("b.conf", "SecAction \"id:2,phase:1,pass,log,msg:'2'\"\n");
  write("a.conf", "SecAction \"id:1,phase:1,pass,log,msg:'1'\"\n");
  write("REQUEST-901-X.conf", "SecAction \"id:901,phase:1,pass,log,msg:'901'\"\n");
  const auto rules = PlatformRules::load({folder_ + "/b.conf", folder_ + "/*.conf"});
  ASSERT_TRUE(rules.has_value());
  const PlatformRules::Phase& phase = (*rules)->phase(modsecurity::RequestHeadersPhase);
  std::vector<std::int64_t> order;
  for (const auto& rule : phase.rules) {
    if (const auto* actions = dynamic_cast<modsecurity::RuleWithActions*>(rule.get()))
      order.push_back(actions->m_ruleId);
  }
  EXPECT_THAT(order, ::testing::ElementsAre(200000, 200001, 200006, 200011, 2, 901, 1));
  EXPECT_EQ(phase.setup_end, 5u);
}

TEST_F(PlatformFiles, NeverRunWhatKeepsRecordsOfClients) {
  EXPECT_TRUE(is_never_run(901321));
  EXPECT_TRUE(is_never_run(910110));
  EXPECT_TRUE(is_never_run(912171));
  EXPECT_FALSE(is_never_run(911100));
  EXPECT_FALSE(is_never_run(913100));
  const std::string path = write(
      "a.conf", "SecAction \"id:912000,phase:1,deny\"\nSecAction \"id:5,phase:1,pass,nolog\"\nSecRuleRemoveById 5\n");
  const auto rules = PlatformRules::load({path});
  ASSERT_TRUE(rules.has_value());
  EXPECT_EQ((*rules)->phase(modsecurity::RequestHeadersPhase).rules.size(), 4u);
  EXPECT_NE((*rules)->facts(912000), nullptr);
  EXPECT_EQ((*rules)->facts(6), nullptr);
}

// A configuration that means to write logs or to turn the engine off decides nothing here.
TEST_F(PlatformFiles, DoNotDecideWhatThePolicyDecides) {
  config::PlatformWaf platform;
  platform.rules = {write("a.conf",
                          "SecRuleEngine Off\nSecRequestBodyAccess Off\nSecAuditEngine On\nSecAuditLogParts "
                          "ABZ\nSecArgumentsLimit 5\nSecRequestBodyJsonDepthLimit 1\n"
                          "SecRule ARGS:f \"@streq bad\" \"id:5,phase:2,deny\"\n")};
  auto engine = Engine::create(platform, {});
  ASSERT_TRUE(engine.has_value());
  config::Problems warnings;
  const auto policy = (*engine)->policy(tenant(), config::TenantRules::yes, warnings);
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(run(**engine, **policy, get("/?a=1&b=2&c=3&d=4&e=5&f=bad")).last, Step::deny);
  EXPECT_EQ(run(**engine, **policy, post("application/json", R"({"a":{"b":1},"f":"x"})")).last, Step::proceed);
}

TEST_F(PlatformFiles, DoNotDecideWhichAnswersAreInspected) {
  config::PlatformWaf platform;
  platform.rules = {write("a.conf",
                          "SecResponseBodyMimeType text/plain\n"
                          "SecRule RESPONSE_BODY \"@contains leaked\" \"id:5,phase:4,deny\"\n")};
  auto engine = Engine::create(platform, {});
  ASSERT_TRUE(engine.has_value());
  config::TenantConfig config = tenant();
  config.waf.inspect_response_body = true;
  config::Problems warnings;
  const auto policy = (*engine)->policy(config, config::TenantRules::yes, warnings);
  ASSERT_TRUE(policy.has_value());
  Request request = get("/");
  request.response_body = "leaked";
  for (const char* type : {"text/plain", "text/html", "application/json"}) {
    request.response_headers = {{"Content-Type", type}};
    EXPECT_EQ(run(**engine, **policy, request).last, Step::deny) << type;
  }
}

// SecRuleUpdateTargetById and its like are in no rule's text.
TEST_F(PlatformFiles, MayLetRulesLookAtMore) {
  for (const char* update : {"SecRuleUpdateTargetById 5 \"TX:foo\"\nSecRuleUpdateTargetById 6 \"ARGS:q\"\n",
                             "SecRuleUpdateTargetByTag late \"TX:foo|ARGS:q\"\n"}) {
    config::PlatformWaf platform;
    platform.rules = {write("a.conf",
                            "SecAction \"id:4,phase:1,pass,nolog,setvar:'tx.foo=%{REQUEST_HEADERS.X-Query}'\"\n"
                            "SecRule ARGS:zz \"@contains evil\" \"id:5,phase:2,deny,tag:late\"\n"
                            "SecRule RESPONSE_HEADERS:x-none \"@contains evil\" \"id:6,phase:3,deny,tag:late\"\n" +
                                std::string(update))};
    auto engine = Engine::create(platform, {});
    ASSERT_TRUE(engine.has_value());
    config::Problems warnings;
    const auto policy = (*engine)->policy(tenant(), config::TenantRules::yes, warnings);
    ASSERT_TRUE(policy.has_value());
    EXPECT_EQ(run(**engine, **policy, get("/?q=x")).last, Step::proceed) << update;
    EXPECT_EQ(run(**engine, **policy, get("/").header("X-Query", "evil")).last, Step::deny) << update;
    EXPECT_EQ(run(**engine, **policy, get("/?q=evil")).last, Step::deny) << update;
  }
}

TEST(Engine, NamesAllThatIsWrongAtStart) {
  config::PlatformWaf platform;
  platform.rules = {"/nonexistent/*.conf", "/nonexistent/other.conf"};
  const auto engine = Engine::create(platform, {});
  ASSERT_FALSE(engine.has_value());
  EXPECT_EQ(engine.error().size(), 2u);
}

TEST(ParserProblem, IsTakenApart) {
  const config::Problem problem =
      parser_problem("Rules error. File: /a b.conf. Line: 12. Column: 7. Expecting an action, got:  x\"\n", "fallback");
  EXPECT_EQ(problem.place.file, "/a b.conf");
  EXPECT_EQ(problem.place.line, 12);
  EXPECT_EQ(problem.place.column, 7);
  EXPECT_EQ(problem.message, "libmodsecurity: Expecting an action, got:  x\"");
  EXPECT_EQ(parser_problem("Rule id: 5 is duplicated\n", "fallback").place.file, "fallback");
}

}  // namespace
}  // namespace gatehouse::waf::testing
