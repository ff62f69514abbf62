// Buckets in this process's memory: what counts when there is no Redis, and the local share when it is lost.
// Shared by all workers of the process. Called by filter/ratelimit.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ratelimit/limit_key.hpp"
#include "ratelimit/siphash.hpp"

namespace gatehouse::ratelimit {

/// Bounded: at most `max_buckets` (rounded up to one each shard), some 100 bytes each. A bucket that would be full again
/// is forgotten first, which nobody notices: each new bucket clears away up to two of these. When all are in use the
/// tenant that has the most loses the one that would be full soonest, so that a flood of new keys (whose buckets lack one
/// token each) cannot refill the bucket of a limited client, and those of one tenant fill nobody else's. Keys are kept as 128-bit fingerprints under a secret drawn at
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
  /// `owing`: the common store is lost, and is to be told of these tokens when it is back.
  void take_all(std::span<const BucketRequest> requests, Microseconds now, std::span<Decision> decisions,
                bool owing = false);

  // --- beside a common store, so that counting goes on here where it stopped there, and there where it stopped here

  /// The common store has decided so: what each bucket holds there is kept here as this gateway's share of it. A bucket
  /// that is not here yet and lacks no more than a twentieth of its capacity is left alone: it is as good as full, and
  /// clients that come once do not fill the memory.
  void mirror(std::span<const BucketRequest> requests, std::span<const Decision> decisions, std::uint64_t gateways,
              Microseconds now);

  /// The common store has been lost to this gateway, be it for a moment: it may have lost its buckets.
  void store_lost(Microseconds now) noexcept;

  /// What the next call for these buckets is to tell the common store. The tokens that are owed are in the caller's
  /// hands from then on, so that of several calls only one tells of them. False: nothing; `debts` are then all zero.
  [[nodiscard]] bool take_debts(std::span<const BucketRequest> requests, std::uint64_t gateways, Microseconds now,
                                std::span<Debt> debts);
  /// The call did not reach the store.
  void put_back(std::span<const BucketRequest> requests, std::span<const Debt> debts);

  [[nodiscard]] std::size_t size() const;

 private:
  struct Shard;
  [[nodiscard]] Shard& shard_of(const Fingerprint& key) const noexcept;
  [[nodiscard]] std::uint64_t owner_of(std::string_view key) const noexcept;
  std::size_t shard_count_;  // a power of two, at most 64
  std::unique_ptr<Shard[]> shards_;
  SipHash128 fingerprint_;
  // Before the first trouble nobody needs to look for debts.
  std::atomic<Microseconds::rep> lost_at_ = kNeverLost;
  std::atomic<bool> has_owed_ = false;
  static constexpr Microseconds::rep kNeverLost = -1;
};

}  // namespace gatehouse::ratelimit
