// JSON from CAs, by nlohmann-json, with bounds. Of acme/*.cpp alone: no header includes this.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gatehouse::acme {

using Json = nlohmann::json;

constexpr std::size_t most_json_bytes = 256 * 1024;  // an order of 100 names is 15 KiB
constexpr int deepest_json = 16;

/// std::nullopt where it is no JSON object, or beyond the bounds. Of a name that comes twice the last counts.
[[nodiscard]] std::optional<Json> parse_object(std::string_view text);

/// The member, if it is there and a string; else "".
[[nodiscard]] std::string string_member(const Json& object, const char* name);
/// The strings among the member's elements.
[[nodiscard]] std::vector<std::string> strings_member(const Json& object, const char* name);

}  // namespace gatehouse::acme
