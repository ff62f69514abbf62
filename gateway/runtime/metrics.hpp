// Metrics as per-worker cells with a single writer, summed when Prometheus asks. On the request path an increment
// is one relaxed load and store on a cache line of the worker's own.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::runtime {

/// Which cell the calling thread writes: 0 .. writers-1. Each writing thread has one of its own.
void set_metric_writer(unsigned index) noexcept;
[[nodiscard]] unsigned metric_writer() noexcept;

namespace detail {
struct alignas(64) Cell {
  std::atomic<std::uint64_t> value{0};
  void add(std::uint64_t amount) noexcept {
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
};
}  // namespace detail

enum class MetricKind { counter, gauge, histogram };

/// A metric family: fixed at compile time, listed in metric_families.hpp.
struct MetricFamily {
  const char* name;
  const char* help;
  MetricKind kind;
  std::array<const char*, 5> labels;  // null-padded
  bool per_tenant = false;            // the first label is a tenant; series go when the tenant does
  [[nodiscard]] std::size_t label_count() const noexcept;
};

/// One labelled series.
class Series {
 public:
  explicit Series(std::size_t cells) : cells_(cells) {}
  std::vector<std::string> labels;

 protected:
  friend class Metrics;
  std::vector<detail::Cell> cells_;
};

class Counter : public Series {
 public:
  using Series::Series;
  void add(std::uint64_t amount = 1) noexcept { cells_[metric_writer()].add(amount); }
  /// Shows a count that is kept elsewhere; then nobody calls add().
  void set_whole(std::uint64_t value) noexcept;
  [[nodiscard]] std::uint64_t value() const noexcept;
};

/// A sum of each writer's contribution: for what goes up and down.
class Gauge : public Series {
 public:
  using Series::Series;
  void add(std::int64_t amount) noexcept { cells_[metric_writer()].add(static_cast<std::uint64_t>(amount)); }
  /// Replaces the calling writer's contribution; for gauges with one writer.
  void set(std::int64_t value) noexcept {
    cells_[metric_writer()].value.store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
  }
  /// Makes the gauge's whole value `value`, whoever contributed; for gauges that are set under a lock.
  void set_whole(std::int64_t value) noexcept;
  [[nodiscard]] std::int64_t value() const noexcept;
};

/// Durations in seconds, in buckets from 250 us to 10 s.
class Histogram : public Series {
 public:
  static constexpr std::array<double, 14> bounds{0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                 0.05,    0.1,    0.25,  0.5,    1,     2.5,  10};
  static constexpr std::size_t cells_a_writer = bounds.size() + 2;  // the last bucket and the sum in nanoseconds

  explicit Histogram(std::size_t writers);
  void observe_nanoseconds(std::uint64_t nanoseconds) noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;

 private:
  friend class Metrics;
  struct Block {
    std::array<std::atomic<std::uint64_t>, cells_a_writer> values{};
    char padding[64];
  };
  std::vector<Block> blocks_;
};

/// All series of the process. Looking a series up takes a lock; hold on to what it returns.
class Metrics {
 public:
  explicit Metrics(std::size_t writers) : writers_(writers) {}

  [[nodiscard]] std::shared_ptr<Counter> counter(const MetricFamily& family, std::vector<std::string> labels);
  [[nodiscard]] std::shared_ptr<Gauge> gauge(const MetricFamily& family, std::vector<std::string> labels);
  [[nodiscard]] std::shared_ptr<Histogram> histogram(const MetricFamily& family, std::vector<std::string> labels);

  /// Forgets the series of tenants for which `keep` is false; whoever still holds one may go on writing to it.
  void prune(const std::function<bool(const MetricFamily& family, std::span<const std::string> labels)>& keep);
  /// Forgets one family's series for which `keep` is false.
  void prune(const MetricFamily& family, const std::function<bool(std::span<const std::string> labels)>& keep);

  /// Prometheus text format.
  [[nodiscard]] std::string serialize() const;

 private:
  template <class T>
  std::shared_ptr<T> find_or_make(const MetricFamily& family, std::vector<std::string> labels, std::size_t cells);

  struct Family {
    const MetricFamily* description;
    std::map<std::vector<std::string>, std::shared_ptr<Series>> series;
  };
  std::size_t writers_;
  mutable std::mutex mutex_;
  std::map<std::string_view, Family> families_;
};

/// A counter that is looked up at its first use: label combinations that never happen are never exposed.
class LazyCounter {
 public:
  /// `make` returns the series; the pin keeps it alive as long as this object.
  template <class Make>
  Counter& get(Make&& make) {
    Counter* known = pointer_.load(std::memory_order_acquire);
    if (known == nullptr) [[unlikely]] {
      const std::lock_guard lock(mutex());
      if (!pin_) pin_ = make();
      known = pin_.get();
      pointer_.store(known, std::memory_order_release);
    }
    return *known;
  }

 private:
  static std::mutex& mutex() noexcept;
  std::atomic<Counter*> pointer_ = nullptr;
  std::shared_ptr<Counter> pin_;
};

}  // namespace gatehouse::runtime
