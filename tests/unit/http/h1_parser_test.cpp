// The head parsers beyond the tables of messages: what they yield, limits, and heads that come in pieces.
#include "gateway/http/h1_parser.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "judge.hpp"

namespace gatehouse::http {
namespace {

using enum ParseStatus;

ParseResult parse(std::string_view bytes, RequestHead& head, const HeadLimits& limits = {}) {
  std::size_t scanned = 0;
  return parse_request_head(bytes, limits, scanned, head);
}

bool lies_in(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

TEST(ParseRequestHead, TakesTheHeadApart) {
  const std::string bytes = "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Empty:\r\nCookie:  a=b \t\r\n\r\nbody";
  RequestHead head;
  const ParseResult result = parse(bytes, head);
  ASSERT_EQ(result.status, complete);
  EXPECT_EQ(result.head_bytes, bytes.size() - 4);
  EXPECT_EQ(head.method, Method::post);
  EXPECT_EQ(head.method_name, "POST");
  EXPECT_EQ(head.target, "/a?b=c");
  EXPECT_EQ(head.minor_version, 1);
  ASSERT_EQ(head.fields.size(), 3U);
  EXPECT_EQ(head.fields.all()[0].name, "Host");
  EXPECT_EQ(head.fields.all()[0].value, "a.example");
  EXPECT_EQ(head.fields.all()[0].id, FieldId::host);
  EXPECT_EQ(head.fields.all()[1].name, "X-Empty");
  EXPECT_EQ(head.fields.all()[1].value, "");
  EXPECT_EQ(head.fields.all()[2].value, "a=b");
  for (const Field& field : head.fields.all()) {
    EXPECT_TRUE(lies_in(field.name, bytes));
    EXPECT_TRUE(lies_in(field.value, bytes));
  }
}

TEST(ParseRequestHead, CountsTheEmptyLineBefore) {
  RequestHead head;
  const std::string bytes = "\r\n" + get_with({});
  EXPECT_EQ(parse(bytes, head).head_bytes, bytes.size());
}

TEST(ParseRequestHead, StopsAtTheEndOfTheFirstOfTwo) {
  RequestHead head;
  const std::string first = get_with({"X-A: b"});
  const std::string both = first + get_with({"X-C: d"});
  EXPECT_EQ(parse(both, head).head_bytes, first.size());
  EXPECT_EQ(head.fields.size(), 2U);
}

TEST(ParseRequestHead, ReusesTheHead) {
  RequestHead head;
  ASSERT_EQ(parse(post_with({"Content-Length: 5", "X-A: b"}), head).status, complete);
  ASSERT_EQ(parse("GET /x HTTP/1.0\r\nVia: y\r\n\r\n", head).status, complete);
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.minor_version, 0);
  EXPECT_EQ(head.fields.size(), 1U);
  EXPECT_FALSE(head.fields.has(FieldId::content_length));
}

TEST(ParseRequestHead, NeedsMoreForNothing) {
  RequestHead head;
  EXPECT_EQ(parse("", head).status, need_more);
}

// Whatever the length modulo the width of a vector register: each byte value at each place of a value.
TEST(ParseRequestHead, JudgesEveryByteAtEveryPlaceOfAValue) {
  RequestHead head;
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        std::string value(size, 'x');
        value[at] = static_cast<char>(byte);
        const bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7F);
        ASSERT_EQ(parse("GET / HTTP/1.1\r\na:" + value + "\r\n\r\n", head).status, allowed ? complete : malformed)
            << size << ' ' << at << ' ' << byte;
      }
    }
  }
}

TEST(ParseRequestHead, JudgesEveryByteAtEveryPlaceOfATarget) {
  RequestHead head;
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        std::string target(size, 'x');
        target[at] = static_cast<char>(byte);
        const bool allowed = byte >= 0x21 && byte <= 0x7E && byte != '#';
        ASSERT_EQ(parse("GET " + target + " HTTP/1.1\r\n\r\n", head).status, allowed ? complete : malformed)
            << size << ' ' << at << ' ' << byte;
      }
    }
  }
}

