// A tenant's WAF settings.
#include "support.hpp"

namespace gatehouse::config::test {
namespace {

std::vector<std::string> waf(const std::string& keys) { return tenant_problems("waf: {" + keys + "}"); }
TenantWaf good_waf(const std::string& keys) { return good_tenant("waf: {" + keys + "}").waf; }

TEST(TenantWaf, ReadsTheMode) {
  EXPECT_EQ(good_waf("mode: off").mode, WafMode::off);
  EXPECT_EQ(good_waf("mode: false").mode, WafMode::off);
  EXPECT_EQ(good_waf("mode: detect").mode, WafMode::detect);
  EXPECT_THAT(waf("mode: true"), ElementsAre(error_at("2:13", "known are 'block', 'detect', 'off'")));
  EXPECT_THAT(waf("mode: no"), ElementsAre(error_at("2:13", "is not known here")));
  EXPECT_THAT(waf("mode: Block"), ElementsAre(error_at("2:13", "did you mean 'block'?")));
}

TEST(TenantWaf, ChecksNumbersAndSizes) {
  EXPECT_THAT(waf("paranoia: 5"), ElementsAre(error_at("2:17", "out of range: 1 to 4")));
  EXPECT_THAT(waf("paranoia: 0"), ElementsAre(error_at("2:17", "out of range")));
  EXPECT_THAT(waf("paranoia: 01"), ElementsAre(error_at("2:17", "octal")));
  EXPECT_THAT(waf("anomaly_threshold: {inbound: 0}"), ElementsAre(error_at("2:36", "out of range: 1 to 100000")));
  EXPECT_THAT(waf("anomaly_threshold: 5"), ElementsAre(error_at("2:26", "a mapping")));
  EXPECT_THAT(waf("body: {limit: 1}"), ElementsAre(error_at("2:21", "has no unit")));
  EXPECT_THAT(waf("body: {limit: 2GiB}"), ElementsAre(error_at("2:21", "out of range: 1KiB to 1GiB")));
  EXPECT_THAT(waf("body: {limit: 1GiB}"), ElementsAre(error_at("2:21", "512MiB (limits.buffered_bytes)")));
  EXPECT_THAT(waf("body: {over_limit: pass}"), ElementsAre(error_at("2:26", "is not known here")));
  EXPECT_THAT(waf("body: {response: 1}"), ElementsAre(error_at("2:24", "write true")));
  EXPECT_THAT(waf("bodylimit: 1MiB"), ElementsAre(error_at("2:7", "did you mean 'body'?")));
}

TEST(TenantWafExclusions, AreChecked) {
  const auto exclusion = [](const std::string& keys) { return tenant_problems("waf: {exclusions: [{" + keys + "}]}"); };
  EXPECT_THAT(exclusion("rule: 942100, target: \"ARGS:comment\", path: /blog/"), IsEmpty());
  EXPECT_THAT(exclusion("rule: 942100, target: REQUEST_BODY"), IsEmpty());
  EXPECT_THAT(exclusion("rule: 942100, target: \"ARGS:items[0][name]\""), IsEmpty());
  EXPECT_THAT(exclusion("target: \"ARGS:comment\""), ElementsAre(error_at("2:20", "'rule' is missing")));
  EXPECT_THAT(exclusion("rule: 0"), ElementsAre(error_at("2:27", "out of range")));
  EXPECT_THAT(exclusion("rule: 1000000000"), ElementsAre(error_at("2:27", "out of range")));
  EXPECT_THAT(exclusion("rule: \"942100\""), ElementsAre(error_at("2:27", "without quotes")));
  EXPECT_THAT(exclusion("rule: 942100-942200"), ElementsAre(error_at("2:27", "is not a whole number")));
  EXPECT_THAT(exclusion("rule: 1, path: blog"), ElementsAre(error_at("2:36", "does not begin with '/'")));
  EXPECT_THAT(exclusion("id: 942100"),
              ElementsAre(error_at("2:20", "'rule' is missing"), error_at("2:21", "'id' is not a key here")));
}

TEST(TenantWafExclusions, CannotSmuggleIntoARule) {
  const auto target = [](const std::string& text) {
    return tenant_problems("waf: {exclusions: [{rule: 1, target: '" + text + "'}]}");
  };
  for (const char* text : {"ARGS:a\"", "ARGS:a,id:1", "ARGS:a|ARGS:b", "ARGS:a b", "ARGS:a\\", "ARGS:%{ENV.x}",
                           "ARGS:a''b", "ARGS:!a", "ARGS:&a", "ARGS:a#", "ARGS:ä", "ARGS:a;"}) {
    EXPECT_THAT(target(text), ElementsAre(error_at("2:38", "behind its colon"))) << text;
  }
  for (const char* text : {"args:comment", "!ARGS:comment", "&ARGS", "ARGS|REQUEST_BODY", ":a", "comment"})
    EXPECT_THAT(target(text), ElementsAre(error_at("2:38", "variable in capitals"))) << text;
  EXPECT_THAT(target("ARGS:"), ElementsAre(error_at("2:38", "nothing behind its colon")));
  EXPECT_THAT(target("ARGS:/x/"), ElementsAre(error_at("2:38", "regular expression")));
}

TEST(TenantWafExclusions, AreBounded) {
  std::string list;
  for (int i = 1; i <= 200; ++i) list += "{rule: " + std::to_string(i) + "}, ";
  EXPECT_THAT(waf("exclusions: [" + list + "]"), IsEmpty());
  EXPECT_THAT(waf("exclusions: [" + list + "{rule: 201}]"), ElementsAre(error_at("2:19", "201 items; at most 200")));
}

TEST(TenantWafExclusions, WarnWithoutEffect) {
  const auto two = [](const std::string& first, const std::string& second) {
    return tenant_problems("waf:\n  exclusions:\n    - {" + first + "}\n    - {" + second + "}\n");
  };
  EXPECT_THAT(two("rule: 1", "rule: 1"), ElementsAre(warning_at("5:7", "the one in line 4 covers it")));
  EXPECT_THAT(two("rule: 1", "rule: 1, target: ARGS"), ElementsAre(warning_at("5:7", "line 4")));
  EXPECT_THAT(two("rule: 1, target: ARGS", "rule: 1"), ElementsAre(warning_at("4:7", "line 5")));
  EXPECT_THAT(two("rule: 1, path: /a", "rule: 1, path: /a/b"), ElementsAre(warning_at("5:7", "line 4")));
  EXPECT_THAT(two("rule: 1, path: /a", "rule: 1, path: /a/"), ElementsAre(warning_at("5:7", "line 4")));
  EXPECT_THAT(two("rule: 1, path: /a", "rule: 1"), ElementsAre(warning_at("4:7", "line 5")));
  EXPECT_THAT(two("rule: 1, path: /a", "rule: 1, path: /b"), IsEmpty());
  EXPECT_THAT(two("rule: 1, target: ARGS, path: /a", "rule: 1, path: /a/b"), IsEmpty());
  EXPECT_THAT(two("rule: 1", "rule: 2"), IsEmpty());
  EXPECT_THAT(waf("mode: off, exclusions: [{rule: 1}]"), ElementsAre(warning_at("2:30", "no effect with mode: off")));
}

TEST(TenantWafRules, KnowWhereTheirTextBegins) {
  const TenantWaf block = good_tenant(
                              "waf:\n  rules_before: |\n    SecAction \"id:10001,phase:1,pass,nolog\"\n    SecMarker "
                              "X\n  rules_after: 'SecMarker Y'\n")
                              .waf;
  EXPECT_EQ(block.rules_before, "SecAction \"id:10001,phase:1,pass,nolog\"\nSecMarker X\n");
  EXPECT_EQ(block.rules_before_place.line, 4);
  EXPECT_EQ(block.rules_before_place.column, 5);
  EXPECT_EQ(block.rules_before_place.file, "/nonexistent/tenants/shop.yaml");
  EXPECT_EQ(block.rules_after, "SecMarker Y");
  EXPECT_EQ(block.rules_after_place.line, 6);
  EXPECT_EQ(block.rules_after_place.column, 17);
}

TEST(TenantWafRules, MayBeEmpty) {
  EXPECT_EQ(good_waf("rules_before: \"\", rules_after: ").rules_before, "");
  EXPECT_THAT(waf("rules_before: [a]"), ElementsAre(error_at("2:21", "SecLang text is expected here, not a list")));
}

TEST(TenantWafRules, AreTextWithoutControls) {
  EXPECT_EQ(good_waf("rules_before: \"a\\tb\\nc\"").rules_before, "a\tb\nc");
  EXPECT_THAT(waf("rules_before: \"a\\0b\""), ElementsAre(error_at("2:21", "control character '\\x00'")));
  EXPECT_THAT(waf("rules_before: \"a\\rb\""), ElementsAre(error_at("2:21", "control character '\\r'")));
  EXPECT_THAT(waf("rules_before: " + std::string(256 * 1024 + 1, 'a')),
              ElementsAre(error_at("2:21", "more than 262144 bytes")));
}

TEST(TenantWafRules, NeedThePlatformsConsent) {
  const GatewayConfig no = gateway_with("policy: {tenant_rules: false}");
  const GatewayConfig trusted = gateway_with("policy: {tenant_rules: trusted}");
  EXPECT_THAT(
      tenant_problems("waf: {rules_before: SecMarker X}", no),
      ElementsAre(error_at("2:21", "'rules_before' is not allowed: gateway.yaml has policy: {tenant_rules: false}")));
  EXPECT_THAT(tenant_problems("waf: {rules_after: SecMarker X}", no),
              ElementsAre(error_at("2:20", "'rules_after' is not allowed")));
  EXPECT_THAT(tenant_problems("waf: {rules_after: \"\"}", no), IsEmpty());
  EXPECT_THAT(tenant_problems("waf: {rules_after: \" \\n\"}", no), IsEmpty());
  EXPECT_THAT(tenant_problems("waf: {rules_before: SecMarker X}", trusted), IsEmpty());
  EXPECT_THAT(waf("mode: off, rules_before: SecMarker X"), ElementsAre(warning_at("2:32", "no effect with mode: off")));
}

}  // namespace
}  // namespace gatehouse::config::test
