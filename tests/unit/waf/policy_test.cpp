// Policies are shared, cheap and destroyed in the background.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "waf/policy.hpp"
#include "waf/policy_plan.hpp"
#include "waf/reaper.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

TEST(Policies, AreOneForEqualSettings) {
  config::TenantConfig a = tenant();
  config::TenantConfig b = tenant();
  b.name = "other";
  b.file = "/etc/gatehouse/tenants/other.yaml";
  EXPECT_EQ(policy_of(a), policy_of(b));
  a.waf.rules_before = "SecMarker  A # first\n";
  b.waf.rules_before = "# second\nSecMarker A\n";
  a.waf.rules_before = "SecMarker A\n";
  EXPECT_EQ(policy_of(a), policy_of(b));
}

TEST(Policies, DifferWithAnySetting) {
  std::vector<config::TenantConfig> all(1, tenant());
  const auto vary = [&](auto change) {
    config::TenantConfig config = tenant();
    change(config.waf);
    all.push_back(config);
  };
  vary([](auto& waf) { waf.mode = config::WafMode::detect; });
  vary([](auto& waf) { waf.paranoia = 2; });
  vary([](auto& waf) { waf.inbound_threshold = 6; });
  vary([](auto& waf) { waf.outbound_threshold = 6; });
  vary([](auto& waf) { waf.body_limit = 5; });
  vary([](auto& waf) { waf.inspect_response_body = true; });
  vary([](auto& waf) { waf.exclusions = {{.rule = 942100}}; });
  vary([](auto& waf) { waf.exclusions = {{.rule = 942100, .path = "/a"}}; });
  vary([](auto& waf) { waf.exclusions = {{.rule = 942100, .target = "ARGS:a"}}; });
  vary([](auto& waf) { waf.exclusions = {{.rule = 942100, .target = "ARGS:a", .path = "/a"}}; });
  vary([](auto& waf) { waf.rules_before = "SecMarker A\n"; });
  vary([](auto& waf) { waf.rules_after = "SecMarker A\n"; });
  std::set<std::shared_ptr<const Policy>> policies;
  for (const auto& config : all) policies.insert(policy_of(config));
  EXPECT_EQ(policies.size(), all.size());
}

TEST(Policies, CountTheirRules) {
  config::TenantConfig config = tenant();
  const std::size_t all = policy_of(config)->rule_count();
  EXPECT_GT(all, 500u);
  config.waf.exclusions = {{.rule = 942100}};
  EXPECT_EQ(policy_of(config)->rule_count(), all - 1);
}

TEST(Policies, OfFourHundredEachHasItsOwnThreshold) {
  std::vector<std::shared_ptr<const Policy>> policies;
  for (unsigned i = 0; i < 400; ++i) {
    config::TenantConfig config = tenant();
    config.waf.inbound_threshold = 1 + i;
    policies.push_back(policy_of(config));
  }
  const auto denies = [](const auto& policy) {
    return run(*policy, get("/?a=1%27%20or%201%3D1--%20&b=%3Cscript%3Ealert(1)%3C/script%3E")).last == Step::deny;
  };
  const auto first_above = std::find_if_not(policies.begin(), policies.end(), denies);
  EXPECT_GE(first_above - policies.begin(), 10);  // two critical rules at the least
  EXPECT_LT(first_above - policies.begin(), 200);
  EXPECT_TRUE(std::none_of(first_above, policies.end(), denies));
}

// Paranoia is decided when the policy is made: what runs is a fraction of what is loaded.
TEST(Policies, LeaveOutWhatDoesNotDependOnRequests) {
  const auto steps = [](unsigned paranoia) {
    config::TenantConfig config = tenant();
    config.waf.paranoia = paranoia;
    const auto policy = policy_of(config);
    const auto& rules = static_cast<const RulePolicy&>(*policy);
    std::size_t count = 0;
    for (int phase = 0; phase < modsecurity::NUMBER_OF_PHASES; ++phase) {
      if (const PhaseRunner* runner = rules.runner(static_cast<modsecurity::Phases>(phase)))
        count += runner->steps().size();
    }
    return count;
  };
  EXPECT_LT(steps(1), 220u);
  EXPECT_LT(steps(1), steps(4));
}

TEST(Policies, AreUsedByManyThreads) {
  const auto policy = policy_of(tenant());
  std::vector<std::thread> threads;
  std::atomic<int> denied = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        if (run(*policy, get(n % 2 == 0 ? "/?id=1%27%20or%201%3D1--%20" : "/")).last == Step::deny) ++denied;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(denied, 40);
}

struct Tracked final : Policy {
  explicit Tracked(std::thread::id& where) : where_(where) {}
  ~Tracked() override { where_ = std::this_thread::get_id(); }
  [[nodiscard]] config::WafMode mode() const noexcept override { return config::WafMode::block; }
  [[nodiscard]] std::size_t rule_count() const noexcept override { return 0; }
  std::thread::id& where_;
};

TEST(Reaper, DestroysOnItsOwnThread) {
  std::thread::id where;
  Reaper reaper;
  auto policy = reaper.share(std::make_unique<Tracked>(where));
  auto second = policy;
  policy.reset();
  reaper.drain();
  EXPECT_EQ(where, std::thread::id());
  second.reset();
  reaper.drain();
  EXPECT_NE(where, std::thread::id());
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(Reaper, DestroysWhatWaitsWhenItEnds) {
  std::thread::id where;
  {
    Reaper reaper;
    reaper.share(std::make_unique<Tracked>(where)).reset();
  }
  EXPECT_NE(where, std::thread::id());
}

TEST(Reaper, LetsPoliciesOutliveIt) {
  std::thread::id where;
  std::shared_ptr<const Policy> policy;
  {
    Reaper reaper;
    policy = reaper.share(std::make_unique<Tracked>(where));
  }
  EXPECT_EQ(where, std::thread::id());
  policy.reset();
  EXPECT_EQ(where, std::this_thread::get_id());
}

}  // namespace
}  // namespace gatehouse::waf::testing