TEST(ParseRequestHead, JudgesEveryByteAtEveryPlaceOfANameAndAMethod) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  HeadLimits underscores;
  underscores.underscores_allowed = true;
  RequestHead head;
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        const char character = static_cast<char>(byte);
        std::string name(size, 'x');
        name[at] = character;
        const bool token = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') ||
                           (byte != 0 && marks.find(character) != std::string_view::npos);
        const bool allowed = token || (character == ':' && at > 0);  // then a shorter name
        const std::string message = "GET / HTTP/1.1\r\n" + name + ":v\r\n\r\n";
        ASSERT_EQ(parse(message, head, underscores).status, allowed ? complete : malformed) << byte;
        ASSERT_EQ(parse(message, head).status, allowed && character != '_' ? complete : malformed) << byte;
        ASSERT_EQ(parse(name + " / HTTP/1.1\r\n\r\n", head).status == complete, token) << byte;
      }
    }
  }
}

TEST(ParseRequestHead, AllowsUnderscoresWhenToldTo) {
  HeadLimits limits;
  limits.underscores_allowed = true;
  RequestHead head;
  ASSERT_EQ(parse(get_with({"X_Forwarded_For: 127.0.0.1"}), head, limits).status, complete);
  EXPECT_EQ(head.fields.all()[1].id, FieldId::other);
}

TEST(ParseRequestHead, BoundsTheTarget) {
  HeadLimits limits;
  limits.target_bytes = 100;
  RequestHead head;
  EXPECT_EQ(parse(get_target("/" + std::string(99, 'a')), head, limits).status, complete);
  EXPECT_EQ(parse(get_target("/" + std::string(100, 'a')), head, limits).status, target_too_long);
  // at the first byte too many, without waiting for the line's end
  EXPECT_EQ(parse("GET /" + std::string(99, 'a'), head, limits).status, need_more);
  EXPECT_EQ(parse("GET /" + std::string(100, 'a'), head, limits).status, target_too_long);
  // a wrong byte within the bound decides first
  EXPECT_EQ(parse("GET /#" + std::string(1000, 'a'), head, limits).status, malformed);
}

TEST(ParseRequestHead, BoundsTheHead) {
  HeadLimits limits;
  const std::string bytes = get_with({"X-A: " + std::string(200, 'b')});
  RequestHead head;
  limits.header_bytes = bytes.size();
  EXPECT_EQ(parse(bytes, head, limits).status, complete);
  EXPECT_EQ(parse(bytes + "body", head, limits).status, complete);
  EXPECT_EQ(parse(bytes.substr(0, bytes.size() - 1), head, limits).status, need_more);
  limits.header_bytes = bytes.size() - 1;
  EXPECT_EQ(parse(bytes, head, limits).status, head_too_large);
  EXPECT_EQ(parse(bytes.substr(0, bytes.size() - 1), head, limits).status, head_too_large);
  EXPECT_EQ(parse(bytes.substr(0, bytes.size() - 2), head, limits).status, need_more);
}

TEST(ParseRequestHead, BoundsTheFields) {
  HeadLimits limits;
  limits.header_count = 3;
  RequestHead head;
  EXPECT_EQ(parse(get_with({"a: b", "c: d"}), head, limits).status, complete);
  EXPECT_EQ(parse(get_with({"a: b", "c: d", "e: f"}), head, limits).status, head_too_large);
}

TEST(ParseRequestHead, TakesAsManyFieldsAsAllowed) {
  std::vector<std::string> lines(99, "x: y");
  RequestHead head;
  EXPECT_EQ(parse(get_with(lines), head).status, complete);
  EXPECT_EQ(head.fields.size(), 100U);
  lines.emplace_back("x: y");
  EXPECT_EQ(parse(get_with(lines), head).status, head_too_large);
}

TEST(ParseRequestHead, ResetsScannedAfterAHead) {
  const std::string bytes = get_with({});
  RequestHead head;
  std::size_t scanned = 0;
  EXPECT_EQ(parse_request_head(bytes.substr(0, 10), {}, scanned, head).status, need_more);
  EXPECT_EQ(scanned, 10U);
  EXPECT_EQ(parse_request_head(bytes, {}, scanned, head).status, complete);
  EXPECT_EQ(scanned, 0U);
  EXPECT_EQ(parse_request_head(bytes, {}, scanned, head).status, complete);
}

