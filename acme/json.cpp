// JSON from CAs; see json.hpp.
#include "acme/json.hpp"

namespace gatehouse::acme {

std::optional<Json> parse_object(std::string_view text) {
  if (text.size() > most_json_bytes) return std::nullopt;
  bool is_too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > deepest_json;
    return !is_too_deep;  // what is too deep is not kept
  };
  Json value = Json::parse(text.begin(), text.end(), watch, false);
  if (is_too_deep || !value.is_object()) return std::nullopt;
  return value;
}

std::string string_member(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

std::vector<std::string> strings_member(const Json& object, const char* name) {
  std::vector<std::string> strings;
  const auto member = object.find(name);
  if (member == object.end() || !member->is_array()) return strings;
  for (const Json& element : *member)
    if (element.is_string()) strings.push_back(element.get<std::string>());
  return strings;
}

}  // namespace gatehouse::acme
