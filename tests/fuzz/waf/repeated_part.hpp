// What the fuzz targets of bounds read: a recipe for a text with a part that is repeated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// "NN" (a count, two bytes), then up to three parts with the byte 0x01 between them, of which the second is written
/// that many times; without one, the text as it is. At most 256 KiB.
inline std::string with_repeated_part(std::string_view recipe) {
  constexpr std::size_t most_bytes = 256UL * 1024;
  constexpr char separator = '\x01';
  if (recipe.size() < 2) return std::string(recipe);
  const std::size_t count = static_cast<unsigned char>(recipe[0]) * 256UL + static_cast<unsigned char>(recipe[1]);
  recipe.remove_prefix(2);
  const std::size_t first = recipe.find(separator);
  if (first == std::string_view::npos) return std::string(recipe);
  const std::size_t second = recipe.find(separator, first + 1);
  std::string text(recipe.substr(0, first));
  const std::string_view part =
      recipe.substr(first + 1, second == std::string_view::npos ? second : second - first - 1);
  for (std::size_t i = 0; i < count && text.size() + part.size() <= most_bytes; ++i) {
    // "#" becomes the number of the turn, so that attributes have names of their own.
    for (const char c : part) {
      if (c == '#')
        text += std::to_string(i);
      else
        text += c;
    }
  }
  if (second != std::string_view::npos) text += recipe.substr(second + 1);
  return text;
}
