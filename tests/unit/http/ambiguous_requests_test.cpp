// Requests that two servers could read differently: every one must be refused, with the reason that is named here.
#include "judge.hpp"

namespace gatehouse::http {
namespace {

using namespace std::string_literals;
using enum ParseStatus;
using enum Refusal;

struct AmbiguousRequest {
  const char* name;  // what the attack or the mistake is
  std::string bytes;
  Outcome reason;
};
void PrintTo(const AmbiguousRequest& row, std::ostream* out) { *out << testing::PrintToString(row.bytes); }

class AmbiguousRequestTest : public testing::TestWithParam<AmbiguousRequest> {};

TEST_P(AmbiguousRequestTest, IsRefused) {
  RequestHead head;
  const Judgement judgement = judge_request(GetParam().bytes, head);
  EXPECT_EQ(judgement.outcome, GetParam().reason) << (judgement.why != nullptr ? judgement.why : "accepted");
  EXPECT_NE(judgement.why, nullptr);

  // Byte by byte: the same answer, at the latest when as much again has come.
  const std::string bytes = GetParam().bytes + std::string(GetParam().bytes.size(), 'x');
  const auto* reason = std::get_if<ParseStatus>(&GetParam().reason);
  std::size_t scanned = 0;
  ParseResult result;
  for (std::size_t size = 1; size <= bytes.size() && result.status == need_more; ++size) {
    result = parse_request_head(std::string_view(bytes).substr(0, size), {}, scanned, head);
  }
  EXPECT_EQ(result.status, reason != nullptr ? *reason : complete);
}

std::vector<AmbiguousRequest> request_lines() {
  const auto line = [](std::string_view first) { return std::string(first) + "\r\nHost: a.example\r\n\r\n"; };
  return {
      {"BareLfAfterRequestLine", "GET / HTTP/1.1\nHost: a.example\r\n\r\n", malformed},
      {"BareLfEverywhere", "GET / HTTP/1.1\nHost: a.example\n\n", malformed},
      {"BareCrAfterRequestLine", "GET / HTTP/1.1\rHost: a.example\r\n\r\n", malformed},
      {"CrCrLfAfterRequestLine", "GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n", malformed},
      {"TwoEmptyLinesFirst", "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", malformed},
      {"BareLfFirst", "\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", malformed},
      {"BareCrFirst", "\rGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", malformed},
      {"SpaceFirst", line(" GET / HTTP/1.1"), malformed},
      {"TabFirst", line("\tGET / HTTP/1.1"), malformed},
      {"NulFirst", line("\0GET / HTTP/1.1"s), malformed},
      {"ByteOrderMarkFirst", line("\xEF\xBB\xBFGET / HTTP/1.1"), malformed},
      {"NoMethod", line("/ HTTP/1.1"), malformed},
      {"EmptyMethod", line(" / HTTP/1.1"), malformed},
      {"MethodWithColon", line("GET: / HTTP/1.1"), malformed},
      {"MethodWithSlash", line("GE/T / HTTP/1.1"), malformed},
      {"MethodInBrackets", line("[GET] / HTTP/1.1"), malformed},
      {"MethodWithNul", line("GE\0T / HTTP/1.1"s), malformed},
      {"MethodWithUtf8", line("G\xC3\x89T / HTTP/1.1"), malformed},
      {"TabAfterMethod", line("GET\t/ HTTP/1.1"), malformed},
      {"TwoSpacesAfterMethod", line("GET  / HTTP/1.1"), malformed},
      {"TwoSpacesAfterTarget", line("GET /  HTTP/1.1"), malformed},
      {"TabAfterTarget", line("GET /\tHTTP/1.1"), malformed},
      {"VerticalTabAfterTarget", line("GET /\vHTTP/1.1"), malformed},
      {"SpaceAfterVersion", line("GET / HTTP/1.1 "), malformed},
      {"TabAfterVersion", line("GET / HTTP/1.1\t"), malformed},
      {"NulAfterVersion", line("GET / HTTP/1.1\0"s), malformed},
      {"SpaceInTarget", line("GET /a b HTTP/1.1"), malformed},
      {"TwoRequestsInOneLine", line("GET / HTTP/1.1 GET /x HTTP/1.1"), malformed},
      {"Http09", "GET /\r\n", malformed},
      {"Http09WithFields", line("GET /"), malformed},
      {"Http09WithSpace", line("GET / "), malformed},
      {"Http09Named", line("GET / HTTP/0.9"), malformed},
      {"LowerCaseVersion", line("GET / http/1.1"), malformed},
      {"MixedCaseVersion", line("GET / HtTP/1.1"), malformed},
      {"VersionWithoutDot", line("GET / HTTP/11"), malformed},
      {"VersionWithoutMinor", line("GET / HTTP/1"), malformed},
      {"VersionWithDotAlone", line("GET / HTTP/1."), malformed},
      {"VersionWithComma", line("GET / HTTP/1,1"), malformed},
      {"VersionOfTwoDigits", line("GET / HTTP/1.10"), malformed},
      {"VersionOfTwoMajorDigits", line("GET / HTTP/11.1"), malformed},
      {"VersionWithSign", line("GET / HTTP/+1.1"), malformed},
      {"VersionWithBlank", line("GET / HTTP/ 1.1"), malformed},
      {"VersionOfLetters", line("GET / HTTP/x.y"), malformed},
      {"AnotherProtocol", line("GET / ICY/1.1"), malformed},
      {"Version12", line("GET / HTTP/1.2"), version_unsupported},
      {"Version19", line("GET / HTTP/1.9"), version_unsupported},
      {"Version20", line("GET / HTTP/2.0"), version_unsupported},
      {"Version30", line("GET / HTTP/3.0"), version_unsupported},
      {"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", version_unsupported},
      {"TlsClientHello", "\x16\x03\x01\x02\x00\x01\x00"s, malformed},
      {"SshBanner", "SSH-2.0-OpenSSH_9.2\r\n", malformed},
      {"ProxyProtocolLine", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get_with({}), malformed},
      {"ProxyProtocolSignature", "\r\n\r\n\0\r\nQUIT\n"s + get_with({}), malformed},
      {"ResponseLine", line("HTTP/1.1 200 OK"), malformed},
  };
}

std::vector<AmbiguousRequest> targets() {
  return {
      {"EmptyTarget", "GET  HTTP/1.1\r\nHost: a.example\r\n\r\n", malformed},
      {"FragmentInTarget", get_target("/a#b"), malformed},
      {"FragmentInQuery", get_target("/a?b#c"), malformed},
      {"NulInTarget", get_target("/a\0b"s), malformed},
      {"DeleteInTarget", get_target("/a\x7F"), malformed},
      {"EscapeInTarget", get_target("/a\x1B[0m"), malformed},
      {"TabInTarget", get_target("/a\tb"), malformed},
      {"BareCrInTarget", get_target("/a\rb"), malformed},
      {"Utf8InTarget", get_target("/caf\xC3\xA9"), malformed},
      {"Latin1InTarget", get_target("/caf\xE9"), malformed},
      {"HighByteInQuery", get_target("/?q=\xFF"), malformed},
      {"NonBreakingSpaceInTarget", get_target("/a\xA0HTTP/1.1"), malformed},
      {"RelativeTarget", get_target("index.html"), target_malformed},
      {"DotTarget", get_target("./index.html"), target_malformed},
      {"BackslashTarget", get_target("\\index.html"), target_malformed},
      {"QueryAlone", get_target("?a=b"), target_malformed},
      {"PercentEncodedSlashFirst", get_target("%2Findex.html"), target_malformed},
      {"AsteriskWithGet", get_target("*"), target_malformed},
      {"AsteriskAndMore", "OPTIONS *x HTTP/1.1\r\nHost: a.example\r\n\r\n", target_malformed},
      {"AsteriskAndQuery", "OPTIONS *?x HTTP/1.1\r\nHost: a.example\r\n\r\n", target_malformed},
      {"Connect", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", target_malformed},
      {"ConnectWithPath", "CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n", target_malformed},
      {"AuthorityFormWithGet", get_target("a.example:80"), target_malformed},
      {"SchemeFtp", get_target("ftp://a.example/"), target_malformed},
      {"SchemeFile", get_target("file:///etc/passwd"), target_malformed},
      {"SchemeWebSocket", get_target("ws://a.example/"), target_malformed},
      {"SchemeJavascript", get_target("javascript:alert(1)"), target_malformed},
      {"SchemeWithOneSlash", get_target("http:/a.example/"), target_malformed},
      {"SchemeWithThreeSlashes", get_target("http:///a.example/"), target_malformed},
      {"SchemeAlone", get_target("http://"), target_malformed},
      {"SchemeWithBackslashes", get_target("http:\\\\a.example\\"), target_malformed},
      {"AbsoluteWithUserInfo", get_target("http://user@a.example/"), target_malformed},
      {"AbsoluteWithPassword", get_target("http://a.example:80@b.example/"), target_malformed},
      {"AbsoluteWithBackslashInAuthority", get_target("http://a.example\\@b.example/"), target_malformed},
      {"AbsoluteWithPercentInAuthority", get_target("http://a%2eexample/"), target_malformed},
      {"AbsoluteWithAnotherHost", get_target("http://b.example/"), host_differs},
      {"AbsoluteWithSubdomain", get_target("http://x.a.example/"), host_differs},
      {"AbsoluteWithAnotherPort", get_target("http://a.example:8080/"), host_differs},
      {"AbsoluteWithTheOtherSchemesPort", get_target("https://a.example:80/"), host_differs},
      {"AbsoluteWithPortThatHostNamesOtherwise", "GET http://a.example/ HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
       host_differs},
      {"AbsoluteWithoutHost", "GET http://a.example/ HTTP/1.1\r\n\r\n", host_missing},
      {"AboveTheRoot", get_target("/.."), path_above_root},
      {"AboveTheRootWithSlash", get_target("/../"), path_above_root},
      {"AboveTheRootLater", get_target("/a/../../etc/passwd"), path_above_root},
      {"AboveTheRootByDoubleSlash", get_target("/a//../../b"), path_above_root},
      {"AboveTheRootPercentEncoded", get_target("/%2e%2e/etc/passwd"), path_above_root},
      {"AboveTheRootHalfEncoded", get_target("/.%2E/etc/passwd"), path_above_root},
      {"AboveTheRootHalfEncodedFirst", get_target("/%2e./etc/passwd"), path_above_root},
      {"AboveTheRootInAbsoluteForm", get_target("http://a.example/../x"), path_above_root},
      {"DotsWithAParameter", get_target("/a/..;x=y/b"), path_dots_and_parameters},
      {"DotsWithAParameterPercentEncoded", get_target("/a/%2e.%3b/b"), path_dots_and_parameters},
      {"AboveTheRootBeforeQuery", get_target("/..?x"), path_above_root},
      {"PercentAlone", get_target("/%"), path_encoding},
      {"PercentAndOneDigit", get_target("/%4"), path_encoding},
      {"PercentAndNoDigits", get_target("/%zz"), path_encoding},
      {"PercentAndOneLetter", get_target("/%4g"), path_encoding},
      {"PercentU", get_target("/%u002e%u002e/"), path_encoding},
      {"PercentCutByQuery", get_target("/%2?e"), path_encoding},
      {"PercentPercent", get_target("/%%32%65"), path_encoding},
      {"NulEncoded", get_target("/a%00.html"), path_encoding},
  };
}

std::vector<AmbiguousRequest> hosts() {
  return {
      {"NoHost", "GET / HTTP/1.1\r\n\r\n", host_missing},
      {"TwoHosts", get_with({"Host: b.example"}), duplicate_field},
      {"TwoEqualHosts", get_with({"Host: a.example"}), duplicate_field},
      {"TwoHostsInOtherCase", get_with({"HOST: a.example"}), duplicate_field},
      {"TwoHostsInHttp10", "GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n", duplicate_field},
      {"EmptyHost", get_host(""), host_malformed},
      {"HostOfBlanks", get_host("  \t"), host_malformed},
      {"HostList", get_host("a.example, b.example"), host_malformed},
      {"HostWithBlank", get_host("a.example b.example"), host_malformed},
      {"HostWithTab", get_host("a.example\tb.example"), host_malformed},
      {"HostWithUserInfo", get_host("user@a.example"), host_malformed},
      {"HostWithPath", get_host("a.example/x"), host_malformed},
      {"HostWithQuery", get_host("a.example?x"), host_malformed},
      {"HostWithFragment", get_host("a.example#x"), host_malformed},
      {"HostWithBackslash", get_host("a.example\\x"), host_malformed},
      {"HostWithScheme", get_host("http://a.example"), host_malformed},
      {"HostPercentEncoded", get_host("a%2eexample"), host_malformed},
      {"HostWithUtf8",
       get_host("b\xC3\xBC"
                "cher.example"),
       host_malformed},
      {"HostWithQuotes", get_host("\"a.example\""), host_malformed},
      {"HostWithSubDelimiter", get_host("a!b.example"), host_malformed},
      {"HostWithAsterisk", get_host("*.example"), host_malformed},
      {"HostIsDot", get_host("."), host_malformed},
      {"HostWithLeadingDot", get_host(".a.example"), host_malformed},
      {"HostWithEmptyLabel", get_host("a..example"), host_malformed},
      {"HostWithTwoTrailingDots", get_host("a.example.."), host_malformed},
      {"HostWithLongLabel", get_host(std::string(64, 'a') + ".example"), host_malformed},
      {"HostTooLong",
       get_host(std::string("a.") +
                [] {
                  std::string labels;
                  for (int i = 0; i < 126; ++i) labels += "b.";
                  return labels;
                }() +
                "cd"),
       host_malformed},
      {"HostWithPortOfLetters", get_host("a.example:http"), host_malformed},
      {"HostWithTwoPorts", get_host("a.example:80:80"), host_malformed},
      {"HostWithNegativePort", get_host("a.example:-1"), host_malformed},
      {"HostWithSignedPort", get_host("a.example:+80"), host_malformed},
      {"HostWithBlankBeforePort", get_host("a.example: 80"), host_malformed},
      {"HostWithHexPort", get_host("a.example:0x50"), host_malformed},
      {"HostWithTooLargePort", get_host("a.example:65536"), host_malformed},
      {"HostWithPortOfSixDigits", get_host("a.example:000080"), host_malformed},
      {"HostWithPortAndPath", get_host("a.example:80/x"), host_malformed},
      {"HostWithPortAndUserInfo", get_host("a.example:80@b.example"), host_malformed},
      {"PortAlone", get_host(":80"), host_malformed},
      {"Ipv6WithoutBrackets", get_host("2001:db8::1"), host_malformed},
      {"Ipv6Unclosed", get_host("[2001:db8::1"), host_malformed},
      {"Ipv6Unopened", get_host("2001:db8::1]"), host_malformed},
      {"Ipv6Empty", get_host("[]"), host_malformed},
      {"Ipv6Nonsense", get_host("[2001:db8::zz]"), host_malformed},
      {"Ipv6WithZone", get_host("[fe80::1%25eth0]"), host_malformed},
      {"Ipv6WithTwoCompressions", get_host("[2001::db8::1]"), host_malformed},
      {"Ipv6WithTooManyGroups", get_host("[1:2:3:4:5:6:7:8:9]"), host_malformed},
      {"Ipv6WithTextBehind", get_host("[2001:db8::1]x"), host_malformed},
      {"Ipv6WithTwoBrackets", get_host("[[2001:db8::1]]"), host_malformed},
      {"Ipv4InBrackets", get_host("[192.0.2.1]"), host_malformed},
      {"IpvFuture", get_host("[v1.fe80::a]"), host_malformed},
      {"HostWithControl", get_host("a\x01.example"), malformed},
      {"HostWithNul", get_host("a.example\0"s), malformed},
      {"SpaceBeforeHostColon", "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", malformed},
      {"SpaceBeforeHost", "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", malformed},
      {"HostFolded", "GET / HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n", malformed},
  };
}

std::vector<AmbiguousRequest> framing() {
  return {
      {"LengthThenChunked", post_with({"Content-Length: 6", "Transfer-Encoding: chunked"}), length_and_chunked},
      {"ChunkedThenLength", post_with({"Transfer-Encoding: chunked", "Content-Length: 6"}), length_and_chunked},
      {"ChunkedAndLengthZero", post_with({"Transfer-Encoding: chunked", "Content-Length: 0"}), length_and_chunked},
      {"IdentityAndLength", post_with({"Transfer-Encoding: identity", "Content-Length: 6"}), length_and_chunked},
      {"UnknownCodingAndLength", post_with({"Transfer-Encoding: x", "Content-Length: 6"}), length_and_chunked},
      {"EmptyCodingAndLength", post_with({"Transfer-Encoding:", "Content-Length: 6"}), length_and_chunked},
      {"XChunked", post_with({"Transfer-Encoding: xchunked"}), coding_unknown},
      {"ChunkedX", post_with({"Transfer-Encoding: chunkedx"}), coding_unknown},
      {"ChunkedIdentity", post_with({"Transfer-Encoding: chunked, identity"}), coding_unknown},
      {"IdentityChunked", post_with({"Transfer-Encoding: identity, chunked"}), coding_unknown},
      {"Identity", post_with({"Transfer-Encoding: identity"}), coding_unknown},
      {"GzipChunked", post_with({"Transfer-Encoding: gzip, chunked"}), coding_unknown},
      {"Gzip", post_with({"Transfer-Encoding: gzip"}), coding_unknown},
      {"ChunkedTwiceInOne", post_with({"Transfer-Encoding: chunked, chunked"}), coding_unknown},
      {"ChunkedTwice", post_with({"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"}), coding_unknown},
      {"ChunkedThenIdentityField", post_with({"Transfer-Encoding: chunked", "Transfer-Encoding: identity"}),
       coding_unknown},
      {"IdentityThenChunkedField", post_with({"Transfer-Encoding: identity", "Transfer-Encoding: chunked"}),
       coding_unknown},
      {"ChunkedWithTrailingComma", post_with({"Transfer-Encoding: chunked,"}), coding_unknown},
      {"ChunkedWithLeadingComma", post_with({"Transfer-Encoding: ,chunked"}), coding_unknown},
      {"ChunkedWithParameter", post_with({"Transfer-Encoding: chunked;q=1"}), coding_unknown},
      {"ChunkedQuoted", post_with({"Transfer-Encoding: \"chunked\""}), coding_unknown},
      {"ChunkedSingleQuoted", post_with({"Transfer-Encoding: 'chunked'"}), coding_unknown},
      {"ChunkedWithBlankInside", post_with({"Transfer-Encoding: chun ked"}), coding_unknown},
      {"ChunkedWithHighByte", post_with({"Transfer-Encoding: chunked\xA0"}), coding_unknown},
      {"EmptyCoding", post_with({"Transfer-Encoding:"}), coding_unknown},
      {"ChunkedWithVerticalTab", post_with({"Transfer-Encoding: \vchunked"}), malformed},
      {"ChunkedWithFormFeed", post_with({"Transfer-Encoding: chunked\f"}), malformed},
      {"ChunkedWithNul", post_with({"Transfer-Encoding: chunked\0"s}), malformed},
      {"ChunkedWithBareCr", post_with({"Transfer-Encoding: chunked\rX: y"}), malformed},
      {"ChunkedWithBareLf", post_with({"X: y\nTransfer-Encoding: chunked"}), malformed},
      {"ChunkedFolded", post_with({"Transfer-Encoding:", " chunked"}), malformed},
      {"ChunkedFoldedWithTab", post_with({"Transfer-Encoding: x,", "\tchunked"}), malformed},
      {"SpaceBeforeCodingColon", post_with({"Transfer-Encoding : chunked"}), malformed},
      {"TabBeforeCodingColon", post_with({"Transfer-Encoding\t: chunked"}), malformed},
      {"SpaceBeforeCoding", post_with({"X: y", " Transfer-Encoding: chunked"}), malformed},
      {"CodingWithUnderscore", post_with({"Transfer_Encoding: chunked"}), malformed},
      {"CodingWithNulInName", post_with({"Transfer-Encoding\0: chunked"s}), malformed},
      {"CodingWithTwoColons", post_with({"Transfer-Encoding:: chunked"}), coding_unknown},
      {"ChunkedInHttp10", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", coding_in_http10},
      {"ChunkedWithLengthInHttp10",
       "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
       coding_in_http10},
      {"TwoLengths", post_with({"Content-Length: 5", "Content-Length: 6"}), duplicate_field},
      {"TwoEqualLengths", post_with({"Content-Length: 5", "Content-Length: 5"}), duplicate_field},
      {"TwoLengthsInOtherCase", post_with({"Content-Length: 5", "content-length: 0"}), duplicate_field},
      {"LengthList", post_with({"Content-Length: 5, 5"}), length_malformed},
      {"LengthListOfDifferent", post_with({"Content-Length: 5,6"}), length_malformed},
      {"LengthEmpty", post_with({"Content-Length:"}), length_malformed},
      {"LengthWithPlus", post_with({"Content-Length: +5"}), length_malformed},
      {"LengthNegative", post_with({"Content-Length: -5"}), length_malformed},
      {"LengthMinusZero", post_with({"Content-Length: -0"}), length_malformed},
      {"LengthHexadecimal", post_with({"Content-Length: 0x10"}), length_malformed},
      {"LengthWithFraction", post_with({"Content-Length: 5.0"}), length_malformed},
      {"LengthWithExponent", post_with({"Content-Length: 1e3"}), length_malformed},
      {"LengthWithUnderscore", post_with({"Content-Length: 1_0"}), length_malformed},
      {"LengthWithBlankInside", post_with({"Content-Length: 1 0"}), length_malformed},
      {"LengthWithTextBehind", post_with({"Content-Length: 5 bytes"}), length_malformed},
      {"LengthQuoted", post_with({"Content-Length: \"5\""}), length_malformed},
      {"LengthWithSemicolon", post_with({"Content-Length: 5;"}), length_malformed},
      {"LengthInFullWidthDigits", post_with({"Content-Length: \xEF\xBC\x95"}), length_malformed},
      {"LengthOver63Bits", post_with({"Content-Length: 9223372036854775808"}), length_malformed},
      {"LengthOver64Bits", post_with({"Content-Length: 18446744073709551621"}), length_malformed},
      {"LengthOf20Zeros", post_with({"Content-Length: 00000000000000000005"}), length_malformed},
      {"LengthWithNul", post_with({"Content-Length: 5\0"s}), malformed},
      {"SpaceBeforeLengthColon", post_with({"Content-Length : 5"}), malformed},
      {"LengthWithUnderscoreInName", post_with({"Content_Length: 5"}), malformed},
      {"LengthFolded", post_with({"Content-Length: 1", " 0"}), malformed},
      {"LengthInGetIsStrictToo", get_with({"Content-Length: x"}), length_malformed},
      {"LengthInHttp10IsStrictToo", "POST / HTTP/1.0\r\nContent-Length: 5, 5\r\n\r\n", length_malformed},
  };
}

std::vector<AmbiguousRequest> fields() {
  return {
      {"FoldedLine", get_with({"X-A: b", " c"}), malformed},
      {"FoldedFirstLine", "GET / HTTP/1.1\r\n X: y\r\nHost: a.example\r\n\r\n", malformed},
      {"FoldedEmptyLine", get_with({"X-A: b", " "}), malformed},
      {"LineWithoutColon", get_with({"X-A b"}), malformed},
      {"NameAlone", get_with({"X-A"}), malformed},
      {"ColonAlone", get_with({":"}), malformed},
      {"EmptyName", get_with({": value"}), malformed},
      {"PseudoHeader", get_with({":path: /x"}), malformed},
      {"NameWithSpaceInside", get_with({"X A: b"}), malformed},
      {"NameWithUtf8", get_with({"X-\xC3\xA4: b"}), malformed},
      {"NameWithControl", get_with({"X-\x01: b"}), malformed},
      {"NameWithDelete", get_with({"X-\x7F: b"}), malformed},
      {"NameWithParenthesis", get_with({"X(A): b"}), malformed},
      {"NameWithComma", get_with({"X,A: b"}), malformed},
      {"NameWithQuote", get_with({"\"X\": b"}), malformed},
      {"NameWithSlash", get_with({"X/A: b"}), malformed},
      {"NameWithEquals", get_with({"X=A: b"}), malformed},
      {"NameWithAt", get_with({"X@A: b"}), malformed},
      {"NameWithBraces", get_with({"{X}: b"}), malformed},
      {"NameWithBackslash", get_with({"X\\A: b"}), malformed},
      {"NameWithUnderscore", get_with({"X_Forwarded_For: 127.0.0.1"}), malformed},
      {"ValueWithNul", get_with({"X-A: a\0b"s}), malformed},
      {"ValueWithBareCr", get_with({"X-A: a\rb"}), malformed},
      {"ValueWithBareLf", get_with({"X-A: a\nb"}), malformed},
      {"ValueWithBareLfAndField", get_with({"X-A: a\nX-B: b"}), malformed},
      {"ValueWithCrCr", get_with({"X-A: a\r"}), malformed},
      {"ValueWithEscape", get_with({"X-A: \x1B[2J"}), malformed},
      {"ValueWithBackspace", get_with({"X-A: a\bb"}), malformed},
      {"ValueWithDelete", get_with({"X-A: a\x7F"}), malformed},
      {"EndOfHeadWithBareLf", "GET / HTTP/1.1\r\nHost: a.example\r\n\n", malformed},
      {"EndOfHeadWithBareCr", "GET / HTTP/1.1\r\nHost: a.example\r\n\rX", malformed},
      {"LastLineWithBareLf", "GET / HTTP/1.1\r\nHost: a.example\n\r\n", malformed},
      {"TwoContentTypes", post_with({"Content-Type: text/plain", "Content-Type: application/json"}), duplicate_field},
      {"TwoEqualContentTypes", post_with({"Content-Type: text/plain", "content-type: text/plain"}), duplicate_field},
      {"TwoContentEncodings", post_with({"Content-Encoding: gzip", "Content-Encoding: identity"}), duplicate_field},
      {"ConnectionNamesHost", get_with({"Connection: close, Host"}), connection_names_framing},
      {"ConnectionNamesLength", post_with({"Content-Length: 5", "Connection: Content-Length"}),
       connection_names_framing},
      {"ConnectionNamesCoding", post_with({"Transfer-Encoding: chunked", "Connection: transfer-encoding"}),
       connection_names_framing},
      {"ConnectionNamesContentType", get_with({"Connection: content-type"}), connection_names_framing},
      {"ConnectionNamesCookie", get_with({"Connection: close, cookie"}), connection_names_framing},
      {"ConnectionNamesAuthorization", get_with({"Connection: Authorization"}), connection_names_framing},
      {"ConnectionNamesForwardedFor", get_with({"Connection: close, X-Forwarded-For"}), connection_names_framing},
      {"ConnectionNamesRequestId", get_with({"Connection: x-request-id"}), connection_names_framing},
      {"ConnectionNamesHostInASecondField", get_with({"Connection: close", "Connection: host"}),
       connection_names_framing},
      {"ConnectionWithSlash", get_with({"Connection: close/x"}), connection_malformed},
      {"ConnectionWithSemicolon", get_with({"Connection: keep-alive; timeout=5"}), connection_malformed},
      {"ConnectionWithBlankInside", get_with({"Connection: close host"}), connection_malformed},
      {"ConnectionQuoted", get_with({"Connection: \"close\""}), connection_malformed},
      {"ProxyConnectionWithColon", get_with({"Proxy-Connection: Connection: close"}), connection_malformed},
      {"UpgradeWithBlankInside", get_with({"Connection: upgrade", "Upgrade: web socket"}), connection_malformed},
      {"UpgradeWithTwoSlashes", get_with({"Connection: upgrade", "Upgrade: a/b/c"}), connection_malformed},
      {"UpgradeWithBody", post_with({"Connection: upgrade", "Upgrade: websocket", "Content-Length: 5"}),
       upgrade_with_body},
      {"UpgradeWithChunkedBody",
       post_with({"Connection: Upgrade", "Upgrade: h2c, WebSocket", "Transfer-Encoding: chunked"}), upgrade_with_body},
      {"ExpectSomethingElse", post_with({"Content-Length: 5", "Expect: 200-ok"}), expectation_unknown},
      {"ExpectEmpty", post_with({"Content-Length: 5", "Expect:"}), expectation_unknown},
      {"ExpectList", post_with({"Content-Length: 5", "Expect: 100-continue, x"}), expectation_unknown},
      {"ExpectTwice", post_with({"Content-Length: 5", "Expect: 100-continue", "Expect: 100-continue"}),
       expectation_unknown},
      {"ExpectWithParameter", post_with({"Content-Length: 5", "Expect: 100-continue;a=b"}), expectation_unknown},
  };
}

INSTANTIATE_TEST_SUITE_P(RequestLines, AmbiguousRequestTest, testing::ValuesIn(request_lines()),
                         row_name<AmbiguousRequest>);
INSTANTIATE_TEST_SUITE_P(Targets, AmbiguousRequestTest, testing::ValuesIn(targets()), row_name<AmbiguousRequest>);
INSTANTIATE_TEST_SUITE_P(Hosts, AmbiguousRequestTest, testing::ValuesIn(hosts()), row_name<AmbiguousRequest>);
INSTANTIATE_TEST_SUITE_P(Framing, AmbiguousRequestTest, testing::ValuesIn(framing()), row_name<AmbiguousRequest>);
INSTANTIATE_TEST_SUITE_P(Fields, AmbiguousRequestTest, testing::ValuesIn(fields()), row_name<AmbiguousRequest>);

}  // namespace
}  // namespace gatehouse::http
