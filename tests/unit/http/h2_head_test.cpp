// Field sections of HTTP/2 as heads: what is malformed, what is refused, and that the same request comes out as of HTTP/1.1.
#include "gateway/http/h2_head.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gateway/http/validate.hpp"

namespace gatehouse::http {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

const Pairs get{{":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/x?y"}};

Pairs operator+(Pairs a, const Pairs& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Pairs without(const std::string& name, Pairs pairs = get) {
  std::erase_if(pairs, [&](const auto& pair) { return pair.first == name; });
  return pairs;
}
Pairs with(const std::string& name, const std::string& value, Pairs pairs = get) {
  for (auto& pair : pairs)
    if (pair.first == name) pair.second = value;
  return pairs;
}

struct Read {
  H2Head section;
  RequestHead head;
  std::string storage;
  bool is_websocket = false;
  H2HeadFault fault = H2HeadFault::none;
  Pairs fields() const {
    Pairs list;
    for (const Field& field : head.fields.all()) list.emplace_back(field.name, field.value);
    return list;
  }
};

void read(Read& out, const Pairs& pairs, const H2Limits& limits = {}) {
  for (const auto& [name, value] : pairs) out.section.add(name, value, limits);
  out.fault = out.section.finish(out.head, out.storage, "https", "a2V5");
  out.is_websocket = out.section.is_websocket();
  out.section.clear();  // nothing may refer to it
}
H2HeadFault fault_of(const Pairs& pairs, const H2Limits& limits = {}) {
  Read out;
  read(out, pairs, limits);
  return out.fault;
}

TEST(H2Head, YieldsTheRequestOfHttp11) {
  Read out;
  read(out, get + Pairs{{"accept", "*/*"}, {"te", "trailers"}});
  ASSERT_EQ(out.fault, H2HeadFault::none);
  EXPECT_EQ(out.head.method, Method::get);
  EXPECT_EQ(out.head.target, "/x?y");
  EXPECT_EQ(out.head.version(), "2");
  EXPECT_EQ(out.head.minor_version, 1);
  EXPECT_EQ(out.fields(), (Pairs{{"host", "a.test"}, {"accept", "*/*"}, {"te", "trailers"}}));
  EXPECT_EQ(out.head.fields.find(FieldId::host)->value, "a.test");
  EXPECT_TRUE(request_framing(out.head).has_value());
  EXPECT_TRUE(request_target(out.head).has_value());
}

TEST(H2Head, JoinsCrumbsOfCookiesWhereTheFirstStood) {
  Read out;
  read(out, get + Pairs{{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", ""}, {"cookie", "c=3"}});
  EXPECT_EQ(out.fields(), (Pairs{{"host", "a.test"}, {"cookie", "a=1; b=2; ; c=3"}, {"x", "y"}}));
  EXPECT_FALSE(out.head.fields.repeated(FieldId::cookie));
}

TEST(H2Head, TakesHostInsteadOfAuthorityAndBothWhenTheyAgree) {
  Read out;
  read(out, without(":authority") + Pairs{{"host", "b.test"}});
  EXPECT_EQ(out.fault, H2HeadFault::none);
  EXPECT_EQ(out.fields(), (Pairs{{"host", "b.test"}}));
  EXPECT_EQ(fault_of(get + Pairs{{"host", "a.test"}}), H2HeadFault::none);
  EXPECT_EQ(fault_of(get + Pairs{{"host", "A.TEST."}}), H2HeadFault::none);
  EXPECT_EQ(fault_of(get + Pairs{{"host", "b.test"}}), H2HeadFault::malformed);
  EXPECT_EQ(fault_of(get + Pairs{{"host", "a.test:443"}}), H2HeadFault::none);  // https, whose port that is
  EXPECT_EQ(fault_of(get + Pairs{{"host", "a.test:80"}}), H2HeadFault::malformed);
  EXPECT_EQ(fault_of(with(":authority", "a.test:443") + Pairs{{"host", "a.test"}}), H2HeadFault::none);
  EXPECT_EQ(fault_of(with(":authority", "a.test:444") + Pairs{{"host", "a.test"}}), H2HeadFault::malformed);
  EXPECT_EQ(fault_of(get + Pairs{{"host", ""}}), H2HeadFault::malformed);
  EXPECT_EQ(fault_of(get + Pairs{{"host", "a.test"}, {"host", "a.test"}}), H2HeadFault::malformed);
}

TEST(H2Head, RefusesMalformedSections) {
  const std::pair<const char*, Pairs> cases[] = {
      {"no method", without(":method")},
      {"no scheme", without(":scheme")},
      {"no path", without(":path")},
      {"empty path", with(":path", "")},
      {"empty authority", with(":authority", "")},
      {"empty method", with(":method", "")},
      {"method that is no token", with(":method", "GET /x HTTP/1.1\r\nhost: b\r\n\r\nGET")},
      {"method with a blank", with(":method", "GET x")},
      {"absolute path", with(":path", "https://a.test/x")},
      {"path without slash", with(":path", "x")},
      {"asterisk with GET", with(":path", "*")},
      {"method twice", get + Pairs{{":method", "GET"}}},
      {"path twice", Pairs{{":path", "/"}} + get},
      {"pseudo behind a field", Pairs{{"accept", "x"}} + get},
      {"pseudo of answers", get + Pairs{{":status", "200"}}},
      {"unknown pseudo", get + Pairs{{":x", "200"}}},
      {"bare colon", get + Pairs{{":", "200"}}},
      {"upper case", get + Pairs{{"Accept", "x"}}},
      {"empty name", get + Pairs{{"", "x"}}},
      {"blank in a name", get + Pairs{{"x y", "x"}}},
      {"colon in a name", get + Pairs{{"x:y", "x"}}},
      {"line end in a name", get + Pairs{{"x\r\ny", "x"}}},
      {"NUL in a name", get + Pairs{{std::string("x\0y", 3), "x"}}},
      {"high byte in a name", get + Pairs{{"x\xffy", "x"}}},
      {"CR LF in a value", get + Pairs{{"x", "a\r\nhost: b"}}},
      {"LF in a value", get + Pairs{{"x", "a\nb"}}},
      {"CR in a value", get + Pairs{{"x", "a\rb"}}},
      {"NUL in a value", get + Pairs{{"x", std::string("a\0b", 3)}}},
      {"DEL in a value", get + Pairs{{"x", "a\x7f"}}},
      {"leading blank", get + Pairs{{"x", " a"}}},
      {"trailing tab", get + Pairs{{"x", "a\t"}}},
      {"line end in the path", with(":path", "/ HTTP/1.1\r\nhost: b\r\n\r\n")},
      {"line end in the authority", with(":authority", "a.test\r\nx: y")},
      {"connection", get + Pairs{{"connection", "close"}}},
      {"keep-alive", get + Pairs{{"keep-alive", "1"}}},
      {"proxy-connection", get + Pairs{{"proxy-connection", "close"}}},
      {"transfer-encoding", get + Pairs{{"transfer-encoding", "chunked"}}},
      {"upgrade", get + Pairs{{"upgrade", "h2c"}}},
      {"te", get + Pairs{{"te", "trailers, deflate"}}},
      {"CONNECT with a path", with(":method", "CONNECT")},
      {"CONNECT without authority", Pairs{{":method", "CONNECT"}}},
      {"protocol without CONNECT", get + Pairs{{":protocol", "websocket"}}},
      {"protocol without scheme", without(":scheme", with(":method", "CONNECT")) + Pairs{{":protocol", "websocket"}}},
      {"protocol without authority",
       without(":authority", with(":method", "CONNECT")) + Pairs{{":protocol", "websocket"}}},
  };
  for (const auto& [name, pairs] : cases) EXPECT_EQ(fault_of(pairs), H2HeadFault::malformed) << name;
}

TEST(H2Head, RefusesWhatIsWellFormedAndNotTakenHere) {
  EXPECT_EQ(fault_of(with(":path", "/a#b")), H2HeadFault::refused);
  EXPECT_EQ(fault_of(with(":path", "/\xc3\xa4")), H2HeadFault::refused);
  EXPECT_EQ(fault_of(with(":path", "/a b")), H2HeadFault::refused);
  EXPECT_EQ(fault_of(with(":scheme", "http")), H2HeadFault::refused);
  EXPECT_EQ(fault_of(get + Pairs{{"x_y", "1"}}), H2HeadFault::refused);
  H2Limits limits;
  limits.underscores_allowed = true;
  EXPECT_EQ(fault_of(get + Pairs{{"x_y", "1"}}, limits), H2HeadFault::none);
}

TEST(H2Head, TakesLegalOddities) {
  EXPECT_EQ(fault_of(with(":method", "OPTIONS", with(":path", "*"))), H2HeadFault::none);
  EXPECT_EQ(fault_of(with(":method", "M-SEARCH")), H2HeadFault::none);
  EXPECT_EQ(fault_of(with(":scheme", "HTTPS")), H2HeadFault::none);
  EXPECT_EQ(fault_of(get + Pairs{{"x", ""}, {"x", "a\tb"}, {"x", "\xff"}}), H2HeadFault::none);
  Read connect;
  read(connect, Pairs{{":method", "CONNECT"}, {":authority", "a.test:443"}});
  EXPECT_EQ(connect.fault, H2HeadFault::none);
  EXPECT_FALSE(request_target(connect.head).has_value());  // no tunnels here: 400
}

TEST(H2Head, BoundsSizeAndCount) {
  H2Limits limits;
  limits.header_bytes = 1000;
  limits.header_count = 10;
  limits.target_bytes = 50;
  EXPECT_EQ(fault_of(get + Pairs{{"x", std::string(900, 'y')}}, limits), H2HeadFault::none);
  EXPECT_EQ(fault_of(get + Pairs{{"x", std::string(1000, 'y')}}, limits), H2HeadFault::too_large);
  const auto some = [](int count) {
    Pairs fields;
    for (int i = 0; i < count; ++i) fields.emplace_back("x", "y");
    return fields;
  };
  const Pairs host{{"host", "a.test"}};
  const Pairs nameless = without(":authority");
  // :authority is the Host field of HTTP/1.
  EXPECT_EQ(fault_of(get + some(9), limits), H2HeadFault::none);
  EXPECT_EQ(fault_of(get + some(10), limits), H2HeadFault::too_large);
  for (const Pairs& pseudo : {get, nameless}) {
    EXPECT_EQ(fault_of(pseudo + host + some(9), limits), H2HeadFault::none);
    EXPECT_EQ(fault_of(pseudo + some(9) + host, limits), H2HeadFault::none);
    EXPECT_EQ(fault_of(pseudo + host + some(10), limits), H2HeadFault::too_large);
    EXPECT_EQ(fault_of(pseudo + some(10) + host, limits), H2HeadFault::too_large);
  }
  EXPECT_EQ(fault_of(nameless + some(10), limits), H2HeadFault::none);
  limits.header_count = 1;
  EXPECT_EQ(fault_of(get, limits), H2HeadFault::none);
  EXPECT_EQ(fault_of(with(":path", "/" + std::string(49, 'y')), limits), H2HeadFault::none);
  EXPECT_EQ(fault_of(with(":path", "/" + std::string(50, 'y')), limits), H2HeadFault::target_too_long);
}

TEST(H2Head, EndsNoCookieWithABlank) {
  Read out;
  read(out, get + Pairs{{"cookie", ""}, {"cookie", "a=1"}, {"cookie", ""}, {"cookie", "b=2"}, {"cookie", ""}});
  ASSERT_EQ(out.fault, H2HeadFault::none);
  EXPECT_EQ(out.head.fields.find(FieldId::cookie)->value, "a=1; ; b=2;");
}

TEST(H2Head, CountsThePartsOfACookieAsOneField) {
  Pairs parts = get;
  for (int i = 0; i < 256; ++i) parts.emplace_back("cookie", "c=1");
  EXPECT_EQ(fault_of(parts), H2HeadFault::none);
  for (int i = 0; i < 100; ++i) parts.emplace_back("cookie", "c=1");
  EXPECT_EQ(fault_of(parts), H2HeadFault::too_large);
  Pairs fields = get;
  for (int i = 0; i < 101; ++i) fields.emplace_back("x-cookie", "c=1");
  EXPECT_EQ(fault_of(fields), H2HeadFault::too_large);
}

TEST(H2Head, MakesAnUpgradeOfAnExtendedConnect) {
  const Pairs connect = with(":method", "CONNECT") + Pairs{{":protocol", "websocket"}};
  Read out;
  read(out, connect + Pairs{{"sec-websocket-version", "13"}, {"sec-websocket-key", "invented"}});
  ASSERT_EQ(out.fault, H2HeadFault::none);
  EXPECT_TRUE(out.is_websocket);
  EXPECT_EQ(out.head.method, Method::get);
  EXPECT_EQ(out.head.method_name, "GET");
  EXPECT_EQ(out.fields(), (Pairs{{"host", "a.test"},
                                 {"sec-websocket-version", "13"},
                                 {"connection", "Upgrade"},
                                 {"upgrade", "websocket"},
                                 {"sec-websocket-key", "a2V5"}}));
  EXPECT_TRUE(is_websocket_upgrade(out.head));
  EXPECT_EQ(fault_of(with(":method", "CONNECT") + Pairs{{":protocol", "connect-udp"}}), H2HeadFault::protocol_unknown);
  EXPECT_EQ(fault_of(Pairs{{":method", "CONNECT"}, {":authority", "\x9c:443"}}), H2HeadFault::refused);
}

TEST(H2Head, ChecksTrailers) {
  H2Head trailers;
  trailers.add("x-sum", "1", {});
  EXPECT_TRUE(trailers.finish_trailers());
  trailers.clear();
  trailers.add(":path", "/", {});
  EXPECT_FALSE(trailers.finish_trailers());
  trailers.clear();
  trailers.add("X", "y", {});
  EXPECT_FALSE(trailers.finish_trailers());
}

TEST(H2Head, IsAsNewOnceCleared) {
  Read out;
  read(out, get + Pairs{{"Bad", ""}, {"cookie", "a"}, {"cookie", "b"}});
  ASSERT_EQ(out.fault, H2HeadFault::malformed);
  read(out, get);
  EXPECT_EQ(out.fault, H2HeadFault::none);
  EXPECT_EQ(out.fields(), (Pairs{{"host", "a.test"}}));
}

}  // namespace
}  // namespace gatehouse::http
