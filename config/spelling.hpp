// What somebody may have meant by a word that is not known. Called by the readers of configuration.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gatehouse::config {

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one word to the other. Case, and '-'
/// for '_', cost nothing.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word of `known` that is nearest to `word`, if one is near enough to be meant; else empty.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

/// "; did you mean 'rate'?", or "; known are: 'a', 'b'" if none is near; empty if there are none.
[[nodiscard]] std::string suggestion(std::string_view word, std::span<const std::string_view> known);

}  // namespace gatehouse::config
