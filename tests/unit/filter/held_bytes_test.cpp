// How tenants and clients share the memory in which bodies wait.
#include "gateway/filter/held_bytes.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "gateway/filter/client_bytes.hpp"

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

  // Of a client's own, if none is named.
  HeldBytes& begin(ByteCount& tenant, std::shared_ptr<ByteCount> client = nullptr) {
    if (!client) client = std::make_shared<ByteCount>(0);
    exchanges.emplace_back().open({process, tenant, std::move(client)});
    return exchanges.back();
  }
  // As many exchanges of `bytes` as the tenant and the client may have.
  std::size_t fill(ByteCount& tenant, std::size_t bytes, const std::shared_ptr<ByteCount>& client = nullptr) {
    std::size_t count = 0;
    while (begin(tenant, client).grow(limit, bytes)) ++count;
    return count;
  }
};

TEST_F(HeldBytesTest, CountsForTheProcessAndTheTenant) {
  HeldBytes& one = begin(shop);
  ASSERT_TRUE(one.grow(limit, 100'000));
  EXPECT_GE(one.held(), 100'000U);
  EXPECT_EQ(process.load(), one.held());
  EXPECT_EQ(shop.load(), one.held());
  EXPECT_EQ(blog.load(), 0U);
  ASSERT_TRUE(one.grow(limit, 300'000));
  EXPECT_GE(one.held(), 300'000U);
  one.release();
  EXPECT_EQ(process.load(), 0U);
  EXPECT_EQ(shop.load(), 0U);
}

TEST_F(HeldBytesTest, GivesBackWhenItGoes) {
  {
    HeldBytes one;
    one.open({process, shop, std::make_shared<ByteCount>(0)});
    ASSERT_TRUE(one.grow(limit, 1));
    EXPECT_GT(process.load(), 0U);
  }
  EXPECT_EQ(process.load(), 0U);
}

TEST_F(HeldBytesTest, ATenantsOnlyRequestMayHaveAll) {
  HeldBytes& one = begin(shop);
  EXPECT_TRUE(one.grow(limit, limit));
  EXPECT_EQ(process.load(), limit);
  EXPECT_FALSE(one.grow(limit, limit + 1));
  EXPECT_EQ(process.load(), limit) << "a refusal changes nothing";
}

TEST_F(HeldBytesTest, ManyRequestsOfATenantGetHalf) { EXPECT_EQ(fill(shop, 50'000), limit / 53'248 / 2); }

TEST_F(HeldBytesTest, AnotherTenantAlwaysFindsSomething) {
  const std::size_t first = fill(shop, 50'000);
  const std::size_t second = fill(blog, 50'000);
  EXPECT_GE(second, first / 2);
  EXPECT_GE(fill(others.emplace_back(0), 50'000), 1U);
}

TEST_F(HeldBytesTest, AClientOfManyTenantsGetsHalf) {
  const auto client = std::make_shared<ByteCount>(0);
  std::size_t count = 0;
  for (int i = 0; i < 50; ++i) count += fill(others.emplace_back(0), 50'000, client);
  EXPECT_EQ(count, limit / 53'248 / 2);
  EXPECT_GE(fill(blog, 50'000), 3U) << "somebody else";
}

TEST_F(HeldBytesTest, ShrinkGivesBackAndNothingElse) {
  HeldBytes& one = begin(shop);
  ASSERT_TRUE(one.grow(limit, 300'000));
  one.shrink(100'000);
  EXPECT_EQ(one.held(), 100'000U);
  EXPECT_EQ(process.load(), 100'000U);
  one.shrink(200'000);
  EXPECT_EQ(shop.load(), 100'000U);
}

TEST(ClientBytes, AreKeptWhileSomebodyUsesThem) {
  ClientBytes clients;
  const IpAddress here = *IpAddress::parse("192.0.2.1");
  auto one = clients.of(here);
  EXPECT_EQ(one, clients.of(here));
  EXPECT_NE(one, clients.of(*IpAddress::parse("192.0.2.2")));
  EXPECT_EQ(clients.of(*IpAddress::parse("2001:db8::1")), clients.of(*IpAddress::parse("2001:db8::2"))) << "one /64";
  EXPECT_EQ(clients.size(), 1U) << "temporaries are gone";
  one.reset();
  EXPECT_EQ(clients.size(), 0U);
}

TEST_F(HeldBytesTest, NeverExceedsTheLimit) {
  for (int i = 0; i < 50; ++i) fill(others.emplace_back(0), 10'000);
  EXPECT_LE(process.load(), limit);
}

}  // namespace
}  // namespace gatehouse::filter
