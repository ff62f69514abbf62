// Metrics; see metrics.hpp. prometheus-cpp writes the text format and nothing else.
#include "gateway/runtime/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>

namespace gatehouse::runtime {

namespace {

thread_local unsigned writer_index = 0;

// prometheus-cpp leaves newlines in HELP and bytes that are not UTF-8 in labels as they are: ours come from checked
// configuration, and this keeps a mistake there from breaking the whole page.
std::string clean(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f ? '_' : c;
  return out;
}

}  // namespace

void set_metric_writer(unsigned index) noexcept { writer_index = index; }
unsigned metric_writer() noexcept { return writer_index; }

std::size_t MetricFamily::label_count() const noexcept {
  std::size_t count = 0;
  while (count < labels.size() && labels[count] != nullptr) ++count;
  return count;
}

std::uint64_t Counter::value() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
  return sum;
}

std::int64_t Gauge::value() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
  return static_cast<std::int64_t>(sum);
}

void Gauge::set_whole(std::int64_t value) noexcept {
  for (auto& cell : cells_) cell.value.store(0, std::memory_order_relaxed);
  cells_[0].value.store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
}

void Counter::set_whole(std::uint64_t value) noexcept { cells_[0].value.store(value, std::memory_order_relaxed); }

Histogram::Histogram(std::size_t writers) : Series(0), blocks_(writers) {}

void Histogram::observe_nanoseconds(std::uint64_t nanoseconds) noexcept {
  const double seconds = static_cast<double>(nanoseconds) * 1e-9;
  std::size_t bucket = 0;
  while (bucket < bounds.size() && seconds > bounds[bucket]) ++bucket;
  auto& values = blocks_[metric_writer()].values;
  const auto add = [](std::atomic<std::uint64_t>& cell, std::uint64_t amount) {
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  };
  add(values[bucket], 1);
  add(values[bounds.size() + 1], nanoseconds);
}

std::uint64_t Histogram::count() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& block : blocks_)
    for (std::size_t i = 0; i <= bounds.size(); ++i) sum += block.values[i].load(std::memory_order_relaxed);
  return sum;
}

template <class T>
std::shared_ptr<T> Metrics::find_or_make(const MetricFamily& family, std::vector<std::string> labels,
                                         std::size_t cells) {
  const std::lock_guard lock(mutex_);
  Family& entry = families_.try_emplace(family.name, Family{&family, {}}).first->second;
  std::shared_ptr<Series>& series = entry.series[labels];
  if (!series) {
    auto made = std::make_shared<T>(cells);
    made->labels = std::move(labels);
    series = made;
  }
  return std::static_pointer_cast<T>(series);
}

std::shared_ptr<Counter> Metrics::counter(const MetricFamily& family, std::vector<std::string> labels) {
  return find_or_make<Counter>(family, std::move(labels), writers_);
}
std::shared_ptr<Gauge> Metrics::gauge(const MetricFamily& family, std::vector<std::string> labels) {
  return find_or_make<Gauge>(family, std::move(labels), writers_);
}
std::shared_ptr<Histogram> Metrics::histogram(const MetricFamily& family, std::vector<std::string> labels) {
  return find_or_make<Histogram>(family, std::move(labels), writers_);
}

void Metrics::prune(const std::function<bool(const MetricFamily&, std::span<const std::string>)>& keep) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, family] : families_)
    if (family.description->per_tenant)
      std::erase_if(family.series, [&](const auto& item) { return !keep(*family.description, item.first); });
}

void Metrics::prune(const MetricFamily& description, const std::function<bool(std::span<const std::string>)>& keep) {
  const std::lock_guard lock(mutex_);
  const auto family = families_.find(description.name);
  if (family == families_.end()) return;
  std::erase_if(family->second.series, [&](const auto& item) { return !keep(item.first); });
}

std::string Metrics::serialize() const {
  std::vector<prometheus::MetricFamily> families;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, family] : families_) {
      const MetricFamily& description = *family.description;
      prometheus::MetricFamily out;
      out.name = description.name;
      out.help = clean(description.help);
      out.type = description.kind == MetricKind::counter ? prometheus::MetricType::Counter
                 : description.kind == MetricKind::gauge ? prometheus::MetricType::Gauge
                                                         : prometheus::MetricType::Histogram;
      for (const auto& [labels, series] : family.series) {
        prometheus::ClientMetric metric;
        for (std::size_t i = 0; i < labels.size() && i < description.label_count(); ++i)
          metric.label.push_back({description.labels[i], clean(labels[i])});
        if (description.kind == MetricKind::counter) {
          metric.counter.value = static_cast<double>(static_cast<const Counter&>(*series).value());
        } else if (description.kind == MetricKind::gauge) {
          metric.gauge.value = static_cast<double>(static_cast<const Gauge&>(*series).value());
        } else {
          const auto& histogram = static_cast<const Histogram&>(*series);
          std::uint64_t cumulative = 0;
          std::uint64_t nanoseconds = 0;
          for (std::size_t bucket = 0; bucket <= Histogram::bounds.size(); ++bucket) {
            for (const auto& block : histogram.blocks_)
              cumulative += block.values[bucket].load(std::memory_order_relaxed);
            prometheus::ClientMetric::Bucket entry;
            entry.cumulative_count = cumulative;
            entry.upper_bound =
                bucket < Histogram::bounds.size() ? Histogram::bounds[bucket] : std::numeric_limits<double>::infinity();
            metric.histogram.bucket.push_back(entry);
          }
          for (const auto& block : histogram.blocks_)
            nanoseconds += block.values[Histogram::bounds.size() + 1].load(std::memory_order_relaxed);
          metric.histogram.sample_count = cumulative;
          metric.histogram.sample_sum = static_cast<double>(nanoseconds) * 1e-9;
        }
        out.metric.push_back(std::move(metric));
      }
      if (!out.metric.empty()) families.push_back(std::move(out));
    }
  }
  const prometheus::TextSerializer serializer;
  std::ostringstream text;
  serializer.Serialize(text, families);
  return std::move(text).str();
}

std::mutex& LazyCounter::mutex() noexcept {
  static std::mutex shared;
  return shared;
}

}  // namespace gatehouse::runtime
