// Writing JSON Schema (2020-12). Called by the readers when they describe themselves instead of reading; see reader.hpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::config {

[[nodiscard]] std::string json_string(std::string_view text);
[[nodiscard]] std::string json_array(const std::vector<std::string>& items);

/// A JSON object under construction; members keep their order. Values are JSON already.
class JsonObject {
 public:
  JsonObject& add(std::string_view key, const std::string& value);
  JsonObject& add_string(std::string_view key, std::string_view text) { return add(key, json_string(text)); }
  JsonObject& append(const JsonObject& other);
  [[nodiscard]] bool empty() const noexcept { return members_.empty(); }
  [[nodiscard]] std::string to_string() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

/// {"type": NAME}
[[nodiscard]] JsonObject schema_of_type(std::string_view name);

/// Several lines, two blanks a level, for people.
[[nodiscard]] std::string indented(std::string_view json);

}  // namespace gatehouse::config
