// The Engine of waf/waf.hpp: holds the platform's rules and hands out policies and transactions.
#include <exception>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "waf/interpose.hpp"
#include "waf/library.hpp"
#include "waf/mask.hpp"
#include "waf/platform_rules.hpp"
#include "waf/policy.hpp"
#include "waf/policy_plan.hpp"
#include "waf/reaper.hpp"
#include "waf/transaction.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf {
namespace {

using config::Problem;
using config::Problems;

bool any_error(const Problems& problems) {
  for (const Problem& problem : problems) {
    if (problem.severity == config::Severity::error) return true;
  }
  return false;
}

Problems one_error(std::string message, config::Place place = {}) {
  Problem problem;
  problem.place = std::move(place);
  problem.message = std::move(message);
  return {std::move(problem)};
}

class RuleEngine final : public Engine {
 public:
  RuleEngine(std::shared_ptr<const PlatformRules> platform, std::chrono::nanoseconds time_budget,
             const std::vector<std::string>& masked_names)
      : platform_(std::move(platform)), time_budget_(time_budget), masker_(masked_names) {
    masked_fields_ = {.user_agent = masker_.is_secret_name("user-agent"),
                      .host = masker_.is_secret_name("host"),
                      .x_forwarded_for = masker_.is_secret_name("x-forwarded-for"),
                      .x_request_id = masker_.is_secret_name("x-request-id"),
                      .traceparent = masker_.is_secret_name("traceparent")};
  }

  std::expected<std::shared_ptr<const Policy>, Problems> policy(const config::TenantConfig& tenant,
                                                                config::TenantRules allowed,
                                                                Problems& warnings) override {
    if (tenant.waf.mode == config::WafMode::off) return nullptr;
    try {
      return make_policy(tenant, allowed, warnings);
    } catch (const std::bad_alloc&) {  // one tenant's rules must not end the process
      return std::unexpected(
          one_error("the WAF's rules cannot be built: there is no memory for them", {.file = tenant.file}));
    } catch (const std::exception& error) {
      return std::unexpected(one_error(
          fmt::format("the WAF's rules cannot be built: {}", printable_error(error.what())), {.file = tenant.file}));
    }
  }

  std::unique_ptr<Transaction> begin(const Policy& policy, const RequestStart& start,
                                     std::chrono::nanoseconds budget) override {
    // Every policy of this interface comes from policy() above.
    return begin_transaction(static_cast<const RulePolicy&>(policy), start, budget, masker_);
  }

  std::chrono::nanoseconds time_budget() const noexcept override { return time_budget_; }

  std::string masked_query(std::string_view query) const override { return masker_.query(query); }

  std::string masked_path(std::string_view path) const override { return masker_.path(path); }

  const MaskedFields& masked_fields() const noexcept override { return masked_fields_; }

 private:
  std::expected<std::shared_ptr<const Policy>, Problems> make_policy(const config::TenantConfig& tenant,
                                                                     config::TenantRules allowed, Problems& warnings) {
    Problems problems;
    const PolicyPlan plan = plan_policy(tenant, allowed, *platform_, problems);
    if (any_error(problems)) return std::unexpected(std::move(problems));
    warnings.insert(warnings.end(), problems.begin(), problems.end());

    const std::string key = plan.key();
    const std::lock_guard lock(mutex_);
    if (const auto found = policies_.find(key); found != policies_.end()) {
      if (auto policy = found->second.lock()) return policy;
    }
    auto made = RulePolicy::make(plan, platform_);
    if (!made)
      return std::unexpected(one_error(
          fmt::format("the WAF's rules cannot be loaded: {}", printable_error(made.error())), {.file = tenant.file}));
    std::shared_ptr<const Policy> policy = reaper_.share(std::move(*made));
    std::erase_if(policies_, [](const auto& entry) { return entry.second.expired(); });
    policies_.insert_or_assign(key, policy);
    return policy;
  }

  static std::string printable_error(std::string text) {
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    return text;
  }

  std::shared_ptr<const PlatformRules> platform_;
  std::chrono::nanoseconds time_budget_;
  Masker masker_;
  MaskedFields masked_fields_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const Policy>> policies_;  // by PolicyPlan::key
  Reaper reaper_;
};

}  // namespace

std::expected<std::unique_ptr<Engine>, Problems> Engine::create(const config::PlatformWaf& platform,
                                                                const std::vector<std::string>& masked_names) {
  if (!interposition_active()) {
    return std::unexpected(one_error(
        "the WAF cannot bound its time: the program's own pcre2_match_8, pcre2_jit_match_8, libinjection_sqli, "
        "libinjection_xss and functions of libmodsecurity do not stand before the libraries' (the executable must "
        "export them)"));
  }
  auto rules = PlatformRules::load(platform.rules, platform.rules_places);
  if (!rules) return std::unexpected(std::move(rules.error()));
  return std::make_unique<RuleEngine>(std::move(*rules), platform.time_budget, masked_names);
}

}  // namespace gatehouse::waf
