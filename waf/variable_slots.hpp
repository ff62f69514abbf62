// Tells in a few nanoseconds which rules have anything to look at in a request. A rule whose variables have no value
// cannot match, and most of CRS looks at arguments and cookies that most requests do not have. Used by
// waf/platform_rules.cpp to describe rules and by waf/phase_runner.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "waf/modsecurity.hpp"
#include "waf/rule_text.hpp"
#include "waf/seclang.hpp"

namespace gatehouse::waf {

using SlotMask = std::uint64_t;
inline constexpr SlotMask always_present = SlotMask{1} << 63;

class VariableSlots {
 public:
  /// The mask of a rule by its first link: a bit for each collection or named element among its variables, or
  /// `always_present` if one of them may match at any time: a scalar has a value even when it is empty, counts have
  /// one, TX changes between rules. Counts and flags of which the rule asks that they be at least one have a bit too.
  [[nodiscard]] SlotMask needs(const RuleLink& link);

  /// The bits of what has a value now, for a phase that uses the bits of `used`. Values of these collections do not
  /// change while a phase runs. `always_present` is always set.
  [[nodiscard]] SlotMask present(modsecurity::Transaction& transaction, SlotMask used) const;

 private:
  enum class Collection : std::uint8_t {
    args,
    args_get,
    args_post,
    cookies,
    request_headers,
    response_headers,
    files,
    files_names,
    files_sizes,
    files_tmp_content,
    files_tmp_names,
    multipart_filename,
    multipart_name,
    multipart_part_headers,
    xml,
    flag,
  };
  struct Slot {
    Collection collection;
    std::string key;  // empty: any element; of a flag its index
  };
  [[nodiscard]] static bool collection_of(const std::string& name, Collection& collection) noexcept;

  std::vector<Slot> slots_;  // at most 63
};

}  // namespace gatehouse::waf
