// The JSON Schemas: well-formed, and of the same keys that the loader knows.
#include <boost/json/src.hpp>
#include <map>

#include "config/reader.hpp"
#include "support.hpp"

namespace gatehouse::config::test {
namespace {

namespace json = boost::json;

json::value parsed(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  EXPECT_FALSE(error) << error.message();
  return value;
}

/// Every object schema below `schema`, by the YAML that leads to it: "waf: {body: {" and its closing brackets.
struct Place {
  std::string before;
  std::string after;
};
void each_object(const json::value& schema, const Place& place, std::vector<std::pair<Place, json::object>>& out) {
  if (!schema.is_object()) return;
  const json::object& object = schema.as_object();
  if (object.contains("properties")) {
    // Beside names of the author's own the properties are such names, not all keys that there are.
    const bool has_names = object.contains("additionalProperties") && object.at("additionalProperties").is_object();
    if (!has_names) out.emplace_back(place, object.at("properties").as_object());
    for (const auto& [key, inner] : object.at("properties").as_object())
      each_object(inner, {place.before + "{" + std::string(key) + ": ", "}" + place.after}, out);
  }
  if (object.contains("items")) each_object(object.at("items"), {place.before + "[", "]" + place.after}, out);
  if (object.contains("additionalProperties") && object.at("additionalProperties").is_object())
    each_object(object.at("additionalProperties"), {place.before + "{x: ", "}" + place.after}, out);
  if (object.contains("anyOf")) {
    for (const json::value& each : object.at("anyOf").as_array()) each_object(each, place, out);
  }
}

std::vector<std::pair<Place, json::object>> objects_of(const std::string& schema) {
  std::vector<std::pair<Place, json::object>> out;
  each_object(parsed(schema), {}, out);
  return out;
}

void expect_same_keys(const std::string& schema, std::vector<std::string> (*problems_of)(const std::string&)) {
  std::size_t keys = 0;
  for (const auto& [place, properties] : objects_of(schema)) {
    // What the loader lists as known when it meets an unknown key is what the schema has, in the same order.
    std::string known;
    for (const auto& [key, inner] : properties) known += (known.empty() ? "'" : ", '") + std::string(key) + "'";
    const std::string text = place.before + "{qqqqqqqq: 1}" + place.after;
    EXPECT_THAT(problems_of(text),
                ::testing::Contains(HasSubstr("'qqqqqqqq' is not a key here; known " +
                                              std::string(properties.size() == 1 ? "is " : "are ") + known)))
        << text;
    keys += properties.size();
  }
  EXPECT_GT(keys, 30U);
}

std::vector<std::string> problems_of_gateway(const std::string& text) {
  return lines_of(parse_gateway(text, "/nonexistent/gateway.yaml").problems);
}
std::vector<std::string> problems_of_tenant(const std::string& text) {
  return lines_of(parse_tenant(text, "/nonexistent/tenants/a.yaml", gateway_with()).problems);
}

TEST(Schema, OfTheGatewayHasTheLoadersKeys) { expect_same_keys(gateway_schema(), problems_of_gateway); }
TEST(Schema, OfATenantHasTheLoadersKeys) { expect_same_keys(tenant_schema(), problems_of_tenant); }

TEST(Schema, DescribesEveryKeyAndClosesEveryObject) {
  for (const std::string& text : {gateway_schema(), tenant_schema()}) {
    for (const auto& [place, properties] : objects_of(text)) {
      for (const auto& [key, inner] : properties) EXPECT_TRUE(inner.as_object().contains("description")) << key;
    }
    std::size_t open = objects_of(text).size();
    for (std::size_t at = text.find("\"additionalProperties\": false"); at != std::string::npos;
         at = text.find("\"additionalProperties\": false", at + 1))
      --open;
    EXPECT_EQ(open, 0U);
  }
}

TEST(Schema, SaysWhichDraft) {
  EXPECT_EQ(parsed(gateway_schema()).at("$schema").as_string(), "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(parsed(tenant_schema()).at("$schema").as_string(), "https://json-schema.org/draft/2020-12/schema");
}

TEST(Schema, TakesQuotedWordsThatAreBooleansWithoutQuotesAsTheLoaderDoes) {
  const json::value gateway = parsed(gateway_schema());
  const json::array& words = gateway.at_pointer("/properties/policy/properties/tenant_rules/enum").as_array();
  for (const json::value& word : {json::value(true), json::value("true"), json::value(false), json::value("false")}) {
    EXPECT_NE(std::ranges::find(words, word), words.end()) << word;
    EXPECT_THAT(problems_of_gateway("policy: {tenant_rules: " + json::serialize(word) + "}"), IsEmpty()) << word;
  }
}

TEST(Schema, WantsADirectoryOfEveryCaButTheOneCalledDefault) {
  const json::value acme = parsed(gateway_schema()).at_pointer("/properties/acme");
  EXPECT_EQ(acme.at_pointer("/additionalProperties/required/0").as_string(), "directory");
  EXPECT_FALSE(acme.at_pointer("/properties/default").as_object().contains("required"));
  EXPECT_EQ(acme.at_pointer("/properties/default/properties/directory/default").as_string(),
            "https://acme-v02.api.letsencrypt.org/directory");
}

TEST(Schema, CarriesTheDefaults) {
  const json::value gateway = parsed(gateway_schema());
  EXPECT_EQ(gateway.at_pointer("/properties/site/default").as_string(), "default");
  EXPECT_EQ(gateway.at_pointer("/properties/workers/default").as_string(), "auto");
  EXPECT_EQ(gateway.at_pointer("/properties/admin/properties/address/default").as_string(), "127.0.0.1:9901");
  EXPECT_EQ(gateway.at_pointer("/properties/limits/properties/body_bytes/default").as_string(), "10MiB");
  EXPECT_EQ(gateway.at_pointer("/properties/timeouts/properties/tunnel_idle/default").as_string(), "1h");
  EXPECT_EQ(gateway.at_pointer("/properties/policy/properties/tenant_rules/default").as_bool(), true);
  const json::value tenant = parsed(tenant_schema());
  EXPECT_EQ(tenant.at_pointer("/properties/waf/properties/mode/default").as_string(), "block");
  EXPECT_EQ(tenant.at_pointer("/properties/waf/properties/paranoia/default").as_int64(), 1);
  EXPECT_EQ(
      tenant.at_pointer("/properties/services/additionalProperties/properties/retry/properties/retry_on/default/0")
          .as_string(),
      "connect");
}

TEST(Schema, TakesFalseWhereverOffIsAWord) {
  for (const std::string& text : {gateway_schema(), tenant_schema()}) {
    for (std::size_t at = text.find("\"enum\""); at != std::string::npos; at = text.find("\"enum\"", at + 1)) {
      const std::string words = text.substr(at, text.find(']', at) - at);
      if (words.find("\"off\"") != std::string::npos) {
        EXPECT_NE(words.find("false"), std::string::npos) << words;
      }
    }
  }
}

TEST(Schema, NamesWhatIsRequired) {
  const json::value tenant = parsed(tenant_schema());
  EXPECT_EQ(json::serialize(tenant.at("required")), R"(["tenant","hosts","services","routes"])");
  EXPECT_FALSE(parsed(gateway_schema()).as_object().contains("required"));
}

TEST(Schema, HasNoKeyThatThisVersionLacks) {
  for (const char* key : {"\"outlier\"", "\"failback\"", "\"circuit_breaker\"", "\"leased\"", "\"auth\"", "\"h2c\"",
                          "\"sentinel\"", "\"kubernetes\""}) {
    EXPECT_EQ(gateway_schema().find(key), std::string::npos) << key;
    EXPECT_EQ(tenant_schema().find(key), std::string::npos) << key;
  }
  EXPECT_EQ(tenant_schema().find("\"dns\""), std::string::npos);
}

TEST(JsonString, Escapes) {
  EXPECT_EQ(json_string("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\"");
  EXPECT_EQ(indented("{\"a\":[1,{}],\"b\":\"x:{,}\"}"), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x:{,}\"\n}\n");
}

}  // namespace
}  // namespace gatehouse::config::test
