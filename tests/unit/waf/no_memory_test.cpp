// Memory that runs out while a tenant's policy is built costs that tenant its policy, and nobody the process.
// Not under ThreadSanitizer, whose own operator new cannot be replaced (its runtime defines it strongly).
#if !__has_feature(thread_sanitizer)
#include <cstdlib>
#include <new>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf_fixture.hpp"

namespace {
thread_local long left = -1;  // allocations until one fails; negative: none does
}

void* operator new(std::size_t bytes) {
  if (left >= 0 && left-- == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gatehouse::waf::testing {
namespace {

TEST(NoMemory, IsTheProblemOfOneTenant) {
  config::TenantConfig config = tenant();
  config.file = "/etc/gatehouse/tenants/shop.yaml";
  config.waf.paranoia = 3;
  config.waf.inbound_threshold = 99;
  Engine& engine = crs_engine();
  for (const long allocation : {0L, 3L}) {
    config::Problems warnings;
    left = allocation;
    const auto policy = engine.policy(config, config::TenantRules::yes, warnings);
    left = -1;
    ASSERT_FALSE(policy.has_value());
    ASSERT_EQ(policy.error().size(), 1u);
    EXPECT_EQ(policy.error()[0].place.file, config.file);
    EXPECT_THAT(policy.error()[0].message, ::testing::HasSubstr("no memory"));
  }
  EXPECT_EQ(run(*policy_of(config), get("/")).last, Step::proceed);
}

}  // namespace
}  // namespace gatehouse::waf::testing
#endif
