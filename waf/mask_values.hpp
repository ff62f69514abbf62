// Where the value of a secret name is, in bodies, headers and markup of any form. Used by waf/mask.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "waf/mask.hpp"

namespace gatehouse::waf {

/// What belongs to a secret name that begins at `begin` and ends at `after`, in any of the forms in which bodies,
/// headers and markup write it. `quoted`: the name stood in quotes, which are at `begin` - 1 and before `after`.
[[nodiscard]] std::optional<Masker::Range> value_after(std::string_view text, std::size_t begin, std::size_t after,
                                                       bool quoted);

}  // namespace gatehouse::waf
