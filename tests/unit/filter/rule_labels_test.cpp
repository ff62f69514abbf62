// How many rules of a tenant have series of their own.
#include "gateway/filter/rule_labels.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

namespace gatehouse::filter {
namespace {

TEST(RuleLabels, KeepsWhatHasASeriesWhenNewRulesGetNoneAnyMore) {
  RuleLabels labels;
  for (std::uint32_t rule = 0; rule < RuleLabels::most; ++rule) EXPECT_TRUE(labels.admit(rule)) << rule;
  EXPECT_FALSE(labels.admit(10'000));
  EXPECT_TRUE(labels.admit(0));
  EXPECT_TRUE(labels.admit(RuleLabels::most - 1));
  EXPECT_FALSE(labels.admit(10'000));
}

TEST(RuleLabels, AreNoMoreThanPermittedWithSeveralThreads) {
  RuleLabels labels;
  std::atomic<std::size_t> admitted = 0;
  std::array<std::thread, 4> threads;
  for (std::uint32_t i = 0; i < threads.size(); ++i)
    threads[i] = std::thread([&, i] {
      for (std::uint32_t rule = 0; rule < 200; ++rule) admitted += labels.admit(200 * i + rule) ? 1 : 0;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, RuleLabels::most);
}

}  // namespace
}  // namespace gatehouse::filter
