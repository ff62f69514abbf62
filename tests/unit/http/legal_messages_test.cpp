// Messages that are unusual but mean one thing to everybody: they must pass, and mean just that.
#include "judge.hpp"

namespace gatehouse::http {
namespace {

using namespace std::string_literals;
using enum ParseStatus;

struct LegalRequest {
  const char* name;
  std::string bytes;
  BodyFraming framing = {};
  std::string host = "a.example";
  std::string path = "/";
};
void PrintTo(const LegalRequest& row, std::ostream* out) { *out << testing::PrintToString(row.bytes); }

class LegalRequestTest : public testing::TestWithParam<LegalRequest> {};

TEST_P(LegalRequestTest, Passes) {
  RequestHead head;
  const Judgement judgement = judge_request(GetParam().bytes, head);
  ASSERT_EQ(judgement.outcome, Outcome(complete)) << judgement.why;
  EXPECT_EQ(judgement.framing, GetParam().framing);
  EXPECT_EQ(judgement.target.host, GetParam().host);
  EXPECT_EQ(judgement.target.path, GetParam().path);

  // Byte by byte: not before its last byte, and then too.
  const std::string_view bytes = GetParam().bytes;
  std::size_t scanned = 0;
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    ASSERT_EQ(parse_request_head(bytes.substr(0, size), {}, scanned, head).status, need_more) << size;
  }
  const ParseResult result = parse_request_head(bytes, {}, scanned, head);
  EXPECT_EQ(result.status, complete);
  EXPECT_EQ(result.head_bytes, bytes.size());
}

constexpr BodyFraming chunked{BodyKind::chunked};
constexpr BodyFraming length(std::uint64_t bytes) { return {BodyKind::length, bytes}; }

std::vector<LegalRequest> request_lines() {
  const auto line = [](std::string_view first) { return std::string(first) + "\r\nHost: a.example\r\n\r\n"; };
  return {
      {"Plain", get_with({})},
      {"OneEmptyLineFirst", "\r\n" + get_with({})},
      {"Http10", line("GET / HTTP/1.0")},
      {"Http10WithoutHost", "GET / HTTP/1.0\r\n\r\n", {}, ""},
      {"LowerCaseMethodIsAnotherMethod", line("get / HTTP/1.1")},
      {"MethodOfWebDav", line("PROPFIND / HTTP/1.1")},
      {"MethodWithHyphen", line("M-SEARCH / HTTP/1.1")},
      {"MethodOfOddTokenCharacters", line("!#$%&'*+-.^_`|~0 / HTTP/1.1")},
      {"Trace", line("TRACE / HTTP/1.1")},
      {"OptionsAsterisk", line("OPTIONS * HTTP/1.1"), {}, "a.example", "*"},
      {"OptionsWithPath", line("OPTIONS /x HTTP/1.1"), {}, "a.example", "/x"},
      {"AbsoluteForm", get_target("http://a.example/x?y"), {}, "a.example", "/x"},
      {"AbsoluteFormHttps", get_target("https://a.example/x"), {}, "a.example", "/x"},
      {"AbsoluteFormInUpperCase", get_target("HTTP://A.EXAMPLE/x"), {}, "a.example", "/x"},
      {"AbsoluteFormWithoutPath", get_target("http://a.example")},
      {"AbsoluteFormWithDefaultPort", get_target("http://a.example:80/x"), {}, "a.example", "/x"},
      {"AbsoluteFormWithDefaultPortOfHttps", get_target("https://a.example:443/x"), {}, "a.example", "/x"},
      {"AbsoluteFormWithTrailingDot", get_target("http://a.example./x"), {}, "a.example", "/x"},
      {"AbsoluteFormInHttp10WithoutHost", "GET http://b.example:8080/x HTTP/1.0\r\n\r\n", {}, "b.example", "/x"},
      {"AbsoluteFormWithIpv6",
       "GET http://[2001:DB8::1]:8080/ HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
       {},
       "[2001:db8::1]"},
      {"AbsoluteOptionsWithoutPathMeansAsterisk", line("OPTIONS http://a.example HTTP/1.1"), {}, "a.example", "*"},
  };
}

std::vector<LegalRequest> targets() {
  const std::string host = "a.example";
  return {
      {"EveryAcceptedByteOfPath",
       get_target("/!\"$&'()*+,-./0:;<=>@AZ[\\]^_`az{|}~"),
       {},
       host,
       "/!\"$&'()*+,-./0:;<=>@AZ[\\]^_`az{|}~"},
      {"AbsoluteWithEmptyPort", get_target("http://a.example:/b"), {}, host, "/b"},
      {"AbsoluteWithQueryAndNoPath", get_target("http://a.example?x=1"), {}, host, "/"},
      {"HostWithEmptyPort", get_host("a.example:"), {}, host, "/"},
      {"Ipv6WithEmptyPort", get_host("[2001:db8::1]:"), {}, "[2001:db8::1]", "/"},
      {"QueryIsLeftAlone", get_target("/?a=%zz&b=../..&c=%00//"), {}, host, "/"},
      {"SeveralQuestionMarks", get_target("/a?b?c"), {}, host, "/a"},
      {"EmptyQuery", get_target("/a?"), {}, host, "/a"},
      {"DotSegments", get_target("/a/./b/../c"), {}, host, "/a/c"},
      {"DotSegmentsEncoded", get_target("/a/%2e/b/%2E%2e/c"), {}, host, "/a/c"},
      {"DoubleSlashes", get_target("//a///b"), {}, host, "/a/b"},
      {"ThreeDotsAreAName", get_target("/.../a"), {}, host, "/.../a"},
      {"DotsInNames", get_target("/a..b/..c/d..e/.f"), {}, host, "/a..b/..c/d..e/.f"},
      {"EncodedSlashStays", get_target("/a%2fb"), {}, host, "/a%2Fb"},
      {"EncodedBackslashStays", get_target("/a%5cb"), {}, host, "/a%5Cb"},
      {"EncodedPercentStays", get_target("/a%252e%252e/b"), {}, host, "/a%252e%252e/b"},
      {"EncodedUnreservedIsDecoded", get_target("/%7euser/%41%2D"), {}, host, "/~user/A-"},
      {"EncodedUtf8Stays", get_target("/caf%c3%a9"), {}, host, "/caf%C3%A9"},
      {"EncodedQuestionMarkStays", get_target("/a%3fb"), {}, host, "/a%3Fb"},
      {"EncodedLineEndStays", get_target("/a%0d%0ab"), {}, host, "/a%0D%0Ab"},
      {"BackslashIsNoSeparator", get_target("/a\\..\\b"), {}, host, "/a\\..\\b"},
      {"PathParameterIsPartOfTheSegment", get_target("/a/b..;x/c"), {}, host, "/a/b..;x/c"},
      {"ColonInFirstSegment", get_target("/http://b.example/"), {}, host, "/http:/b.example/"},
      {"AtInFirstSegment", get_target("/@b.example"), {}, host, "/@b.example"},
  };
}

std::vector<LegalRequest> hosts() {
  const auto to = [](std::string_view name, std::string_view expected) {
    return LegalRequest{"", get_host(name), {}, std::string(expected)};
  };
  const std::string longest =
      std::string(63, 'a') + '.' + std::string(63, 'b') + '.' + std::string(63, 'c') + '.' + std::string(61, 'd');
  std::vector<LegalRequest> rows = {to("A.Example", "a.example"),
                                    to("a.example.", "a.example"),
                                    to("a.example:8080", "a.example"),
                                    to("a.example.:8080", "a.example"),
                                    to("a.example:0", "a.example"),
                                    to("a.example:65535", "a.example"),
                                    to("a.example:00080", "a.example"),
                                    to("localhost", "localhost"),
                                    to("my_service.internal", "my_service.internal"),
                                    to("xn--bcher-kva.example", "xn--bcher-kva.example"),
                                    to("192.0.2.1", "192.0.2.1"),
                                    to("192.0.2.1:80", "192.0.2.1"),
                                    to("[2001:DB8::1]", "[2001:db8::1]"),
                                    to("[::]:80", "[::]"),
                                    to("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
                                    to(longest, longest),
                                    to(longest + ".", longest),
                                    to("\t a.example \t", "a.example")};
  static const char* const names[] = {"UpperCase",
                                      "TrailingDot",
                                      "Port",
                                      "TrailingDotAndPort",
                                      "PortZero",
                                      "LargestPort",
                                      "PortWithLeadingZeros",
                                      "OneLabel",
                                      "Underscore",
                                      "ALabel",
                                      "Ipv4",
                                      "Ipv4AndPort",
                                      "Ipv6",
                                      "Ipv6AndPort",
                                      "Ipv6Mapped",
                                      "Longest",
                                      "LongestWithTrailingDot",
                                      "BlanksAround"};
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].name = names[i];
  return rows;
}

std::vector<LegalRequest> fields() {
  return {
      {"LengthZero", post_with({"Content-Length: 0"}), length(0)},
      {"LengthInUpperCase", post_with({"CONTENT-LENGTH: 12"}), length(12)},
      {"LengthWithoutBlank", post_with({"Content-Length:12"}), length(12)},
      {"LengthWithBlanksAround", post_with({"Content-Length: \t 12 \t"}), length(12)},
      {"LengthWithLeadingZeros", post_with({"Content-Length: 0012"}), length(12)},
      {"LengthLargest", post_with({"Content-Length: 9223372036854775807"}), length(9223372036854775807U)},
      {"LengthInGet", get_with({"Content-Length: 3"}), length(3)},
      {"LengthInHttp10", "POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n", length(3)},
      {"Chunked", post_with({"Transfer-Encoding: chunked"}), chunked},
      {"ChunkedInMixedCase", post_with({"tRANSFER-eNCODING: ChUnKeD"}), chunked},
      {"ChunkedWithTabs", post_with({"Transfer-Encoding:\tchunked\t"}), chunked},
      {"ChunkedInGet", get_with({"Transfer-Encoding: chunked"}), chunked},
      {"ChunkedWithTrailerAnnounced", post_with({"TE: trailers", "Trailer: X-Sum", "Transfer-Encoding: chunked"}),
       chunked},
      {"EmptyValue", get_with({"X-A:"})},
      {"ValueOfBlanks", get_with({"X-A: \t \t "})},
      {"ValueWithTabInside", get_with({"X-A: a\tb"})},
      {"ValueWithObsText", get_with({"X-A: caf\xE9 caf\xC3\xA9"})},
      {"ValueWithColons", get_with({"X-A: :a:b:"})},
      {"ValueThatLooksLikeAField", get_with({"X-A: Transfer-Encoding: chunked"})},
      {"NameOfOddTokenCharacters", get_with({"!#$%&'*+-.^`|~0: x"})},
      {"NameOfOneLetter", get_with({"a: x"})},
      {"NameOfADigit", get_with({"0: x"})},
      {"SameFieldManyTimes", get_with({"Cookie: a=b", "Cookie: c=d", "X-A: b", "X-A: b"})},
      {"ConnectionCloseTwice", get_with({"Connection: close", "Connection: close"})},
      {"ConnectionListWithEmptyElements", get_with({"Connection: , close,, \t,keep-alive,"})},
      {"ConnectionEmpty", get_with({"Connection:"})},
      {"ConnectionNamesAnUnknownField", get_with({"Connection: X-Custom", "X-Custom: 1"})},
      {"ConnectionNamesHopByHopFields", get_with({"Connection: TE, Upgrade, HTTP2-Settings, Keep-Alive"})},
      {"UpgradeToH2cIsIgnored",
       get_with({"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"})},
      {"UpgradeToWebSocket",
       get_with({"Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"})},
      {"UpgradeList", get_with({"Connection: upgrade", "Upgrade: HTTP/3.0, websocket, IRC/6.9"})},
      {"UpgradeWithBodyOfNoBytes", get_with({"Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"}),
       length(0)},
      {"UpgradeWithBodyButNotInConnection", post_with({"Upgrade: websocket", "Content-Length: 5"}), length(5)},
      {"UpgradeToH2cWithBody", post_with({"Connection: upgrade", "Upgrade: h2c", "Content-Length: 5"}), length(5)},
      {"ExpectContinue", post_with({"Expect: 100-Continue", "Content-Length: 5"}), length(5)},
      {"ExpectInHttp10IsIgnored", "POST / HTTP/1.0\r\nHost: a.example\r\nExpect: x\r\nContent-Length: 5\r\n\r\n",
       length(5)},
      {"ProxyConnection", get_with({"Proxy-Connection: keep-alive"})},
      {"RangeWithCommas", get_with({"Range: bytes=0-1,5-9"})},
  };
}

INSTANTIATE_TEST_SUITE_P(RequestLines, LegalRequestTest, testing::ValuesIn(request_lines()), row_name<LegalRequest>);
INSTANTIATE_TEST_SUITE_P(Targets, LegalRequestTest, testing::ValuesIn(targets()), row_name<LegalRequest>);
INSTANTIATE_TEST_SUITE_P(Hosts, LegalRequestTest, testing::ValuesIn(hosts()), row_name<LegalRequest>);
INSTANTIATE_TEST_SUITE_P(Fields, LegalRequestTest, testing::ValuesIn(fields()), row_name<LegalRequest>);

struct LegalResponse {
  const char* name;
  std::string bytes;
  BodyFraming framing = {};
  Method method = Method::get;
};
void PrintTo(const LegalResponse& row, std::ostream* out) { *out << testing::PrintToString(row.bytes); }

class LegalResponseTest : public testing::TestWithParam<LegalResponse> {};

TEST_P(LegalResponseTest, Passes) {
  ResponseHead head;
  const Judgement judgement = judge_response(GetParam().bytes, GetParam().method, head);
  ASSERT_EQ(judgement.outcome, Outcome(complete)) << judgement.why;
  EXPECT_EQ(judgement.framing, GetParam().framing);
}

std::vector<LegalResponse> responses() {
  constexpr BodyFraming until_close{BodyKind::until_close};
  const auto line = [](std::string_view first) { return std::string(first) + "\r\nContent-Length: 3\r\n\r\n"; };
  return {
      {"Plain", line("HTTP/1.1 200 OK"), length(3)},
      {"Http10", line("HTTP/1.0 200 OK"), length(3)},
      {"EmptyReason", line("HTTP/1.1 200 "), length(3)},
      {"NoReasonNorSpace", line("HTTP/1.1 200"), length(3)},
      {"ReasonWithBlanks", line("HTTP/1.1 404 Not \t Found "), length(3)},
      {"ReasonInLatin1", line("HTTP/1.1 404 Non trouv\xE9"), length(3)},
      {"ReasonThatLooksLikeAStatus", line("HTTP/1.1 200 404 Not Found"), length(3)},
      {"UnknownStatus", line("HTTP/1.1 299 Sure"), length(3)},
      {"Status599", line("HTTP/1.1 599 Late"), length(3)},
      {"UntilClose", ok_with({}), until_close},
      {"UntilCloseInHttp10", "HTTP/1.0 200 OK\r\n\r\n", until_close},
      {"Chunked", ok_with({"Transfer-Encoding: Chunked"}), chunked},
      {"ChunkedAndClose", ok_with({"Connection: close", "Transfer-Encoding: chunked"}), chunked},
      {"LengthInHead", ok_with({"Content-Length: 1000"}), {}, Method::head},
      {"ChunkedInHead", ok_with({"Transfer-Encoding: chunked"}), {}, Method::head},
      {"NothingInHead", ok_with({}), {}, Method::head},
      {"NotModifiedWithLength", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
      {"NotModifiedWithChunked", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"NoContent", "HTTP/1.1 204 No Content\r\n\r\n"},
      {"NoContentWithLengthZero", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"},
      {"ResetContent", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", length(0)},
      {"Continue", "HTTP/1.1 100 Continue\r\n\r\n"},
      {"EarlyHints", "HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\n\r\n"},
      {"SwitchingProtocols", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
      {"ManyCookies", ok_with({"Content-Length: 3", "Set-Cookie: a=b", "Set-Cookie: c=d"}), length(3)},
      {"TwoContentTypes", ok_with({"Content-Length: 3", "Content-Type: text/plain", "Content-Type: text/html"}),
       length(3)},
      {"ConnectionNamesACookie", ok_with({"Content-Length: 3", "Connection: Set-Cookie"}), length(3)},
  };
}

INSTANTIATE_TEST_SUITE_P(Responses, LegalResponseTest, testing::ValuesIn(responses()), row_name<LegalResponse>);

}  // namespace
}  // namespace gatehouse::http
