// A guess at what a request's inspection costs, from what is cheap to see. It only decides where the inspection runs
// first; a wrong guess is corrected by the budget. Called by gateway/filter/waf_filter.cpp.
#pragma once

#include <cstddef>
#include <string_view>

namespace gatehouse::waf {

enum class Cost {
  small,     // some milliseconds at the very most
  moderate,  // long, but ordinary text
  high,      // long, or full of what rules look for
};

/// How much there is to inspect: how many values, each of which meets every rule; and how much of it is punctuation that
/// attacks are made of: patterns backtrack at quotes, brackets and operators, where one call's time grows with the square
/// of the length.
class Weight {
 public:
  void add(std::string_view text) noexcept;
  /// Text that holds values, one more than there are of `separators`: arguments, cookies.
  void add_values(std::string_view text, std::string_view separators) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t marks() const noexcept { return marks_; }
  [[nodiscard]] std::size_t values() const noexcept { return values_; }
  [[nodiscard]] Cost cost() const noexcept;

 private:
  std::size_t bytes_ = 0;
  std::size_t marks_ = 0;
  std::size_t values_ = 0;
};

}  // namespace gatehouse::waf
