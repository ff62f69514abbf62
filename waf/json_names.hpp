// Names in JSON that libmodsecurity does not make arguments of. Used by waf/transaction.cpp.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace gatehouse::waf {

/// Calls `report` with the names of objects and arrays in which there is nothing: {"a": {"b": []}} has "json.a.b". They are
/// as libmodsecurity writes those of values; of elements of an array that have the same name, the first alone is told.
/// Ends when `report` says false. Of well-formed JSON, nested as deep as max_json_depth allows; takes time in proportion to
/// `json` and the names that it reports.
void empty_json_containers(std::string_view json, const std::function<bool(const std::string& name)>& report);

}  // namespace gatehouse::waf
