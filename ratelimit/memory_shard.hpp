// One shard of the memory store: a bounded hash table of buckets with an order of forgetting. Not thread-safe; the
// store locks around it. Called by ratelimit/memory_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ratelimit/bucket.hpp"
#include "ratelimit/siphash.hpp"

namespace gatehouse::ratelimit {

/// What is kept of a bucket.
struct KeptBucket {
  BucketState state;
  std::uint64_t owed = 0;     // micro-tokens taken here that the common store has not been told of
  Microseconds shared_at{0};  // when the common store's content was last copied here; 0: never
};

class MemoryShard {
 public:
  /// `max_entries`: at least 1, below 2^32 - 1.
  explicit MemoryShard(std::size_t max_entries) : max_entries_(max_entries) {}

  /// The bucket of that name, or null. Valid until the next insert().
  [[nodiscard]] KeptBucket* find(const Fingerprint& key) noexcept;

  /// Says when a bucket that find() gave will be full, after each charge: until then it is kept if there is room.
  void set_full_at(const KeptBucket* found, Microseconds full_at) noexcept;

  /// Adds a bucket that is not there yet; forgets others as MemoryStore describes.
  void insert(const Fingerprint& key, const KeptBucket& bucket, Microseconds full_at, Microseconds now);

  [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  struct Entry {
    KeptBucket bucket;  // first, so that find()'s result leads back to its entry
    Fingerprint key;
    std::uint32_t next = kNone;  // in its chain of the hash table, or among the free entries
    std::uint32_t place = 0;     // in order_
  };

  struct Place {
    Microseconds full_at;
    std::uint32_t entry;
  };

  [[nodiscard]] std::uint32_t& chain_of(const Fingerprint& key) noexcept {
    return heads_[key.low & (heads_.size() - 1)];
  }
  void put(std::size_t at, const Place& place) noexcept;
  void sift_up(std::size_t at) noexcept;
  void sift_down(std::size_t at) noexcept;
  void forget_first() noexcept;
  void grow_table();

  std::size_t max_entries_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> heads_;  // of the chains; a power of two, empty at first
  std::vector<Place> order_;          // a binary heap, the first to be full on top
  std::uint32_t free_ = kNone;
};

}  // namespace gatehouse::ratelimit
