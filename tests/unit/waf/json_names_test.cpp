// Names in JSON of which libmodsecurity makes no arguments.
#include <time.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/base_rules.hpp"
#include "waf/json_names.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> names_in(std::string_view json) {
  std::vector<std::string> out;
  empty_json_containers(json, [&](const std::string& name) {
    out.push_back(name);
    return true;
  });
  return out;
}

TEST(JsonNames, OfEmptyContainersAreToldAsThoseOfValues) {
  EXPECT_THAT(names_in(R"({"a":{}})"), ElementsAre("json.a"));
  EXPECT_THAT(names_in(R"({"a":[],"b":{"c":[ ]}, "d" : { } })"), ElementsAre("json.a", "json.b.c", "json.d"));
  EXPECT_THAT(names_in(R"({"a":[[]]})"), ElementsAre("json.a.array_0"));
  EXPECT_THAT(names_in(R"({"a":[1,{"b":{}}]})"), ElementsAre("json.a.array_1.b"));
  EXPECT_THAT(names_in(R"([1,[],{"x":[]}])"), ElementsAre("json.array_1", "json.array_2.x"));
  EXPECT_THAT(names_in(R"({"":{"":[]}})"), ElementsAre("json.empty-key.empty-key"));
  EXPECT_THAT(names_in(R"({"a\"\u0027\u00e9\ud83d\ude00\n}":{}})"),
              ElementsAre("json.a\"'\xC3\xA9\xF0\x9F\x98\x80\n}"));
}

TEST(JsonNames, OfWhatHoldsAValueAreLeftToTheLibrary) {
  for (const std::string_view json : {R"({"a":1})", R"({"a":"{}"})", R"({"a":[1]})", R"([[1],{"a":null}])", R"("{}")",
                                      "1", "{}", "[]", "", R"({"a":{"b":"[]","c":-1e5}})"})
    EXPECT_THAT(names_in(json), IsEmpty()) << json;
}

TEST(JsonNames, OfElementsThatAreAlikeAreToldOnce) {
  std::string list = R"({"items":[)";
  for (int i = 0; i < 2'000; ++i) list += (i > 0 ? "," : "") + std::string(R"({"id":1,"tags":[],"more":[{}]})");
  EXPECT_THAT(names_in(list + "]}"), ElementsAre("json.items.array_0.tags", "json.items.array_0.more.array_0"));
}

TEST(JsonNames, TakesWhateverIsNoJson) {
  for (const std::string_view json :
       {"}", "]{}", "{\"", "{\"a", "{\"a\\", "{{{", "[}", ":", ",", "{\"a\\u12\":{}}", "{\"\\ud800\":[]}"})
    names_in(json);
  EXPECT_THAT(names_in(std::string(100'000, '[')), IsEmpty());
}

TEST(JsonNames, AreFoundBetweenAllBlanksThatTheParserSkips) {
  for (const std::string blank : {" ", "\t", "\r", "\n", "\v", "\f", "\v\f\v "}) {
    const std::string json =
        blank + "{" + blank + "\"a\"" + blank + ":" + blank + "{" + blank + "}" + blank + "}" + blank;
    EXPECT_THAT(names_in(json), ElementsAre("json.a")) << json;
    const std::string attack =
        blank + "{\"1' or '1'='1\":" + blank + "{" + blank + "},\"b\":[" + blank + "]" + blank + "}";
    EXPECT_THAT(ids(run(post("application/json", attack)).outcome), Contains(942100u)) << attack;
  }
}

TEST(JsonNames, AreSeenByRules) {
  for (const char* json : {R"({"1' or '1'='1":{}})", R"({"1' or '1'='1":[]})", R"({"a":{"1\u0027 or '1'='1":[{}]}})"})
    EXPECT_THAT(ids(run(post("application/json", json)).outcome), Contains(942100u)) << json;
  EXPECT_THAT(ids(run(post("application/json", R"({"a":{},"b":[]})")).outcome), IsEmpty());
}

TEST(JsonNames, CountAsArguments) {
  std::string json = "{";
  for (std::size_t i = 0; i <= max_arguments; ++i) json += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":{}";
  EXPECT_THAT(ids(run(post("application/json", json + "}")).outcome), Contains(200007u));
}

std::string numbers(std::size_t count) {
  std::string out = "1";
  for (std::size_t i = 1; i < count; ++i) out += ",1";
  return out;
}

TEST(JsonNames, AroundManyValuesAreRefused) {  // 200013
  const std::string name(100'000, 'k');
  const std::string values = numbers(990);
  for (const std::string& json :
       {"{\"" + name + "\":[" + values + "]}", "{\"a\":{\"" + name + "\":[{\"b\":[" + values + "]}]}}",
        "[{\"" + name + "\":[" + values + "]}", "\v\f{\"" + name + "\":[" + values + "]}",
        "{\"" + name + "\":[\f" + values + "\v]}", "{\"" + name + "\":[\"x\"" + values.substr(1) + "]}"}) {
    EXPECT_FALSE(json_is_within_bounds(json));
    const Result result = run(post("application/json", json));
    EXPECT_EQ(result.last, Step::deny);
    EXPECT_EQ(result.outcome.status, 400);
    EXPECT_THAT(ids(result.outcome), Contains(200013u));
  }
  for (const std::string& json : {"{\"" + name + "\":[1,2,3]}", "{\"" + name.substr(0, 1'000) + "\":[" + values + "]}",
                                  "{\"a\":\"" + name + "\",\"b\":[" + values + "]}", "[" + numbers(100'000) + "]",
                                  "[" + name + "\":[" + values + "]}", std::string("{\"a\":{\"b\":[{}]}}")})
    EXPECT_TRUE(json_is_within_bounds(json)) << json.substr(0, 20);
}

TEST(JsonNames, AreBoundedTogether) {
  std::string json = "{\"" + std::string(200'000, 'x') + "\":{";
  for (int i = 0; i < 900; ++i) json += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":{}";
  const Result result = run(post("application/json", json + "}}"));
  EXPECT_EQ(result.last, Step::error);  // its size, and no rule
  EXPECT_THAT(ids(result.outcome), IsEmpty());
}

}  // namespace
}  // namespace gatehouse::waf::testing
