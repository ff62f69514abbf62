// Host names as configuration writes them.
#include "config/hostname.hpp"

#include <gmock/gmock.h>

namespace gatehouse::config {
namespace {

using ::testing::HasSubstr;

std::string host(std::string_view name) {
  const auto result = normalise_host(name);
  return result ? *result : "refused: " + result.error();
}
std::string pattern(std::string_view name) {
  const auto result = normalise_host_pattern(name);
  return result ? *result : "refused: " + result.error();
}

TEST(NormaliseHost, LowersAndDropsTheTrailingDot) {
  EXPECT_EQ(host("Shop.Example.DE."), "shop.example.de");
  EXPECT_EQ(host("localhost"), "localhost");
  EXPECT_EQ(host("a-b.c1.example"), "a-b.c1.example");
  EXPECT_EQ(host("r3---sn-x.example"), "r3---sn-x.example");
}

TEST(NormaliseHost, MakesALabels) {
  EXPECT_EQ(host("bücher.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host("BÜCHER.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host("straße.example"), "xn--strae-oqa.example");  // non-transitional: ß is not ss
  EXPECT_EQ(host("例え.テスト"), "xn--r8jz45g.xn--zckzah");
  EXPECT_EQ(host("xn--bcher-kva.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host("bücher。example"), "xn--bcher-kva.example");  // ideographic full stop
}

TEST(NormaliseHost, RefusesALabelsThatAreNone) {
  EXPECT_THAT(host("xn--999999999b.example"), HasSubstr("refused"));
  EXPECT_THAT(host("xn--a.example"), HasSubstr("refused"));
  EXPECT_THAT(host("a\xE2\x80\x8B"
                   "b\xE2\x80\xAE.example"),
              HasSubstr("refused"));
}

TEST(NormaliseHost, RefusesWhatIsNoName) {
  EXPECT_THAT(host(""), HasSubstr("is empty"));
  EXPECT_THAT(host("."), HasSubstr("is empty"));
  EXPECT_THAT(host("a..b"), HasSubstr("empty label"));
  EXPECT_THAT(host(".a"), HasSubstr("empty label"));
  EXPECT_THAT(host("a.."), HasSubstr("empty label"));
  EXPECT_THAT(host("my_app.example"), HasSubstr("underscore"));
  EXPECT_THAT(host("-a.example"), HasSubstr("hyphen"));
  EXPECT_THAT(host("a-.example"), HasSubstr("hyphen"));
  EXPECT_THAT(host("a b.example"), HasSubstr("the character ' '"));
  EXPECT_THAT(host("a\nb"), HasSubstr("the character '\\n'"));
  EXPECT_THAT(host(std::string_view("a\0b", 3)), HasSubstr("is not text"));
  EXPECT_THAT(host("\xFF.example"), HasSubstr("is not text"));
}

TEST(NormaliseHost, BoundsLengths) {
  EXPECT_EQ(host(std::string(63, 'a') + ".de"), std::string(63, 'a') + ".de");
  EXPECT_THAT(host(std::string(64, 'a') + ".de"), HasSubstr("more than 63"));
  std::string longest;
  for (int i = 0; i < 126; ++i) longest += "a.";
  EXPECT_EQ(host(longest + "a").size(), 253U);
  EXPECT_THAT(host(longest + "ab"), HasSubstr("more than 253"));
  std::string umlauts;
  for (int i = 0; i < 100'000; ++i) umlauts += "ü";
  EXPECT_THAT(host(umlauts), HasSubstr("too long"));
}

TEST(NormaliseHost, ExplainsUrlsPortsAndPaths) {
  EXPECT_THAT(host("https://shop.example"), HasSubstr("is a URL"));
  EXPECT_THAT(host("shop.example:443"), HasSubstr("has a port"));
  EXPECT_THAT(host("shop.example/api"), HasSubstr("has a slash"));
}

TEST(NormaliseHost, TakesAddressesAsTheyComeInAHostHeader) {
  EXPECT_EQ(host("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(host("[2001:DB8:0::1]"), "[2001:db8::1]");
  EXPECT_THAT(host("2001:db8::1"), HasSubstr("without brackets"));
  EXPECT_THAT(host("[2001:db8::1]:443"), HasSubstr("without a port"));
  EXPECT_THAT(host("[::ffff:192.0.2.1]"), HasSubstr("refused"));
  EXPECT_THAT(host("[192.0.2.1]"), HasSubstr("refused"));
}

TEST(NormaliseHost, RefusesNamesThatReadAsAddresses) {
  EXPECT_THAT(host("192.0.2.01"), HasSubstr("ends in a number"));
  EXPECT_THAT(host("127.1"), HasSubstr("ends in a number"));
  EXPECT_THAT(host("example.0x7f"), HasSubstr("ends in a number"));
  EXPECT_EQ(host("1.example"), "1.example");
}

TEST(NormaliseHostPattern, TakesWildcardsOfOneLabel) {
  EXPECT_EQ(pattern("*"), "*");
  EXPECT_EQ(pattern("*.Example.DE"), "*.example.de");
  EXPECT_EQ(pattern("*.bücher.example"), "*.xn--bcher-kva.example");
  EXPECT_EQ(pattern("shop.example"), "shop.example");
}

TEST(NormaliseHostPattern, TakesWildcardsBeforeASingleLabelThatIsForPrivateUse) {
  for (const char* label :
       {"test", "example", "invalid", "localhost", "local", "internal", "lan", "home", "corp", "intranet", "private"})
    EXPECT_EQ(pattern("*." + std::string(label)), "*." + std::string(label));
  EXPECT_EQ(pattern("*.TEST."), "*.test");
  for (const char* label : {"de", "com", "tests", "app", "xn--p1ai", "internals"})
    EXPECT_THAT(pattern("*." + std::string(label)), HasSubstr("public top-level domain")) << label;
}

TEST(NormaliseHostPattern, RefusesOtherWildcards) {
  EXPECT_THAT(pattern("*.de"), HasSubstr("single label"));
  EXPECT_THAT(pattern("*."), HasSubstr("refused"));
  EXPECT_THAT(pattern("*.*.example.de"), HasSubstr("asterisk"));
  EXPECT_THAT(pattern("a*.example.de"), HasSubstr("asterisk"));
  EXPECT_THAT(pattern("a.*.example"), HasSubstr("asterisk"));
  EXPECT_THAT(pattern("**"), HasSubstr("asterisk"));
  EXPECT_THAT(pattern("*.192.0.2.1"), HasSubstr("address"));
  EXPECT_THAT(pattern("*.[2001:db8::1]"), HasSubstr("address"));
}

TEST(WildcardCovers, ExactlyOneLabel) {
  EXPECT_TRUE(wildcard_covers("*.example.de", "shop.example.de"));
  EXPECT_FALSE(wildcard_covers("*.example.de", "a.shop.example.de"));
  EXPECT_FALSE(wildcard_covers("*.example.de", "example.de"));
  EXPECT_FALSE(wildcard_covers("*.example.de", "*.example.de"));
  EXPECT_FALSE(wildcard_covers("*", "shop.example.de"));
  EXPECT_FALSE(wildcard_covers("shop.example.de", "shop.example.de"));
  EXPECT_FALSE(wildcard_covers("*.example.de", ".example.de"));
}

}  // namespace
}  // namespace gatehouse::config
