// Metrics: cells, text format, pruning.
#include "gateway/runtime/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace gatehouse::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr MetricFamily requests{"test_requests_total", "Requests", MetricKind::counter, {"tenant", "code"}, true};
constexpr MetricFamily level{"test_level", "Level", MetricKind::gauge, {}, false};
constexpr MetricFamily duration{"test_duration_seconds", "Duration", MetricKind::histogram, {"tenant"}, true};

TEST(Metrics, SumsTheCellsOfAllWriters) {
  Metrics metrics(4);
  const auto counter = metrics.counter(requests, {"shop", "2xx"});
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      set_metric_writer(i);
      for (int n = 0; n < 10'000; ++n) counter->add();
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter->value(), 40'000U);
  EXPECT_THAT(metrics.serialize(), HasSubstr("test_requests_total{tenant=\"shop\",code=\"2xx\"} 40000"));
}

TEST(Metrics, GivesTheSameSeriesForTheSameLabels) {
  Metrics metrics(1);
  EXPECT_EQ(metrics.counter(requests, {"a", "2xx"}), metrics.counter(requests, {"a", "2xx"}));
  EXPECT_NE(metrics.counter(requests, {"a", "2xx"}), metrics.counter(requests, {"b", "2xx"}));
}

TEST(Gauge, GoesDownAsWellAsUp) {
  Metrics metrics(2);
  const auto gauge = metrics.gauge(level, {});
  gauge->add(3);
  gauge->add(-5);
  EXPECT_EQ(gauge->value(), -2);
  gauge->set_whole(7);
  EXPECT_EQ(gauge->value(), 7);
}

TEST(Histogram, CountsIntoCumulativeBuckets) {
  Metrics metrics(1);
  const auto histogram = metrics.histogram(duration, {"shop"});
  histogram->observe_nanoseconds(100'000);         // 0.1 ms
  histogram->observe_nanoseconds(3'000'000);       // 3 ms
  histogram->observe_nanoseconds(60'000'000'000);  // beyond the last bound
  EXPECT_EQ(histogram->count(), 3U);
  const std::string text = metrics.serialize();
  EXPECT_THAT(text, HasSubstr("test_duration_seconds_bucket{tenant=\"shop\",le=\"0.00025\"} 1"));
  EXPECT_THAT(text, HasSubstr("test_duration_seconds_bucket{tenant=\"shop\",le=\"0.005\"} 2"));
  EXPECT_THAT(text, HasSubstr("test_duration_seconds_bucket{tenant=\"shop\",le=\"10\"} 2"));
  EXPECT_THAT(text, HasSubstr("test_duration_seconds_bucket{tenant=\"shop\",le=\"+Inf\"} 3"));
  EXPECT_THAT(text, HasSubstr("test_duration_seconds_count{tenant=\"shop\"} 3"));
}

TEST(Metrics, ForgetsATenantsSeriesButNotTheProcesss) {
  Metrics metrics(1);
  metrics.counter(requests, {"gone", "2xx"})->add();
  metrics.counter(requests, {"stays", "2xx"})->add();
  metrics.gauge(level, {})->set_whole(1);
  const auto held = metrics.counter(requests, {"gone", "2xx"});
  metrics.prune([](const MetricFamily&, std::span<const std::string> labels) { return labels.front() == "stays"; });
  const std::string text = metrics.serialize();
  EXPECT_THAT(text, Not(HasSubstr("gone")));
  EXPECT_THAT(text, HasSubstr("stays"));
  EXPECT_THAT(text, HasSubstr("test_level 1"));
  held->add();  // whoever still holds it may write to it
  EXPECT_EQ(held->value(), 2U);
}

TEST(Metrics, KeepsALabelFromBreakingTheText) {
  Metrics metrics(1);
  metrics.counter(requests, {"a\nb\xff", "2xx"})->add();
  EXPECT_THAT(metrics.serialize(), HasSubstr("tenant=\"a_b_\""));
}

TEST(LazyCounter, IsMadeAtItsFirstUseAndOnce) {
  Metrics metrics(1);
  LazyCounter lazy;
  int made = 0;
  EXPECT_THAT(metrics.serialize(), Not(HasSubstr("test_requests_total")));
  for (int i = 0; i < 3; ++i)
    lazy.get([&] {
          ++made;
          return metrics.counter(requests, {"shop", "2xx"});
        })
        .add();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(metrics.counter(requests, {"shop", "2xx"})->value(), 3U);
}

}  // namespace
}  // namespace gatehouse::runtime
