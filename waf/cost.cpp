#include "waf/cost.hpp"

#include <array>
#include <cstdint>

namespace gatehouse::waf {
namespace {

// Punctuation as it is and as forms encode it (the percent sign stands for what follows).
constexpr std::array<std::uint8_t, 256> mark_table = [] {
  std::array<std::uint8_t, 256> table{};
  for (const char c : std::string_view("'\"`<>()[]{};|&%\\@#!$*+-/=\n\r\t")) table[static_cast<unsigned char>(c)] = 1;
  return table;
}();

constexpr std::size_t small_bytes = 2 * 1024;         // whatever is in them
constexpr std::size_t small_plain_bytes = 16 * 1024;  // of ordinary text
constexpr std::size_t moderate_bytes = 64 * 1024;
constexpr std::size_t dense = 4;  // a mark in so many bytes: JSON is, prose is not
// A value costs 0.1 to 0.2 ms with the Core Rule Set 3.3.4 at paranoia 1, however short it is.
constexpr std::size_t small_values = 48;
constexpr std::size_t moderate_values = 400;

}  // namespace

void Weight::add(std::string_view text) noexcept {
  std::size_t marks = 0;
  for (const char c : text) marks += mark_table[static_cast<unsigned char>(c)];
  bytes_ += text.size();
  marks_ += marks;
}

void Weight::add_values(std::string_view text, std::string_view separators) noexcept {
  add(text);
  std::size_t values = text.empty() ? 0 : 1;
  for (const char c : text) values += static_cast<std::size_t>(separators.contains(c));
  values_ += values;
}

Cost Weight::cost() const noexcept {
  const bool is_dense = marks_ * dense > bytes_;
  if (values_ > moderate_values) return Cost::high;
  if (values_ <= small_values && (bytes_ <= small_bytes || (bytes_ <= small_plain_bytes && !is_dense)))
    return Cost::small;
  return bytes_ <= moderate_bytes && (!is_dense || bytes_ <= small_plain_bytes) ? Cost::moderate : Cost::high;
}

}  // namespace gatehouse::waf
