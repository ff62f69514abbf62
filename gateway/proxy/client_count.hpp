// How many connections each client has open, over all workers. Asked once a connection, not once a request.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "config/address.hpp"

namespace gatehouse::proxy {

class ClientCount {
 public:
  /// Counts one more connection of `client` (IPv6 by its /64); false and not counted if it has `limit` already.
  [[nodiscard]] bool enter(const IpAddress& client, std::size_t limit) {
    const IpAddress key = client.truncated(32, 64);
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    std::size_t& count = shard.counts[key];
    if (count >= limit) return false;
    ++count;
    return true;
  }
  void leave(const IpAddress& client) {
    const IpAddress key = client.truncated(32, 64);
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.counts.find(key);
    if (found != shard.counts.end() && --found->second == 0) shard.counts.erase(found);
  }

 private:
  struct Shard {
    std::mutex mutex;
    std::unordered_map<IpAddress, std::size_t> counts;
  };
  Shard& shard_of(const IpAddress& key) { return shards_[std::hash<IpAddress>()(key) % shards_.size()]; }
  std::array<Shard, 16> shards_;
};

}  // namespace gatehouse::proxy