TEST(ParseRequestHead, AcceptsAHeadInAnyTwoPieces) {
  const std::string bytes = get_with({"X-A: b", "Cookie: a=b"});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    RequestHead head;
    std::size_t scanned = 0;
    ASSERT_EQ(parse_request_head(std::string_view(bytes).substr(0, cut), {}, scanned, head).status, need_more) << cut;
    ASSERT_EQ(parse_request_head(bytes, {}, scanned, head).status, complete) << cut;
    ASSERT_EQ(head.fields.size(), 3U);
  }
}

// A refusal does not wait for the end of a head that never comes.
TEST(ParseRequestHead, RefusesEarlyInPieces) {
  const std::string bytes = "GET /#" + std::string(100, 'a');
  RequestHead head;
  std::size_t scanned = 0;
  ParseResult result;
  std::size_t size = 0;
  while (result.status == need_more && ++size <= bytes.size()) {
    result = parse_request_head(std::string_view(bytes).substr(0, size), {}, scanned, head);
  }
  EXPECT_EQ(result.status, malformed);
  EXPECT_LE(size, 8U);
}

TEST(ParseRequestHead, RefusesABareLfAsSoonAsItComes) {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a.example\n";
  RequestHead head;
  std::size_t scanned = 0;
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    ASSERT_EQ(parse_request_head(std::string_view(bytes).substr(0, size), {}, scanned, head).status, need_more);
  }
  EXPECT_EQ(parse_request_head(bytes, {}, scanned, head).status, malformed);
}

// The largest head byte by byte: 60 KiB would be 1.8 GB of work if each call began anew.
TEST(ParseRequestHead, TakesLinearTimeByteByByte) {
  std::vector<std::string> lines;
  for (int i = 0; i < 58; ++i) lines.push_back("X-A: " + std::string(1000, 'b'));
  const std::string bytes = get_with(lines);
  ASSERT_GT(bytes.size(), 58'000U);
  RequestHead head;
  std::size_t scanned = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    ASSERT_EQ(parse_request_head({bytes.data(), size}, {}, scanned, head).status, need_more);
  }
  EXPECT_EQ(parse_request_head(bytes, {}, scanned, head).status, complete);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ParseResponseHead, TakesTheHeadApart) {
  const std::string bytes = "HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nbody";
  ResponseHead head;
  std::size_t scanned = 0;
  const ParseResult result = parse_response_head(bytes, {}, scanned, head);
  ASSERT_EQ(result.status, complete);
  EXPECT_EQ(result.head_bytes, bytes.size() - 4);
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.minor_version, 0);
  EXPECT_EQ(head.reason, "Not Found");
  EXPECT_EQ(head.fields.find(FieldId::server)->value, "x");
}

TEST(ParseResponseHead, LeavesTheReasonEmptyIfThereIsNone) {
  ResponseHead head;
  head.reason = "left over";
  std::size_t scanned = 0;
  ASSERT_EQ(parse_response_head("HTTP/1.1 200\r\n\r\n", {}, scanned, head).status, complete);
  EXPECT_EQ(head.reason, "");
}

TEST(ParseResponseHead, AcceptsAHeadInAnyTwoPieces) {
  const std::string bytes = ok_with({"Content-Length: 5", "Server: x"});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    ResponseHead head;
    std::size_t scanned = 0;
    ASSERT_EQ(parse_response_head(std::string_view(bytes).substr(0, cut), {}, scanned, head).status, need_more) << cut;
    ASSERT_EQ(parse_response_head(bytes, {}, scanned, head).status, complete) << cut;
  }
}

TEST(ParseResponseHead, BoundsTheHead) {
  HeadLimits limits;
  const std::string bytes = ok_with({"X-A: " + std::string(200, 'b')});
  ResponseHead head;
  std::size_t scanned = 0;
  limits.header_bytes = bytes.size();
  EXPECT_EQ(parse_response_head(bytes, limits, scanned, head).status, complete);
  limits.header_bytes = bytes.size() - 1;
  EXPECT_EQ(parse_response_head(bytes, limits, scanned, head).status, head_too_large);
}

}  // namespace
}  // namespace gatehouse::http
