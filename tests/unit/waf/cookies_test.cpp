// Cookies as servers read them that libmodsecurity passes over or takes apart.
#include "waf/cookies.hpp"

#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf_fixture.hpp"

namespace gatehouse::waf {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::vector<std::pair<std::string, std::string>> unseen(std::string_view header) {
  std::vector<std::pair<std::string, std::string>> out;
  unseen_cookies(header, [&](const std::string& name, const std::string& value) { out.emplace_back(name, value); });
  return out;
}

TEST(UnseenCookies, AreNoneOfOrdinaryHeaders) {
  for (const char* header :
       {"", "a=b", "a=b; c=d", "a", "a; b", "a=\"b c\"", "a=b\\c; d=\"e", ";", "=", " = ; =", "a=", "a=\"\""})
    EXPECT_THAT(unseen(header), IsEmpty()) << header;
}

TEST(UnseenCookies, AreThoseWithoutAName) {
  EXPECT_THAT(unseen("=x"), ElementsAre(Pair("", "x")));
  EXPECT_THAT(unseen("a=b;\t= x y ; c=d; =z=u"), ElementsAre(Pair("", "x y"), Pair("", "z=u")));
}

TEST(UnseenCookies, AreQuotedValuesInWhichOthersSeeAnEnd) {
  EXPECT_THAT(unseen("a=\"b; c\""), ElementsAre(Pair("a", "b; c")));
  EXPECT_THAT(unseen("x=y; a = \"b;c=d\" ; e=f"), ElementsAre(Pair("a", "b;c=d")));
  EXPECT_THAT(unseen("a=\"b; c=\"; d=\"e;f\""), ElementsAre(Pair("a", "b; c="), Pair("d", "e;f")));
  EXPECT_THAT(unseen("a=\"b\\\";c\""), ElementsAre(Pair("a", "b\";c")));
  EXPECT_THAT(unseen("=\"b;c\""), Contains(Pair("", "b;c")));
}

TEST(UnseenCookies, AreQuotedValuesWithEscapes) {
  EXPECT_THAT(unseen(R"(a="1\047 or \x")"), ElementsAre(Pair("a", "1' or x")));
  EXPECT_THAT(unseen(R"(a="\07" )"), ElementsAre(Pair("a", "07")));
  EXPECT_THAT(unseen(R"(a="\477")"), ElementsAre(Pair("a", "477")));
}

TEST(UnseenCookies, TakeTimeInProportion) {
  std::string open;
  for (int i = 0; i < 200'000; ++i) open += "a=\"b;";
  std::size_t bytes = 0;
  for (const auto& [name, value] : unseen(open)) bytes += value.size();
  EXPECT_LE(bytes, open.size());
  std::string escaped = "a=\"";
  for (int i = 0; i < 200'000; ++i) escaped += "\\\";a=\"";
  bytes = 0;
  for (const auto& [name, value] : unseen(escaped)) bytes += value.size();
  EXPECT_LE(bytes, escaped.size());
}

TEST(UnseenCookies, AreInspected) {
  for (const char* header : {"=1' or '1'='1", "a=b; =1' or '1'='1' -- ", R"(a="1\047 or \0471\047=\0471")"}) {
    Request request = get("/");
    request.header("Cookie", header);
    EXPECT_TRUE(run(request).outcome.denied) << header;
  }
  config::TenantConfig own = tenant();
  own.waf.rules_before = "SecRule REQUEST_COOKIES:a \"@streq 1' or; '1'='1\" \"id:10001,phase:1,deny,status:403\"\n";
  Request quoted = get("/");
  quoted.header("Cookie", R"(x=y; a="1' or; '1'='1")");
  EXPECT_TRUE(run(*policy_of(own), quoted).outcome.denied);
  for (const char* header : {"=value", "a=\"b; c\"; d=e", R"(a="{\"theme\":\"dark\"}"; b=c)"}) {
    Request request = get("/");
    request.header("Cookie", header);
    EXPECT_TRUE(run(request).outcome.rules.empty()) << header;
  }
}

}  // namespace
}  // namespace gatehouse::waf
