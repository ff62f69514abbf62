// Names of methods and fields, and the list of fields.
#include "gateway/http/head.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gatehouse::http {
namespace {

const std::map<std::string, FieldId>& known_names() {
  using enum FieldId;
  static const std::map<std::string, FieldId> names = {
      {"host", host},
      {"connection", connection},
      {"content-length", content_length},
      {"transfer-encoding", transfer_encoding},
      {"te", te},
      {"trailer", trailer},
      {"upgrade", upgrade},
      {"expect", expect},
      {"keep-alive", keep_alive},
      {"proxy-connection", proxy_connection},
      {"proxy-authorization", proxy_authorization},
      {"proxy-authenticate", proxy_authenticate},
      {"content-type", content_type},
      {"content-encoding", content_encoding},
      {"date", date},
      {"server", server},
      {"retry-after", retry_after},
      {"location", location},
      {"set-cookie", set_cookie},
      {"cookie", cookie},
      {"authorization", authorization},
      {"user-agent", user_agent},
      {"accept", accept},
      {"origin", origin},
      {"max-forwards", max_forwards},
      {"x-forwarded-for", x_forwarded_for},
      {"x-forwarded-proto", x_forwarded_proto},
      {"x-forwarded-host", x_forwarded_host},
      {"x-forwarded-port", x_forwarded_port},
      {"x-forwarded-client-cert", x_forwarded_client_cert},
      {"x-real-ip", x_real_ip},
      {"forwarded", forwarded},
      {"x-request-id", x_request_id},
      {"traceparent", traceparent},
      {"tracestate", tracestate},
      {"via", via},
      {"cdn-loop", cdn_loop},
      {"sec-websocket-key", sec_websocket_key},
      {"sec-websocket-version", sec_websocket_version},
      {"http2-settings", http2_settings},
  };
  return names;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
  }
  return text;
}

TEST(FieldIdTest, KnowsEveryName) {
  EXPECT_EQ(known_names().size(), static_cast<std::size_t>(FieldId::count_) - 1);
  for (const auto& [name, id] : known_names()) EXPECT_EQ(field_id(name), id) << name;
}

TEST(FieldIdTest, IgnoresCase) {
  for (const auto& [name, id] : known_names()) {
    EXPECT_EQ(field_id(upper(name)), id) << name;
    std::string mixed = name;
    for (std::size_t i = 0; i < mixed.size(); i += 2) mixed[i] = upper(std::string(1, mixed[i]))[0];
    EXPECT_EQ(field_id(mixed), id) << mixed;
  }
}

// Every byte at every place: only the other case of a letter may still match. A careless "| 0x20" fails here.
TEST(FieldIdTest, DistinguishesEveryOtherByte) {
  for (const auto& [name, id] : known_names()) {
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        std::string changed = name;
        changed[at] = static_cast<char>(byte);
        const bool same = equals_ignore_case(changed, name);
        const auto other = known_names().find(changed);
        const FieldId expected = same ? id : other != known_names().end() ? other->second : FieldId::other;
        ASSERT_EQ(field_id(changed), expected) << testing::PrintToString(changed);
      }
    }
  }
}

TEST(FieldIdTest, DistinguishesLengths) {
  for (const auto& [name, id] : known_names()) {
    EXPECT_NE(field_id(name + "x"), id) << name;
    EXPECT_NE(field_id(name.substr(1)), id) << name;
    EXPECT_NE(field_id(name.substr(0, name.size() - 1)), id) << name;
  }
  EXPECT_EQ(field_id(""), FieldId::other);
  EXPECT_EQ(field_id(std::string(1000, 'x')), FieldId::other);
}

TEST(MethodTest, IsCaseSensitive) {
  const std::vector<std::pair<std::string, Method>> methods = {
      {"GET", Method::get},         {"HEAD", Method::head},      {"POST", Method::post},
      {"PUT", Method::put},         {"DELETE", Method::delete_}, {"CONNECT", Method::connect},
      {"OPTIONS", Method::options}, {"TRACE", Method::trace},    {"PATCH", Method::patch}};
  for (const auto& [name, method] : methods) {
    EXPECT_EQ(method_of(name), method) << name;
    EXPECT_EQ(method_of(name + "X"), Method::other) << name;
    EXPECT_EQ(method_of(name.substr(1)), Method::other) << name;
    std::string lower = name;
    lower.back() = static_cast<char>(lower.back() | 0x20);
    EXPECT_EQ(method_of(lower), Method::other) << lower;
  }
  EXPECT_EQ(method_of(""), Method::other);
}

