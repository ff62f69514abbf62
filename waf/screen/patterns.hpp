// Regular expressions and phrases: all of a policy in one pass (Hyperscan), and one alone with its groups (PCRE2).
// Vectorscan 5.4.9, which has the same interface, misses single bytes behind the 64th, and more, on some processors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::waf::screen {

/// One expression, compiled as libmodsecurity does.
class Pattern {
 public:
  static std::optional<Pattern> compile(const std::string& expression);

  enum class Result : std::uint8_t { no, yes, unknown };
  /// `groups`: the texts of those that took part; of the others `data()` is null.
  [[nodiscard]] Result match(std::string_view text, std::vector<std::string_view>* groups = nullptr) const;

 private:
  std::shared_ptr<void> code_;
};

/// Expressions of which a superset of those that match is found in one pass.
class PatternSet {
 public:
  struct Entry {
    std::string text;
    bool is_phrase = false;  // bytes, of which upper and lower case are alike
    std::uint32_t id = 0;
  };
  /// False if the expression is none that a set can hold.
  [[nodiscard]] static bool can_hold(const Entry& entry);
  /// The same object for equal entries, for as long as anyone has it. Null without memory or on a processor that cannot.
  [[nodiscard]] static std::shared_ptr<const PatternSet> make(const std::vector<Entry>& entries);

  /// Appends the ids of those that may match. False: nobody can tell.
  [[nodiscard]] bool scan(std::string_view text, std::vector<std::uint32_t>& ids) const;
  [[nodiscard]] std::size_t bytes() const noexcept;

  /// Whether this processor can run Hyperscan.
  [[nodiscard]] static bool supported() noexcept;

  ~PatternSet();
  PatternSet(const PatternSet&) = delete;
  PatternSet& operator=(const PatternSet&) = delete;

 private:
  PatternSet() = default;
  struct Database;
  std::unique_ptr<Database> database_;
};

}  // namespace gatehouse::waf::screen
