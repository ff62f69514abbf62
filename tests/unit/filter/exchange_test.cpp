// Exchanges that are used again: what they forget and what they give back.
#include "gateway/filter/exchange.hpp"

#include <gtest/gtest.h>

namespace gatehouse::filter {
namespace {

class ExchangeTest : public testing::Test {
 protected:
  runtime::Loop loop;
  runtime::Metrics metrics{1};
  ratelimit::MemoryStore memory;
  upstream::ConnectionBudget budget{10};
  WorkerContext worker{0, loop, metrics, memory, budget};
  Exchange exchange{worker};
};

TEST_F(ExchangeTest, GivesTheMemoryOfALargeBodyBack) {
  exchange.body.assign(10'000'000, 'x');
  exchange.reset();
  EXPECT_TRUE(exchange.body.empty());
  EXPECT_LE(exchange.body.capacity(), 64U * 1024);
}

TEST_F(ExchangeTest, KeepsTheMemoryOfAnOrdinaryBody) {
  exchange.body.assign(10'000, 'x');
  exchange.reset();
  EXPECT_TRUE(exchange.body.empty());
  EXPECT_GE(exchange.body.capacity(), 10'000U);
}

}  // namespace
}  // namespace gatehouse::filter
