// Where the value is that SQL compares a column with. Used by waf/mask.cpp and waf/mask_values.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "waf/mask.hpp"

namespace gatehouse::waf {

/// Behind the column, whose name ends at `after`: >= 'a', > 1, not like N'a', in ('a', 'b'), between 'a' and 'b', like
/// lower('a'), whatever comments and brackets are between. "=" alone behind the name is a form's sign as well, and left to who reads forms.
[[nodiscard]] std::optional<Masker::Range> sql_value(std::string_view text, std::size_t after) noexcept;

/// Before the column, whose name, with its quotes, begins at `begin`: 'a' = password, 'a' = lower("password"), 1 = pin.
[[nodiscard]] std::optional<Masker::Range> sql_value_before(std::string_view text, std::size_t begin) noexcept;

}  // namespace gatehouse::waf
