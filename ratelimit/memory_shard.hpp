// One shard of the memory store: a bounded hash table of buckets with an order of forgetting. Not thread-safe; the
// store locks around it. Called by ratelimit/memory_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
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
  MemoryShard(const MemoryShard&) = delete;
  MemoryShard& operator=(const MemoryShard&) = delete;
  /// Before the first insert().
  void hold_at_most(std::size_t max_entries) noexcept { max_entries_ = max_entries; }

  /// The bucket of that name, or null. Valid until the next insert().
  [[nodiscard]] KeptBucket* find(const Fingerprint& key) noexcept;

  /// Says when a bucket that find() gave will be full, after each charge: until then it is kept if there is room.
  void set_full_at(const KeptBucket* found, Microseconds full_at) noexcept;

  /// Adds a bucket of `owner` that is not there yet; forgets others as MemoryStore describes.
  void insert(const Fingerprint& key, std::uint64_t owner, const KeptBucket& bucket, Microseconds full_at,
              Microseconds now);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  struct Place {
    Microseconds full_at;
    std::uint32_t entry;
  };
  using Order = std::vector<Place>;  // a binary heap, the first to be full on top
  using Owners = std::map<std::uint64_t, Order>;  // those with buckets

  struct Entry {
    KeptBucket bucket;  // first, so that find()'s result leads back to its entry
    Fingerprint key;
    std::uint32_t next = kNone;  // in its chain of the hash table, or among the free entries
    std::uint32_t place = 0;     // in its owner's order
    Owners::iterator owner;
  };

  [[nodiscard]] std::uint32_t& chain_of(const Fingerprint& key) noexcept {
    return heads_[key.low & (heads_.size() - 1)];
  }
  void put(Order& order, std::size_t at, const Place& place) noexcept;
  void sift_up(Order& order, std::size_t at) noexcept;
  void sift_down(Order& order, std::size_t at) noexcept;
  /// The first to be full of an owner's; the owner goes with the last.
  void forget_first(Owners::iterator owner) noexcept;
  void erase(Owners::iterator owner) noexcept;
  void forget_full_one(Owners::iterator own, Microseconds now) noexcept;
  [[nodiscard]] Owners::iterator next_owner() noexcept;
  [[nodiscard]] Owners::iterator largest_owner() noexcept;
  void grow_table();

  std::size_t max_entries_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> heads_;  // of the chains; a power of two, empty at first
  Owners owners_;
  Owners::iterator turn_ = owners_.end();     // whose buckets are looked at next
  Owners::iterator largest_ = owners_.end();  // as far as is known
  std::size_t size_ = 0;
  std::uint32_t free_ = kNone;
};

}  // namespace gatehouse::ratelimit
