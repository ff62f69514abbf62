// How tenants share the memory in which bodies wait.
#include "gateway/filter/held_bytes.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace gatehouse::filter {
namespace {

constexpr std::size_t limit = 1'000'000;

class HeldBytesTest : public testing::Test {
 protected:
  ByteCount process = 0;
  ByteCount shop = 0;
  ByteCount blog = 0;
  std::deque<ByteCount> others;
  std::deque<HeldBytes> exchanges;  // the last: counts outlive what is counted

  // As many exchanges of `bytes` as the tenant may have.
  std::size_t fill(ByteCount& tenant, std::size_t bytes) {
    std::size_t count = 0;
    while (exchanges.emplace_back().grow(process, tenant, limit, bytes)) ++count;
    return count;
  }
};

TEST_F(HeldBytesTest, CountsForTheProcessAndTheTenant) {
  HeldBytes one;
  ASSERT_TRUE(one.grow(process, shop, limit, 100'000));
  EXPECT_GE(one.held(), 100'000U);
  EXPECT_EQ(process.load(), one.held());
  EXPECT_EQ(shop.load(), one.held());
  EXPECT_EQ(blog.load(), 0U);
  ASSERT_TRUE(one.grow(process, shop, limit, 300'000));
  EXPECT_GE(one.held(), 300'000U);
  one.release();
  EXPECT_EQ(process.load(), 0U);
  EXPECT_EQ(shop.load(), 0U);
}

TEST_F(HeldBytesTest, GivesBackWhenItGoes) {
  {
    HeldBytes one;
    ASSERT_TRUE(one.grow(process, shop, limit, 1));
    EXPECT_GT(process.load(), 0U);
  }
  EXPECT_EQ(process.load(), 0U);
}

TEST_F(HeldBytesTest, ATenantsOnlyRequestMayHaveAll) {
  HeldBytes one;
  EXPECT_TRUE(one.grow(process, shop, limit, limit));
  EXPECT_EQ(process.load(), limit);
  EXPECT_FALSE(one.grow(process, shop, limit, limit + 1));
  EXPECT_EQ(process.load(), limit) << "a refusal changes nothing";
}

TEST_F(HeldBytesTest, ManyRequestsOfATenantGetHalf) { EXPECT_EQ(fill(shop, 50'000), limit / 53'248 / 2); }

TEST_F(HeldBytesTest, AnotherTenantAlwaysFindsSomething) {
  const std::size_t first = fill(shop, 50'000);
  const std::size_t second = fill(blog, 50'000);
  EXPECT_GE(second, first / 2);
  EXPECT_GE(fill(others.emplace_back(0), 50'000), 1U);
}

TEST_F(HeldBytesTest, NeverExceedsTheLimit) {
  for (int i = 0; i < 50; ++i) fill(others.emplace_back(0), 10'000);
  EXPECT_LE(process.load(), limit);
}

}  // namespace
}  // namespace gatehouse::filter
