// Which names are those of secrets, in whatever way a program writes them: new_password, X-New-Password, newPassword2.
// Used by waf/mask.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace gatehouse::waf {

inline constexpr std::size_t longest_name_bytes =
    256;  // longer ones are nobody's field; bounds the work for hostile ones

/// In lower case, with "_" for "-" and blanks within, without a leading "x-", and without the blanks, "+" and NUL that
/// some servers cut off at the ends.
[[nodiscard]] std::string folded_name(std::string_view name);

class SecretNames {
 public:
  /// `names`: audit_log.mask.
  explicit SecretNames(const std::vector<std::string>& names);

  /// True if the name itself is a secret's, or the words at one end of it: "new_password", "newPassword", "tokenId",
  /// "password_1", "password2", "passwords". Not for a path of names.
  [[nodiscard]] bool match(std::string_view name) const;

  /// True for a name of the list, with no other word.
  [[nodiscard]] bool contains(std::string_view folded_name) const { return names_.contains(folded_name); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  [[nodiscard]] bool is_word(std::string_view word) const;
  [[nodiscard]] bool is_known(std::string_view word) const;
  [[nodiscard]] bool has_known_end(std::string_view words) const;

  std::unordered_set<std::string, Hash, std::equal_to<>> names_;
  std::size_t longest_ = 0;
};

}  // namespace gatehouse::waf
