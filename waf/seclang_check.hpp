// Decides what of a tenant's SecLang is accepted (CONTRACT: Tenant SecLang) and writes it anew, so that libmodsecurity
// is fed what we understood and never what the tenant wrote. Called by waf/policy.cpp.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "waf/seclang.hpp"

namespace gatehouse::waf::seclang {

inline constexpr std::uint32_t first_tenant_id = 10'000;
inline constexpr std::uint32_t last_tenant_id = 99'999;
inline constexpr std::size_t max_text_bytes = std::size_t{256} * 1024;
inline constexpr std::size_t max_rules = 500;
inline constexpr std::size_t max_variables = 100;      // of a rule: each is looked for in every request
inline constexpr std::size_t max_xml_variables = 2;  // of a rule, or added by a text: each walks the whole document
inline constexpr std::size_t max_transformations = 20;  // of a rule: each is applied to every value
inline constexpr std::size_t max_encodings =
    2;  // of a rule, among its transformations: each makes values up to 3 times as long
inline constexpr std::size_t max_setvars = 1000;  // of a text: what they set is kept while it is loaded
inline constexpr std::size_t max_updates = 500;  // targets that SecRuleUpdateTargetById adds or leaves out
inline constexpr std::size_t max_errors = 100;  // a text that is no SecLang at all has one in each word

/// SecRuleRemoveById, one number or range.
struct Removal {
  Position at;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

/// SecRuleUpdateTargetById with a "!": the rule no longer looks there.
struct TargetRemoval {
  Position at;
  std::uint32_t rule = 0;
  Variable target;
};

/// SecRuleUpdateTargetById without: the rule looks at more.
struct TargetAddition {
  Position at;
  std::uint32_t rule = 0;
};

struct CheckedRules {
  std::string text;  // canonical SecLang: what libmodsecurity loads
  std::vector<std::uint32_t> ids;
  std::vector<Removal> removals;
  std::vector<TargetRemoval> target_removals;
  std::vector<TargetAddition> additions;
  std::vector<Error> errors;  // empty: accepted
};

/// `trusted`: policy.tenant_rules is trusted, which adds three ctl actions. `used_ids` are the ids of the tenant's
/// other text and are added to: an id is unique within a tenant.
[[nodiscard]] CheckedRules check(std::string_view text, bool trusted, std::set<std::uint32_t>& used_ids);

}  // namespace gatehouse::waf::seclang
