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

}  // namespace

void Weight::add(std::string_view text) noexcept {
  std::size_t marks = 0;
  for (const char c : text) marks += mark_table[static_cast<unsigned char>(c)];
  bytes_ += text.size();
  marks_ += marks;
}

Cost Weight::cost() const noexcept {
  const bool is_dense = marks_ * dense > bytes_;
  if (bytes_ <= small_bytes || (bytes_ <= small_plain_bytes && !is_dense)) return Cost::small;
  return bytes_ <= moderate_bytes && (!is_dense || bytes_ <= small_plain_bytes) ? Cost::moderate : Cost::high;
}

}  // namespace gatehouse::waf
