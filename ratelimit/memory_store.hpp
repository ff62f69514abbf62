// Buckets in this process's memory: what counts when there is no Redis, and the local share when it is lost.
// Shared by all workers of the process.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ratelimit/limit_key.hpp"

namespace gatehouse::ratelimit {

/// Bounded: at most `max_buckets`; a bucket that would be full again is forgotten first. When all are in use the
/// fullest bucket of the shard is forgotten, so that a flood of new keys cannot refill the bucket of a limited client.
/// Thread-safe: sharded, a lock is held for the arithmetic alone.
class MemoryStore {
 public:
  explicit MemoryStore(std::size_t max_buckets = 1'000'000);
  ~MemoryStore();
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  /// Takes one token of each bucket if every one has one; if one lacks it, none is charged (CONTRACT: what is refused
  /// takes nothing). `decisions` has one entry for each request, in order.
  void take_all(std::span<const BucketRequest> requests, Microseconds now, std::span<Decision> decisions);

  [[nodiscard]] std::size_t size() const;

 private:
  struct Shard;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace gatehouse::ratelimit
