// Which rules of a tenant have a metric series of their own: as many as match first. Asked for each match that is counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>

namespace gatehouse::filter {

/// From any thread; a rule keeps its series as long as the tenant is served.
class RuleLabels {
 public:
  static constexpr std::size_t most = 500;  // what one tenant may add to a scrape

  /// Whether `rule` has a series, now if not before; false: it counts with the others.
  [[nodiscard]] bool admit(std::uint32_t rule) {
    const std::lock_guard lock(mutex_);
    if (known_.contains(rule)) return true;
    if (known_.size() >= most) return false;
    known_.insert(rule);
    return true;
  }

 private:
  std::mutex mutex_;
  std::set<std::uint32_t> known_;
};

}  // namespace gatehouse::filter
