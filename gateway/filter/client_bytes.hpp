// What each client holds of the memory in which bodies wait, over all workers. Asked once a request that has a body.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "config/address.hpp"
#include "gateway/filter/held_bytes.hpp"

namespace gatehouse::filter {

/// Counts by client (IPv6 by its /64), each there as long as somebody uses it. From any thread; outlives its counts.
class ClientBytes {
 public:
  [[nodiscard]] std::shared_ptr<ByteCount> of(const IpAddress& client) {
    const IpAddress key = client.truncated(32, 64);
    Shard& shard = shards_[std::hash<IpAddress>()(key) % shards_.size()];
    const std::lock_guard lock(shard.mutex);
    std::weak_ptr<ByteCount>& known = shard.counts[key];
    if (auto count = known.lock()) return count;
    // The next of(), if it came first, has put another in its place.
    std::shared_ptr<ByteCount> count(new ByteCount(0), [&shard, key](ByteCount* done) {
      delete done;
      const std::lock_guard again(shard.mutex);
      const auto found = shard.counts.find(key);
      if (found != shard.counts.end() && found->second.expired()) shard.counts.erase(found);
    });
    known = count;
    return count;
  }
  [[nodiscard]] std::size_t size() {
    std::size_t sum = 0;
    for (Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      sum += shard.counts.size();
    }
    return sum;
  }

 private:
  struct Shard {
    std::mutex mutex;
    std::unordered_map<IpAddress, std::weak_ptr<ByteCount>> counts;
  };
  std::array<Shard, 16> shards_;
};

}  // namespace gatehouse::filter
