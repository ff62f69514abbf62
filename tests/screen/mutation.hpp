// Requests made of other requests: what the screen and the engine have to agree on beyond what anybody has recorded.
#pragma once

#include <cstdint>
#include <span>

#include "request.hpp"

namespace gatehouse::screen_test {

/// `request` with one to four changes: encodings, case, splits, charsets, types of bodies, parameters given twice, pieces of
/// attacks, values of `others`. The same for the same seed. What it makes is what the gateway hands on: field names are
/// tokens, values have no line ends and no NUL, the target is of visible ASCII.
[[nodiscard]] Request mutated(const Request& request, std::uint64_t seed, std::span<const Request> others);

}  // namespace gatehouse::screen_test
