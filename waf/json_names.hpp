// Names in JSON: what libmodsecurity makes of them may fill the memory, and some it does not see. Used by
// waf/transaction.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace gatehouse::waf {

// Of the arguments that are made of a body: each is called by all the names on the way to it, in several copies, so
// that a long name around a thousand numbers would be gigabytes. Ordinary ones have some dozen bytes.
inline constexpr std::size_t max_json_names_bytes = std::size_t{1} * 1024 * 1024;

/// False if the names of the values would be longer than that, as many as libmodsecurity makes arguments of.
[[nodiscard]] bool json_is_within_bounds(std::string_view json);

/// Calls `report` with the names of objects and arrays in which there is nothing: {"a": {"b": []}} has "json.a.b". They
/// are as libmodsecurity writes those of values; of elements of an array that have the same name, the first alone is
/// told. Ends when `report` says false. Of well-formed JSON, nested as deep as max_json_depth allows; takes time in
/// proportion to `json` and the names that it reports.
void empty_json_containers(std::string_view json, const std::function<bool(const std::string& name)>& report);

}  // namespace gatehouse::waf
