// What a tenant may write, how it is written anew, and what is refused where.
#include <mutex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/library.hpp"
#include "waf/modsecurity.hpp"
#include "waf/seclang_check.hpp"
#include "waf/seclang_values.hpp"

namespace gatehouse::waf::seclang {
namespace {

using ::testing::HasSubstr;

CheckedRules checked(std::string_view text, bool trusted = false) {
  std::set<std::uint32_t> ids;
  return check(text, trusted, ids);
}

std::string rule(std::string_view variables, std::string_view op, std::string_view actions = "id:10001,phase:2,deny") {
  return "SecRule " + std::string(variables) + " \"" + std::string(op) + "\" \"" + std::string(actions) + "\"";
}

struct Accepted {
  std::string text;
  std::string canonical;
  bool trusted = false;
};

class SeclangAccepts : public ::testing::TestWithParam<Accepted> {};

TEST_P(SeclangAccepts, AndWritesAnew) {
  const CheckedRules result = checked(GetParam().text, GetParam().trusted);
  for (const Error& error : result.errors)
    ADD_FAILURE() << error.at.line << ':' << error.at.column << ": " << error.message;
  EXPECT_EQ(result.text, GetParam().canonical + "\n");
  modsecurity::RulesSet set;
  const std::lock_guard lock(parse_mutex());
  EXPECT_GE(set.load(result.text.c_str()), 0) << set.getParserError();
}

TEST_P(SeclangAccepts, WhatItHasWritten) {
  const CheckedRules result = checked(GetParam().canonical, GetParam().trusted);
  // Marker names are put into a space of their own, once.
  if (GetParam().canonical.find("tenant-marker") != std::string::npos) return;
  EXPECT_EQ(result.text, GetParam().canonical + "\n");
}

INSTANTIATE_TEST_SUITE_P(
    Rules, SeclangAccepts,
    ::testing::Values(
        Accepted{rule("args:x", "@STREQ y", "phase:2,id:10001,deny,status:403"),
                 rule("ARGS:x", "@streq y", "id:10001,phase:2,deny,status:403")},
        Accepted{rule("ARGS", "foo.*bar"), rule("ARGS", "@rx foo.*bar")},
        Accepted{rule("ARGS.x", "!@eq 5"), rule("ARGS:x", "!@eq 5")},
        Accepted{rule("&ARGS|!ARGS:b|REQUEST_COOKIES:/^s/", "@ge 7"),
                 rule("&ARGS|!ARGS:b|REQUEST_COOKIES:/^s/", "@ge 7")},
        Accepted{rule("ARGS:'/a|b/'", "@pm x y z"), rule("ARGS:'/a|b/'", "@pm x y z")},
        Accepted{rule("ARGS:'/a b=c/'", "@pm x"), rule("ARGS:/a\\x20b\\x3dc/", "@pm x")},
        Accepted{rule("REQUEST_URI", R"(@rx a\"b%c\\d)"), rule("REQUEST_URI", R"(@rx a\x22b\x25c\x5cd)")},
        Accepted{rule("REQUEST_URI", R"(@rx [\"'%\\]{2,3}\d+$)"),
                 rule("REQUEST_URI", R"(@rx [\x22'\x25\x5c]{2,3}\d+$)")},
        Accepted{rule("REMOTE_ADDR", "!@ipMatch 10.0.0.0/8,192.0.2.1,2001:db8::/32"),
                 rule("REMOTE_ADDR", "!@ipMatch 10.0.0.0/8,192.0.2.1,2001:db8::/32")},
        Accepted{rule("ARGS", "@detectSQLi"), rule("ARGS", "@detectSQLi")},
        Accepted{rule("ARGS", "@detectxss"), rule("ARGS", "@detectXSS")},
        Accepted{rule("ARGS", "@validateByteRange 9,10,13,32-126"), rule("ARGS", "@validateByteRange 9,10,13,32-126")},
        Accepted{rule("ARGS", "@validateUrlEncoding"), rule("ARGS", "@validateUrlEncoding")},
        Accepted{rule("ARGS", "@validateUtf8Encoding"), rule("ARGS", "@validateUtf8Encoding")},
        Accepted{rule("XML:/*|XML://@*", "@contains x"), rule("XML:/*|XML://@*", "@contains x")},
        Accepted{rule("TX:score", "@gt %{tx.limit}"), rule("TX:score", "@gt %{TX.limit}")},
        Accepted{rule("REQUEST_METHOD", "@within %{tx.methods} GET"),
                 rule("REQUEST_METHOD", "@within %{TX.methods} GET")},
        Accepted{rule("ARGS", "@beginsWith it's"), rule("ARGS", "@beginsWith it's")},
        Accepted{rule("ARGS", "@endsWith .php"), rule("ARGS", "@endsWith .php")},
        Accepted{rule("ARGS", "@le 007"), rule("ARGS", "@le 7")},
        Accepted{rule("ARGS:b\xC3\xBC", "@lt 3"), rule("ARGS:b\xC3\xBC", "@lt 3")},
        Accepted{
            rule("ARGS", "@rx x",
                 "id:10002,phase:request,block,log,msg:'a, b: %{MATCHED_VAR_NAME}',logdata:'x "
                 "%{tx.0}',tag:'t/1',tag:x,severity:2,capture,multiMatch,t:none,t:LowerCase,t:urlDecodeUni"),
            rule(
                "ARGS", "@rx x",
                "id:10002,phase:2,block,log,msg:'a, b: %{MATCHED_VAR_NAME}',logdata:'x "
                "%{TX.0}',tag:'t/1',tag:'x',severity:'CRITICAL',capture,multiMatch,t:none,t:lowercase,t:urlDecodeUni")},
        Accepted{
            "SecAction \"id:10001,phase:1,nolog,pass,setvar:tx.a,setvar:'tx.b=x y',setvar:tx.c=+%{tx.b},setvar:!tx.d\"",
            "SecAction \"id:10001,phase:1,nolog,pass,setvar:'tx.a=1',setvar:'tx.b=x "
            "y',setvar:'tx.c=+%{TX.b}',setvar:!tx.d\""},
        Accepted{rule("ARGS:a", "@eq 1", "id:10001,deny,chain") + "\n" +
                     "SecRule ARGS:b \"@eq 2\" \"chain,setvar:'tx.x=1'\"\nSecRule ARGS:c \"@eq 3\"",
                 rule("ARGS:a", "@eq 1", "id:10001,phase:2,deny,chain") + "\n" +
                     "SecRule ARGS:b \"@eq 2\" \"chain,setvar:'tx.x=1'\"\nSecRule ARGS:c \"@eq 3\" \"t:none\""},
        // Without an action, libmodsecurity would take the marker for one.
        Accepted{rule("ARGS:a", "@eq 1", "id:10001,chain") + "\nSecRule ARGS:b \"@eq 2\"\nSecMarker END",
                 rule("ARGS:a", "@eq 1", "id:10001,phase:2,chain") +
                     "\nSecRule ARGS:b \"@eq 2\" \"t:none\"\nSecMarker tenant-marker-END"},
        Accepted{rule("ARGS:a", "@eq 1", "id:10001,pass,skipAfter:END") + "\nSecMarker END",
                 rule("ARGS:a", "@eq 1", "id:10001,phase:2,pass,skipAfter:tenant-marker-END") +
                     "\nSecMarker tenant-marker-END"},
        Accepted{"SecRuleUpdateTargetById 942100 \"REQUEST_HEADERS:X-Search\"",
                 "SecRuleUpdateTargetById 942100 \"REQUEST_HEADERS:X-Search\""},
        Accepted{rule("ARGS:a", "@eq 1",
                      "id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=942100-942199,ctl:ruleRemoveTargetById=941100;"
                      "args:q,ctl:ruleEngine=detectiononly"),
                 rule("ARGS:a", "@eq 1",
                      "id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=942100-942199,ctl:ruleRemoveTargetById=941100;"
                      "ARGS:q,ctl:ruleEngine=DetectionOnly"),
                 true}));

struct Refused {
  std::string text;
  int line;
  int column;
  std::string says;
  bool trusted = false;
};

class SeclangRefuses : public ::testing::TestWithParam<Refused> {};

TEST_P(SeclangRefuses, AtItsPlace) {
  const CheckedRules result = checked(GetParam().text, GetParam().trusted);
  ASSERT_FALSE(result.errors.empty()) << GetParam().text << "\nbecame " << result.text;
  EXPECT_EQ(result.errors[0].at.line, GetParam().line) << result.errors[0].message;
  EXPECT_EQ(result.errors[0].at.column, GetParam().column) << result.errors[0].message;
  EXPECT_THAT(result.errors[0].message, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Directives, SeclangRefuses,
    ::testing::Values(Refused{"SecRuleEngine Off", 1, 1, "directive SecRuleEngine is not allowed"},
                      Refused{"\n Include /etc/passwd", 2, 2, "Include"},
                      Refused{"SecRemoteRules key https://x/", 1, 1, "SecRemoteRules"},
                      Refused{"SecRuleScript x.lua \"id:10001\"", 1, 1, "SecRuleScript"},
                      Refused{"SecDefaultAction \"phase:1,deny\"", 1, 1, "SecDefaultAction"},
                      Refused{"SecAuditLog /x", 1, 1, "SecAuditLog"}, Refused{"SecDebugLog /x", 1, 1, "SecDebugLog"},
                      Refused{"SecUploadDir /x", 1, 1, "SecUploadDir"},
                      Refused{"SecRuleUpdateActionById 942100 \"pass\"", 1, 1, "SecRuleUpdateActionById"},
                      Refused{"SecRuleRemoveByTag x", 1, 1, "SecRuleRemoveByTag"},
                      Refused{"SecRuleRemoveById x", 1, 1, "neither"},
                      Refused{"SecRuleRemoveById 5-3", 1, 1, "neither"}, Refused{"SecMarker a b", 1, 1, "one name"},
                      Refused{"SecMarker a\nSecMarker a", 2, 1, "twice"},
                      Refused{"SecRuleUpdateTargetById x \"ARGS\"", 1, 1, "one rule's id"},
                      Refused{"SecRuleUpdateTargetById 942100 \"!ENV\"", 1, 33, "ENV"}));

INSTANTIATE_TEST_SUITE_P(
    Variables, SeclangRefuses,
    ::testing::Values(
        Refused{rule("ENV:HOME", "@rx x"), 1, 9, "ENV"}, Refused{rule("ARGS|GEO:COUNTRY_CODE", "@rx x"), 1, 14, "GEO"},
        Refused{rule("FILES_TMPNAMES", "@rx x"), 1, 9, "FILES_TMPNAMES"},
        Refused{rule("FILES_TMP_CONTENT", "@rx x"), 1, 9, "FILES_TMP_CONTENT"},
        Refused{rule("IP:x", "@rx x"), 1, 9, "IP"}, Refused{rule("GLOBAL:x", "@rx x"), 1, 9, "GLOBAL"},
        Refused{rule("SESSION:x", "@rx x"), 1, 9, "SESSION"}, Refused{rule("USER:x", "@rx x"), 1, 9, "USER"},
        Refused{rule("RESOURCE:x", "@rx x"), 1, 9, "RESOURCE"},
        Refused{rule("MODSEC_BUILD", "@rx x"), 1, 9, "MODSEC_BUILD"},
        Refused{rule("XML://*//*", "@rx x"), 1, 9, "of XML only"}, Refused{rule("TX", "@rx x"), 1, 9, "needs a name"},
        Refused{rule("!ARGS:x", "@rx x"), 1, 9, "looks at nothing"},
        Refused{rule("REQUEST_URI:x", "@rx x"), 1, 9, "one value"},
        Refused{rule("&REQUEST_URI", "@eq 1"), 1, 9, "one value"},
        Refused{rule("ARGS:a'b'", "@rx x"), 1, 9, "a name may have"},
        Refused{rule("ARGS:/(/", "@rx x"), 1, 10, "does not compile"},
        Refused{rule("ARGS:'/a|b/'|ARGS:'/c|d/'", "@rx x"), 1, 22, "only one variable"},
        Refused{rule("ARGS:/a{2}/", "@rx x"), 1, 9, "repetitions"},
        Refused{rule("ARGS:/(?=x)/", "@rx x"), 1, 9, "look ahead"}));

INSTANTIATE_TEST_SUITE_P(Operators, SeclangRefuses,
                         ::testing::Values(Refused{rule("ARGS", "@inspectFile /bin/sh"), 1, 15, "inspectFile"},
                                           Refused{rule("ARGS", "@rbl x.org"), 1, 15, "rbl"},
                                           Refused{rule("ARGS", "@pmFromFile /etc/passwd"), 1, 15, "pmFromFile"},
                                           Refused{rule("ARGS", "@ipMatchFromFile x"), 1, 15, "ipMatchFromFile"},
                                           Refused{rule("XML:/*", "@validateSchema x"), 1, 17, "validateSchema"},
                                           Refused{rule("XML:/*", "@validateDTD x"), 1, 17, "validateDTD"},
                                           Refused{rule("ARGS", "@geoLookup"), 1, 15, "geoLookup"},
                                           Refused{rule("ARGS", "@rsub s/a/b/"), 1, 15, "rsub"},
                                           Refused{rule("ARGS", "@fuzzyHash x 1"), 1, 15, "fuzzyHash"},
                                           Refused{rule("ARGS", "@nonsense x"), 1, 15, "nonsense"},
                                           Refused{rule("ARGS", "@rx a("), 1, 21, "does not compile"},
                                           Refused{rule("ARGS", "@rx %{tx.x}"), 1, 19, "macros are not for patterns"},
                                           Refused{rule("ARGS", "@rx \\\\Qa\\\\E"), 1, 19, "\\Q"},
                                           Refused{rule("ARGS", "@rx (*NO_JIT)a"), 1, 19, "(*"},
                                           Refused{rule("ARGS", "@rx"), 1, 18, "is missing"},
                                           Refused{rule("ARGS", "@rx " + std::string(5000, 'a')), 1, 19, "longer than"},
                                           Refused{rule("ARGS", "@streq a\\\"b"), 1, 22, "must not contain"},
                                           Refused{rule("ARGS", "@streq 100%"), 1, 22, "must not contain"},
                                           Refused{rule("ARGS", "@streq %{ENV.HOME}"), 1, 22, "%{ENV.HOME}"},
                                           Refused{rule("ARGS", "@contains %{tx.a"), 1, 25, "not closed"},
                                           Refused{rule("ARGS", "@contains %{ARGS}"), 1, 25, "needs a name"},
                                           Refused{rule("ARGS", "@contains %{REQUEST_URI.x}"), 1, 25, "takes no name"},
                                           Refused{rule("ARGS", "@pm %{tx.a}"), 1, 19, "macro"},
                                           Refused{rule("ARGS", "@pm a|41|"), 1, 19, "must not contain"},
                                           Refused{rule("ARGS", "@eq x"), 1, 19, "whole number"},
                                           Refused{rule("ARGS", "@eq -1"), 1, 19, "whole number"},
                                           Refused{rule("ARGS", "@eq 99999999999"), 1, 19, "whole number"},
                                           Refused{rule("REMOTE_ADDR", "@ipMatch 10.0.0.1/8"), 1, 31,
                                                   "addresses and networks"},
                                           Refused{rule("ARGS", "@validateByteRange 5-300"), 1, 34, "list like"},
                                           Refused{rule("ARGS", "@detectSQLi x"), 1, 27, "must be empty"}));

INSTANTIATE_TEST_SUITE_P(
    Actions, SeclangRefuses,
    ::testing::Values(Refused{rule("ARGS", "x", "phase:2,deny"), 1, 1, "no id"},
                      Refused{rule("ARGS", "x", "id:9999"), 1, 19, "10000 to 99999"},
                      Refused{rule("ARGS", "x", "id:100000"), 1, 19, "10000 to 99999"},
                      Refused{rule("ARGS", "x", "id:942100"), 1, 19, "10000"},
                      Refused{rule("ARGS", "x") + "\n" + rule("ARGS", "y"), 2, 19, "used twice"},
                      Refused{rule("ARGS", "x", "id:10001,phase:6"), 1, 28, "phase"},
                      Refused{rule("ARGS", "x", "id:10001 deny"), 1, 19, "10000 to 99999"},
                      Refused{rule("ARGS", "x", "id:10001,exec:/bin/sh"), 1, 28, "exec"},
                      Refused{rule("ARGS", "x", "id:10001,allow"), 1, 28, "allow"},
                      Refused{rule("ARGS", "x", "id:10001,redirect:https://x/"), 1, 28, "redirect"},
                      Refused{rule("ARGS", "x", "id:10001,drop"), 1, 28, "drop"},
                      Refused{rule("ARGS", "x", "id:10001,skip:5"), 1, 28, "skip"},
                      Refused{rule("ARGS", "x", "id:10001,initcol:ip=x"), 1, 28, "initcol"},
                      Refused{rule("ARGS", "x", "id:10001,setenv:A=b"), 1, 28, "setenv"},
                      Refused{rule("ARGS", "x", "id:10001,setvar:ip.x=1"), 1, 28, "TX alone"},
                      Refused{rule("ARGS", "x", "id:10001,setvar:global.x=1"), 1, 28, "TX alone"},
                      Refused{rule("ARGS", "x", "id:10001,setvar:'tx.%{ARGS.a}=1'"), 1, 28, "name of a TX"},
                      Refused{rule("ARGS", "x", "id:10001,setvar:'tx.a=%{ENV.PATH}'"), 1, 35, "ENV"},
                      Refused{rule("ARGS", "x", "id:10001,setvar:'tx.a=b=c'"), 1, 35, "must not contain"},
                      Refused{rule("ARGS", "x", "id:10001,status:200"), 1, 28, "400 to 599"},
                      Refused{rule("ARGS", "x", "id:10001,severity:9"), 1, 28, "severity"},
                      Refused{rule("ARGS", "x", "id:10001,t:sha256"), 1, 28, "no transformation"},
                      Refused{rule("ARGS", "x", "id:10001,msg:'100%'"), 1, 32, "must not contain"},
                      Refused{rule("ARGS", "x", "id:10001,msg:'a\\'b'"), 1, 32, "must not contain"},
                      Refused{rule("ARGS", "x", "id:10001,deny,pass"), 1, 33, "contradicts"},
                      Refused{rule("ARGS", "x", "id:10001,log,nolog"), 1, 32, "contradicts"},
                      Refused{rule("ARGS", "x", "id:10001,deny:5"), 1, 28, "no value"},
                      Refused{rule("ARGS", "x", "id:10001,skipAfter:END-CRS"), 1, 28, "no SecMarker END-CRS"},
                      Refused{"SecMarker A\n" + rule("ARGS", "x", "id:10001,skipAfter:A"), 2, 28, "no SecMarker A"},
                      Refused{rule("ARGS", "x", "id:10001,deny,chain"), 1, 1, "no SecRule follows"},
                      Refused{rule("ARGS", "x", "id:10001,chain") + "\nSecMarker A", 2, 1, "a SecRule is expected"},
                      Refused{rule("ARGS", "x", "id:10001,chain") + "\n" + rule("ARGS", "y", "id:10002"), 2, 19,
                              "first rule of the chain"},
                      Refused{rule("ARGS", "x", "id:10001,chain") + "\n" + rule("ARGS", "y", "deny"), 2, 19,
                              "first rule of the chain"},
                      Refused{"SecAction \"id:10001,chain\"", 1, 1, "cannot begin a chain"},
                      Refused{rule("ARGS", "x", "id:10001,ctl:ruleRemoveById=942100"), 1, 28,
                              "unless policy.tenant_rules is trusted"},
                      Refused{rule("ARGS", "x", "id:10001,ctl:ruleEngine=Off"), 1, 28, "only DetectionOnly", true},
                      Refused{rule("ARGS", "x", "id:10001,ctl:auditEngine=Off"), 1, 28, "of ctl only", true},
                      Refused{rule("ARGS", "x", "id:10001,ctl:requestBodyAccess=Off"), 1, 28, "of ctl only", true},
                      Refused{rule("ARGS", "x", "id:10001,ctl:ruleRemoveTargetById=1;ENV:x"), 1, 28, "a variable",
                              true}));

TEST(SeclangCheck, RefusesTextsThatAreTooMuch) {
  EXPECT_FALSE(checked(std::string(max_text_bytes + 1, '#')).errors.empty());
  EXPECT_FALSE(checked(std::string("SecMarker a\0b", 13)).errors.empty());
  std::string many;
  for (std::size_t i = 0; i <= max_rules; ++i)
    many += "SecAction \"id:" + std::to_string(first_tenant_id + i) + ",nolog,pass\"\n";
  const CheckedRules result = checked(many);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].at.line, static_cast<int>(max_rules) + 1);
}

TEST(SeclangCheck, CountsIdsOverBothTexts) {
  std::set<std::uint32_t> ids;
  EXPECT_TRUE(check(rule("ARGS", "x"), false, ids).errors.empty());
  EXPECT_FALSE(check(rule("ARGS", "y"), false, ids).errors.empty());
}

TEST(SeclangCheck, CollectsRemovals) {
  const CheckedRules result = checked(
      "SecRuleRemoveById 942100 \"941100-941199 920300\"\nSecRuleUpdateTargetById 942100 \"!ARGS:a,!ARGS:'/^b/'\"\n");
  ASSERT_TRUE(result.errors.empty());
  ASSERT_EQ(result.removals.size(), 3u);
  EXPECT_EQ(result.removals[1].first, 941100u);
  EXPECT_EQ(result.removals[1].last, 941199u);
  ASSERT_EQ(result.target_removals.size(), 2u);
  EXPECT_EQ(result.target_removals[0].target.selector, "a");
  EXPECT_TRUE(result.target_removals[1].target.regex);
  EXPECT_TRUE(result.text.empty());
}

TEST(SeclangCheck, NothingIsFine) {
  EXPECT_TRUE(checked("").errors.empty());
  EXPECT_TRUE(checked("\n# comment\n").errors.empty());
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(SeclangCheck, TellsABoundedNumberOfErrors) {
  for (const std::string& text : {repeated("X\n", 40'000), "SecRuleRemoveById " + repeated("x ", 40'000),
                                  "SecRuleUpdateTargetById 1 \"" + repeated("ENV|", 40'000) + "ENV\""}) {
    const CheckedRules result = checked(text);
    EXPECT_FALSE(result.errors.empty());
    EXPECT_LE(result.errors.size(), max_errors + 1);
  }
}

TEST(SeclangCheck, BoundsWhatARuleDoesToARequest) {
  const auto accepts = [](const std::string& text) { return checked(text).errors.empty(); };
  EXPECT_TRUE(accepts(rule("ARGS", "@rx a", "id:10001,phase:2,deny" + repeated(",t:lowercase", max_transformations))));
  EXPECT_FALSE(
      accepts(rule("ARGS", "@rx a", "id:10001,phase:2,deny" + repeated(",t:lowercase", max_transformations + 1))));
  EXPECT_TRUE(accepts(rule(repeated("ARGS:a|", max_variables - 1) + "ARGS:a", "@rx a")));
  EXPECT_FALSE(accepts(rule(repeated("ARGS:a|", max_variables) + "ARGS:a", "@rx a")));
  EXPECT_TRUE(accepts("SecRuleUpdateTargetById 942100 \"" + repeated("ARGS:a,", max_updates - 1) + "ARGS:a\""));
  EXPECT_FALSE(accepts("SecRuleUpdateTargetById 942100 \"" + repeated("ARGS:a,", max_updates) + "ARGS:a\""));
}

TEST(SeclangCheck, BoundsTheMacrosOfAText) {
  const auto accepts = [](const std::string& text) { return checked(text).errors.empty(); };
  for (const auto& [begin, end, most] :
       {std::tuple("SecAction \"id:10001,phase:1,pass,setvar:'tx.a=", "'\"", max_macros),
        std::tuple("SecRule ARGS \"@streq ", "\" \"id:10001,phase:1,pass\"", max_macros),
        std::tuple("SecAction \"id:10001,phase:1,pass,msg:'", "'\"", max_label_macros),
        std::tuple("SecAction \"id:10001,phase:1,pass,logdata:'", "'\"", max_label_macros)}) {
    EXPECT_TRUE(accepts(begin + repeated("%{tx.a}", most) + end)) << begin;
    const CheckedRules result = checked(begin + repeated("%{tx.a}", most + 1) + end);
    ASSERT_EQ(result.errors.size(), 1u) << begin;
    EXPECT_THAT(result.errors[0].message, ::testing::HasSubstr("macros"));
  }
}

TEST(SeclangCheck, BoundsTheVariablesThatATextSets) {
  const auto text = [](std::size_t count) {
    return "SecAction \"id:10001,phase:1,pass" + repeated(",setvar:tx.a=1", count) + "\"";
  };
  EXPECT_TRUE(checked(text(max_setvars)).errors.empty());
  EXPECT_FALSE(checked(text(max_setvars + 1)).errors.empty());
}

TEST(SeclangCheck, BoundsHowLongValuesBecome) {
  EXPECT_TRUE(checked(rule("ARGS", "@rx a", "id:10001,phase:2,deny,t:hexEncode,t:base64Encode")).errors.empty());
  const CheckedRules result = checked(rule("ARGS", "@rx a", "id:10001,phase:2,deny" + repeated(",t:hexEncode", 20)));
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_THAT(result.errors[0].message, ::testing::HasSubstr("make values longer"));
}

TEST(SeclangCheck, BoundsTheWalksThroughXml) {
  const auto accepts = [](const std::string& text) { return checked(text).errors.empty(); };
  EXPECT_TRUE(accepts(rule("XML:/*|XML://@*|!XML:/*", "@rx a")));
  EXPECT_FALSE(accepts(rule("XML:/*|XML://@*|XML:/*", "@rx a")));
  const std::string add = "SecRuleUpdateTargetById 942100 \"XML:/*\"\n";
  EXPECT_TRUE(accepts(repeated(add, 2)));
  EXPECT_FALSE(accepts(repeated(add, 3)));
}

}  // namespace
}  // namespace gatehouse::waf::seclang
