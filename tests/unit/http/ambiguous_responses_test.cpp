// Responses of upstreams that two clients could read differently: every one must be refused (502), with the reason that
// is named here.
#include "judge.hpp"

namespace gatehouse::http {
namespace {

using namespace std::string_literals;
using enum ParseStatus;
using enum Refusal;

struct AmbiguousResponse {
  const char* name;
  std::string bytes;
  Outcome reason;
  Method method = Method::get;
};
void PrintTo(const AmbiguousResponse& row, std::ostream* out) { *out << testing::PrintToString(row.bytes); }

class AmbiguousResponseTest : public testing::TestWithParam<AmbiguousResponse> {};

TEST_P(AmbiguousResponseTest, IsRefused) {
  ResponseHead head;
  const Judgement judgement = judge_response(GetParam().bytes, GetParam().method, head);
  EXPECT_EQ(judgement.outcome, GetParam().reason) << (judgement.why != nullptr ? judgement.why : "accepted");
  EXPECT_NE(judgement.why, nullptr);
}

std::vector<AmbiguousResponse> status_lines() {
  const auto line = [](std::string_view first) { return std::string(first) + "\r\nContent-Length: 0\r\n\r\n"; };
  return {
      {"EmptyLineFirst", line("\r\nHTTP/1.1 200 OK"), malformed},
      {"BodyWithoutHead", "<html>hello</html>", malformed},
      {"RequestLine", line("GET / HTTP/1.1"), malformed},
      {"LowerCaseVersion", line("http/1.1 200 OK"), malformed},
      {"Version09", line("HTTP/0.9 200 OK"), malformed},
      {"Version2", line("HTTP/2 200 OK"), malformed},
      {"Version20", line("HTTP/2.0 200 OK"), version_unsupported},
      {"Version12", line("HTTP/1.2 200 OK"), version_unsupported},
      {"VersionOfTwoDigits", line("HTTP/1.10 200 OK"), malformed},
      {"Shoutcast", line("ICY 200 OK"), malformed},
      {"NoStatus", line("HTTP/1.1"), malformed},
      {"NoStatusButReason", line("HTTP/1.1 OK"), malformed},
      {"TwoSpacesBeforeStatus", line("HTTP/1.1  200 OK"), malformed},
      {"TabBeforeStatus", line("HTTP/1.1\t200 OK"), malformed},
      {"TabAfterStatus", line("HTTP/1.1 200\tOK"), malformed},
      {"StatusOfTwoDigits", line("HTTP/1.1 20 OK"), malformed},
      {"StatusOfFourDigits", line("HTTP/1.1 2000 OK"), malformed},
      {"StatusWithFraction", line("HTTP/1.1 403.1 Forbidden"), malformed},
      {"StatusHexadecimal", line("HTTP/1.1 2a0 OK"), malformed},
      {"StatusNegative", line("HTTP/1.1 -20 OK"), malformed},
      {"StatusZero", line("HTTP/1.1 000 OK"), malformed},
      {"Status099", line("HTTP/1.1 099 OK"), malformed},
      {"Status600", line("HTTP/1.1 600 OK"), malformed},
      {"Status999", line("HTTP/1.1 999 Request denied"), malformed},
      {"ReasonWithNul", line("HTTP/1.1 200 O\0K"s), malformed},
      {"ReasonWithBareCr", line("HTTP/1.1 200 O\rK"), malformed},
      {"ReasonWithEscape", line("HTTP/1.1 200 \x1B[0m"), malformed},
      {"BareLf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", malformed},
      {"BareLfAfterStatusLine", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", malformed},
      {"BareLfWithoutReason", "HTTP/1.1 200\nContent-Length: 0\r\n\r\n", malformed},
  };
}

std::vector<AmbiguousResponse> fields() {
  return {
      {"FoldedLine", ok_with({"X-A: b", " c"}), malformed},
      {"SpaceBeforeColon", ok_with({"Content-Length : 5"}), malformed},
      {"SpaceBeforeCodingColon", ok_with({"Transfer-Encoding : chunked"}), malformed},
      {"EmptyName", ok_with({": x"}), malformed},
      {"LineWithoutColon", ok_with({"hello"}), malformed},
      {"NameWithUnderscore", ok_with({"Content_Length: 5"}), malformed},
      {"NameWithUtf8", ok_with({"X-\xC3\xA4: b"}), malformed},
      {"ValueWithNul", ok_with({"X-A: a\0b"s}), malformed},
      {"ValueWithBareCr", ok_with({"X-A: a\rSet-Cookie: x=y"}), malformed},
      {"ValueWithBareLf", ok_with({"X-A: a\nSet-Cookie: x=y"}), malformed},
      {"LengthAndChunked", ok_with({"Content-Length: 5", "Transfer-Encoding: chunked"}), length_and_chunked},
      {"ChunkedAndLength", ok_with({"Transfer-Encoding: chunked", "Content-Length: 5"}), length_and_chunked},
      {"IdentityAndLength", ok_with({"Transfer-Encoding: identity", "Content-Length: 5"}), length_and_chunked},
      {"Identity", ok_with({"Transfer-Encoding: identity"}), coding_unknown},
      {"Gzip", ok_with({"Transfer-Encoding: gzip"}), coding_unknown},
      {"GzipChunked", ok_with({"Transfer-Encoding: gzip, chunked"}), coding_unknown},
      {"ChunkedIdentity", ok_with({"Transfer-Encoding: chunked, identity"}), coding_unknown},
      {"XChunked", ok_with({"Transfer-Encoding: xchunked"}), coding_unknown},
      {"EmptyCoding", ok_with({"Transfer-Encoding:"}), coding_unknown},
      {"ChunkedTwice", ok_with({"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"}), coding_unknown},
      {"ChunkedTwiceInOne", ok_with({"Transfer-Encoding: chunked, chunked"}), coding_unknown},
      {"ChunkedInHttp10", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", coding_in_http10},
      {"TwoLengths", ok_with({"Content-Length: 5", "Content-Length: 6"}), duplicate_field},
      {"TwoEqualLengths", ok_with({"Content-Length: 5", "Content-Length: 5"}), duplicate_field},
      {"LengthList", ok_with({"Content-Length: 5, 5"}), length_malformed},
      {"LengthEmpty", ok_with({"Content-Length:"}), length_malformed},
      {"LengthNegative", ok_with({"Content-Length: -1"}), length_malformed},
      {"LengthWithPlus", ok_with({"Content-Length: +5"}), length_malformed},
      {"LengthHexadecimal", ok_with({"Content-Length: 0x5"}), length_malformed},
      {"LengthOver63Bits", ok_with({"Content-Length: 9223372036854775808"}), length_malformed},
      {"LengthMalformedThoughHead", ok_with({"Content-Length: x"}), length_malformed, Method::head},
      {"LengthAndChunkedThoughHead", ok_with({"Content-Length: 5", "Transfer-Encoding: chunked"}), length_and_chunked,
       Method::head},
      {"LengthTwiceThough304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n",
       duplicate_field},
      {"BodyWith204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", length_malformed},
      {"ChunkedWith204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", coding_unknown},
      {"BodyWith100", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", length_malformed},
      {"ChunkedWith103", "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n", coding_unknown},
      {"BodyWith101", "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n", length_malformed},
      {"ConnectionNamesLength", ok_with({"Content-Length: 5", "Connection: content-length"}), connection_names_framing},
      {"ConnectionNamesCoding", ok_with({"Transfer-Encoding: chunked", "Connection: Transfer-Encoding"}),
       connection_names_framing},
      {"ConnectionWithBlankInside", ok_with({"Content-Length: 5", "Connection: close now"}), connection_malformed},
      {"UpgradeMalformed", ok_with({"Content-Length: 5", "Upgrade: a b"}), connection_malformed},
      {"EndOfHeadWithBareLf", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", malformed},
      {"EndOfHeadWithCrCrLf", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\r\n", malformed},
  };
}

INSTANTIATE_TEST_SUITE_P(StatusLines, AmbiguousResponseTest, testing::ValuesIn(status_lines()),
                         row_name<AmbiguousResponse>);
INSTANTIATE_TEST_SUITE_P(Fields, AmbiguousResponseTest, testing::ValuesIn(fields()), row_name<AmbiguousResponse>);

}  // namespace
}  // namespace gatehouse::http
