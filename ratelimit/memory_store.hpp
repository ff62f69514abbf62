// Buckets in this process's memory: what counts when there is no Redis, and the local share when it is lost.
// Shared by all workers of the process. Called by filter/ratelimit.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ratelimit/limit_key.hpp"
#include "ratelimit/siphash.hpp"

namespace gatehouse::ratelimit {

/// Bounded: at most `max_buckets` (rounded up to one each shard), some 80 bytes each. A bucket that would be full again
/// is forgotten first, which nobody notices: each new bucket clears away up to two of these. When all are in use the
/// one of the shard that would be full soonest is forgotten, so that a flood of new keys (whose buckets lack one token
/// each) cannot refill the bucket of a limited client. Keys are kept as 128-bit fingerprints under a secret drawn at
/// start, so a client can aim neither at another's bucket nor at one shard.
/// Thread-safe: sharded; the locks of a request's shards are held for its arithmetic alone, and always taken in one
/// order.
class MemoryStore {
 public:
  explicit MemoryStore(std::size_t max_buckets = 1'000'000);
  ~MemoryStore();
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  /// Takes one token of each bucket if every one has one; if one lacks it, none is charged (CONTRACT: what is refused
  /// takes nothing). `decisions` has one entry for each request, in order: `allowed` is about that bucket, the request
  /// may pass if all are. A key that is given twice is charged once. `now` is of one clock in all calls.
  void take_all(std::span<const BucketRequest> requests, Microseconds now, std::span<Decision> decisions);

  [[nodiscard]] std::size_t size() const;

 private:
  struct Shard;
  std::size_t shard_count_;  // a power of two, at most 64
  std::unique_ptr<Shard[]> shards_;
  SipHash128 fingerprint_;
};

}  // namespace gatehouse::ratelimit
