// What a tenant's YAML says about its policy, checked against the platform's rules and brought into a form in which
// equal policies are equal. Made for each tenant; waf/policy.cpp makes a policy of it only if there is none yet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/gateway_config.hpp"
#include "config/problem.hpp"
#include "config/tenant_config.hpp"
#include "waf/exclusions.hpp"
#include "waf/platform_rules.hpp"

namespace gatehouse::waf {

struct PolicyPlan {
  struct TargetExclusion {
    std::uint32_t rule;
    std::string target;  // as parse_target reads it
    std::string path;    // empty: everywhere
  };
  struct RuleExclusion {
    std::uint32_t rule;
    std::string path;
  };
  struct IdRange {
    std::uint32_t first;
    std::uint32_t last;
  };

  bool block = true;
  unsigned paranoia = 1;
  unsigned inbound_threshold = 5;
  unsigned outbound_threshold = 4;
  std::size_t body_limit = 0;
  bool response_body = false;
  std::string rules_before;                      // canonical SecLang
  std::string rules_after;
  std::vector<TargetExclusion> target_exclusions;
  std::vector<RuleExclusion> rule_exclusions;    // with a path
  std::vector<IdRange> removals;                 // everywhere

  /// Equal for plans whose policies behave alike.
  [[nodiscard]] std::string key() const;
};

/// Checks the tenant's rules and exclusions. Errors and warnings go to `problems`; with an error the plan is of no use.
[[nodiscard]] PolicyPlan plan_policy(const config::TenantConfig& tenant, config::TenantRules allowed,
                                     const PlatformRules& platform, config::Problems& problems);

}  // namespace gatehouse::waf