TEST(MethodTest, KnowsWhatMayBeRepeated) {
  for (const Method method :
       {Method::get, Method::head, Method::put, Method::delete_, Method::options, Method::trace}) {
    EXPECT_TRUE(is_idempotent(method));
  }
  for (const Method method : {Method::other, Method::post, Method::patch, Method::connect}) {
    EXPECT_FALSE(is_idempotent(method));
  }
}

TEST(FieldsTest, FindsTheFirst) {
  Fields fields;
  EXPECT_EQ(fields.find(FieldId::cookie), nullptr);
  EXPECT_FALSE(fields.has(FieldId::cookie));
  fields.push({FieldId::other, "X-A", "0"});
  fields.push({FieldId::cookie, "Cookie", "1"});
  fields.push({FieldId::cookie, "cookie", "2"});
  ASSERT_NE(fields.find(FieldId::cookie), nullptr);
  EXPECT_EQ(fields.find(FieldId::cookie)->value, "1");
  EXPECT_EQ(fields.find("x-a")->value, "0");
  EXPECT_EQ(fields.find("x-b"), nullptr);
  EXPECT_EQ(fields.count(FieldId::cookie), 2U);
  EXPECT_EQ(fields.count(FieldId::other), 1U);
  EXPECT_EQ(fields.count(FieldId::host), 0U);
  EXPECT_TRUE(fields.repeated(FieldId::cookie));
  EXPECT_FALSE(fields.repeated(FieldId::other));
}

TEST(FieldsTest, GrowsAsItIsFilled) {
  Fields fields;
  std::vector<std::string> values;
  for (int i = 0; i < 200; ++i) values.push_back(std::to_string(i));
  for (int i = 0; i < 200; ++i) fields.push({i == 150 ? FieldId::via : FieldId::other, "n", values[i]});
  ASSERT_EQ(fields.size(), 200U);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(fields.all()[i].value, values[i]);
  EXPECT_EQ(fields.find(FieldId::via)->value, "150");
}

TEST(FieldsTest, ForgetsWhenCleared) {
  Fields fields;
  for (int i = 0; i < 40; ++i) fields.push({FieldId::via, "Via", "x"});
  fields.clear();
  EXPECT_EQ(fields.size(), 0U);
  EXPECT_FALSE(fields.has(FieldId::via));
  EXPECT_FALSE(fields.repeated(FieldId::via));
  fields.push({FieldId::via, "Via", "y"});
  EXPECT_EQ(fields.find(FieldId::via)->value, "y");
  EXPECT_FALSE(fields.repeated(FieldId::via));
}

class FieldsMoveTest : public testing::TestWithParam<int> {};

TEST_P(FieldsMoveTest, LeavesAnEmptyListThatWorks) {
  Fields from;
  for (int i = 0; i < GetParam(); ++i) from.push({FieldId::cookie, "Cookie", "x"});
  Fields to(std::move(from));
  EXPECT_EQ(to.size(), static_cast<std::size_t>(GetParam()));
  EXPECT_EQ(from.size(), 0U);  // NOLINT(bugprone-use-after-move): what is left is part of the contract
  from.push({FieldId::host, "Host", "y"});
  EXPECT_EQ(from.find(FieldId::host)->value, "y");
  from = std::move(to);
  EXPECT_EQ(from.size(), static_cast<std::size_t>(GetParam()));
  EXPECT_FALSE(from.has(FieldId::host));
  EXPECT_EQ(from.count(FieldId::cookie), static_cast<std::size_t>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(OfAllSizes, FieldsMoveTest, testing::Values(0, 1, 16, 17, 100));

TEST(EqualsIgnoreCaseTest, FoldsLettersAlone) {
  EXPECT_TRUE(equals_ignore_case("aBc-1", "AbC-1"));
  EXPECT_TRUE(equals_ignore_case("", ""));
  EXPECT_FALSE(equals_ignore_case("a", "ab"));
  EXPECT_FALSE(equals_ignore_case("@", "`"));
  EXPECT_FALSE(equals_ignore_case("[", "{"));
  EXPECT_FALSE(equals_ignore_case("\xC3\x84", "\xC3\xA4"));
  EXPECT_FALSE(equals_ignore_case("K", "\xE2\x84\xAA"));  // the Kelvin sign
}

}  // namespace
}  // namespace gatehouse::http
