// What transformations make of a text, as libmodsecurity has it: by construction, as what changes a text is the library's
// own function. What is ours is to know in a few nanoseconds that a text stays as it is, which most do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace modsecurity::actions {
class Action;
}

namespace gatehouse::waf::screen {

/// Which of the bytes and pairs of bytes that matter to transformations a text has.
using Traits = std::uint32_t;

[[nodiscard]] Traits traits_of(std::string_view text) noexcept;

/// Texts of one request; all of them go at once.
class Arena {
 public:
  /// Room for `size` bytes that stays in place.
  [[nodiscard]] char* allocate(std::size_t size);
  [[nodiscard]] std::string_view keep(std::string_view text);
  /// What was allocated is gone; the memory, up to a bound, is kept for the next request.
  void clear() noexcept;

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t size;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;  // the one in use
  std::size_t used_ = 0;  // of it
};

struct Text {
  std::string_view bytes;
  Traits traits = 0;
};

/// One transformation (t:lowercase). Copies share what they hold.
class Transformation {
 public:
  /// Empty if it is none that we know.
  static std::optional<Transformation> find(std::string_view name);

  /// True if a text of these traits certainly stays as it is.
  [[nodiscard]] bool keeps(Traits traits) const noexcept { return (traits & changing_) == 0; }

  /// What comes of the text; in the arena, if it is another one.
  [[nodiscard]] Text apply(const Text& text, Arena& arena) const;

  [[nodiscard]] bool is_none() const noexcept { return none_; }

 private:
  Traits changing_ = ~Traits{0};
  bool none_ = false;
  bool lowers_ = false;
  std::shared_ptr<modsecurity::actions::Action> function_;  // the library's
};

}  // namespace gatehouse::waf::screen
