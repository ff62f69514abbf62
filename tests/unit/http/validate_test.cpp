// What fields say about the connection; framing itself is in the tables of messages.
#include "gateway/http/validate.hpp"

#include <gtest/gtest.h>

#include "judge.hpp"

namespace gatehouse::http {
namespace {

/// A head with these fields. The strings must outlive it.
RequestHead head_with(const std::string& message) {
  RequestHead head;
  std::size_t scanned = 0;
  EXPECT_EQ(parse_request_head(message, {}, scanned, head).status, ParseStatus::complete);
  return head;
}

bool closes(const std::vector<std::string>& lines, int minor_version) {
  const std::string message = get_with(lines);
  return wants_close(head_with(message).fields, minor_version);
}

TEST(WantsClose, FollowsTheVersionWhenNothingIsSaid) {
  EXPECT_FALSE(closes({}, 1));
  EXPECT_TRUE(closes({}, 0));
}

TEST(WantsClose, FollowsConnection) {
  EXPECT_TRUE(closes({"Connection: close"}, 1));
  EXPECT_TRUE(closes({"Connection: CLOSE"}, 1));
  EXPECT_TRUE(closes({"Connection: x , close"}, 1));
  EXPECT_TRUE(closes({"Connection: x", "Connection: y", "Connection: close"}, 1));
  EXPECT_FALSE(closes({"Connection: keep-alive"}, 1));
  EXPECT_FALSE(closes({"Connection: closed, xclose, close-x"}, 1));
  EXPECT_FALSE(closes({"Connection: keep-alive"}, 0));
  EXPECT_FALSE(closes({"Connection: x, Keep-Alive"}, 0));
  EXPECT_TRUE(closes({"Connection: x"}, 0));
}

TEST(WantsClose, ClosesWhenBothAreSaid) {
  EXPECT_TRUE(closes({"Connection: keep-alive, close"}, 1));
  EXPECT_TRUE(closes({"Connection: keep-alive, close"}, 0));
  EXPECT_TRUE(closes({"Connection: keep-alive", "Connection: close"}, 0));
}

TEST(WantsClose, DoesNotBelieveProxyConnection) {
  EXPECT_FALSE(closes({"Proxy-Connection: close"}, 1));
  EXPECT_TRUE(closes({"Proxy-Connection: keep-alive"}, 0));
}

TEST(ListContains, ComparesWholeElements) {
  EXPECT_TRUE(list_contains("a", "a"));
  EXPECT_TRUE(list_contains("x,A,y", "a"));
  EXPECT_TRUE(list_contains(" x ,\ta\t", "a"));
  EXPECT_TRUE(list_contains(",,a", "a"));
  EXPECT_FALSE(list_contains("", "a"));
  EXPECT_FALSE(list_contains("aa", "a"));
  EXPECT_FALSE(list_contains("a b", "a"));
  EXPECT_FALSE(list_contains("x;a", "a"));
  EXPECT_FALSE(list_contains(",", ""));
}

TEST(IsHopByHop, KnowsTheFieldsOfThisHop) {
  const Fields none;
  for (const std::string_view name :
       {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade", "HTTP2-Settings"}) {
    EXPECT_TRUE(is_hop_by_hop({field_id(name), name, "x"}, none)) << name;
  }
  for (const std::string_view name :
       {"Host", "Content-Length", "Cookie", "Authorization", "X-Custom", "Via", "Expect"}) {
    EXPECT_FALSE(is_hop_by_hop({field_id(name), name, "x"}, none)) << name;
  }
}

TEST(IsHopByHop, FollowsConnection) {
  const std::string message =
      get_with({"Connection: keep-alive, X-One", "Connection: x-two,,", "X-One: 1", "x-TWO: 2", "X-Three: 3"});
  const RequestHead head = head_with(message);
  const auto ends = [&](std::string_view name) { return is_hop_by_hop(*head.fields.find(name), head.fields); };
  EXPECT_TRUE(ends("x-one"));
  EXPECT_TRUE(ends("x-two"));
  EXPECT_FALSE(ends("x-three"));
  EXPECT_FALSE(ends("host"));
}

TEST(IsTakenOut, TellsFieldsThatConnectionNamesFromThoseOfThisHop) {
  const std::string message = get_with({"Connection: X-One, upgrade", "X-One: 1", "X-Two: 2", "Upgrade: websocket"});
  const RequestHead head = head_with(message);
  const auto taken_out = [&](std::string_view name) { return is_taken_out(*head.fields.find(name), head.fields); };
  EXPECT_TRUE(taken_out("x-one"));
  EXPECT_FALSE(taken_out("x-two"));
  EXPECT_FALSE(taken_out("upgrade"));  // a route may be for WebSockets
  EXPECT_FALSE(taken_out("connection"));
}

TEST(IsHopByHop, IsNotMisledByKeepAlive) {
  const std::string message = get_with({"Connection: Keep-Alive", "X-One: 1"});
  const RequestHead head = head_with(message);
  EXPECT_FALSE(is_hop_by_hop(*head.fields.find("x-one"), head.fields));
  const std::string other = get_with({"Connection: ten-letter", "ten-letter: 1"});
  const RequestHead named = head_with(other);
  EXPECT_TRUE(is_hop_by_hop(*named.fields.find("ten-letter"), named.fields));
}

TEST(ExpectsContinue, InHttp11Alone) {
  const std::string message = post_with({"Expect: 100-continue", "Content-Length: 1"});
  RequestHead head = head_with(message);
  EXPECT_TRUE(expects_continue(head));
  head.minor_version = 0;
  EXPECT_FALSE(expects_continue(head));
  const std::string plain = post_with({"Content-Length: 1"});
  EXPECT_FALSE(expects_continue(head_with(plain)));
}

bool is_websocket(const std::string& message) { return is_websocket_upgrade(head_with(message)); }

TEST(IsWebsocketUpgrade, NeedsConnectionAndUpgrade) {
  EXPECT_TRUE(is_websocket(get_with({"Connection: Upgrade", "Upgrade: websocket"})));
  EXPECT_TRUE(is_websocket(get_with({"Connection: keep-alive, upgrade", "Upgrade: WebSocket"})));
  EXPECT_TRUE(is_websocket(get_with({"Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"})));
  EXPECT_FALSE(is_websocket(get_with({"Upgrade: websocket"})));
  EXPECT_FALSE(is_websocket(get_with({"Connection: Upgrade"})));
  EXPECT_FALSE(is_websocket(get_with({"Connection: close", "Upgrade: websocket"})));
}

TEST(IsWebsocketUpgrade, IsForNothingElse) {
  EXPECT_FALSE(is_websocket(get_with({"Connection: Upgrade", "Upgrade: h2c"})));
  EXPECT_FALSE(is_websocket(get_with({"Connection: Upgrade", "Upgrade: h2c, websocket"})));
  EXPECT_FALSE(is_websocket(get_with({"Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"})));
  EXPECT_FALSE(is_websocket(post_with({"Connection: Upgrade", "Upgrade: websocket"})));
  EXPECT_FALSE(is_websocket("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
}

bool switches(const std::string& message) {
  ResponseHead head;
  std::size_t scanned = 0;
  EXPECT_EQ(parse_response_head(message, {}, scanned, head).status, ParseStatus::complete) << message;
  return is_websocket_switch(head);
}

TEST(IsWebsocketSwitch, NeedsStatusConnectionAndUpgrade) {
  const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
  EXPECT_TRUE(switches(line + "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"));
  EXPECT_TRUE(switches(line + "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\nX: a\r\n\r\n"));
  EXPECT_FALSE(switches(line + "\r\n"));
  EXPECT_FALSE(switches(line + "Upgrade: websocket\r\n\r\n"));
  EXPECT_FALSE(switches(line + "Connection: upgrade\r\n\r\n"));
  EXPECT_FALSE(switches("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
  EXPECT_FALSE(switches("HTTP/1.0 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
}

TEST(IsWebsocketSwitch, IsToNothingElseAndHasNoFraming) {
  const std::string start = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n";
  EXPECT_FALSE(switches(start + "Upgrade: h2c\r\n\r\n"));
  EXPECT_FALSE(switches(start + "Upgrade: websocket, h2c\r\n\r\n"));
  EXPECT_FALSE(switches(start + "Upgrade: websocket\r\nUpgrade: h2c\r\n\r\n"));
  EXPECT_FALSE(switches(start + "Upgrade: websocket\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_FALSE(switches(start + "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n"));
  EXPECT_FALSE(switches(start + "Upgrade: websocket\r\nConnection: a b\r\n\r\n"));
}

/// What is left of "Max-Forwards: `value`" for this method.
std::optional<std::uint64_t> hops(const std::string& method, const std::string& value) {
  const std::string message = method + " / HTTP/1.1\r\nHost: a\r\nMax-Forwards: " + value + "\r\n\r\n";
  const RequestHead head = head_with(message);
  return request_framing(head) ? hops_left(head) : 4711;
}

TEST(HopsLeft, AreCountedForTraceAndOptions) {
  EXPECT_EQ(hops("TRACE", "0"), 0U);
  EXPECT_EQ(hops("OPTIONS", "10"), 10U);
  EXPECT_EQ(hops("OPTIONS", "0005"), 5U);
  EXPECT_EQ(hops("GET", "0"), std::nullopt);
  EXPECT_EQ(hops("GET", "x"), std::nullopt);
  const std::string none = "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(hops_left(head_with(none)), std::nullopt);
}

TEST(HopsLeft, AreOneNumber) {
  for (const char* value : {"", "x", "-1", "+1", "1 2", "1, 2", "0x1", "1.0", "99999999999999999999"}) {
    EXPECT_EQ(hops("TRACE", value), 4711U) << value;
  }
  const std::string twice = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n";
  EXPECT_EQ(request_framing(head_with(twice)), std::unexpected(Refusal::hops_malformed));
}

TEST(HasEscapedSlash, FindsWhatSomeTakeForASlash) {
  for (const char* path : {"/a%2Fb", "/a%5Cb", "/a\\b", "/%2F"}) EXPECT_TRUE(has_escaped_slash(path)) << path;
  for (const char* path : {"/", "/a/b", "/a%252Fb", "/a%2Eb", "*"}) EXPECT_FALSE(has_escaped_slash(path)) << path;
}

TEST(ReasonText, SaysSomethingForEach) {
  for (unsigned i = 0; i <= static_cast<unsigned>(Refusal::upgrade_with_body); ++i) {
    EXPECT_STRNE(reason_text(static_cast<Refusal>(i)), "");
  }
}

}  // namespace
}  // namespace gatehouse::http
