// The memory store; see memory_store.hpp. One bucket's life is in memory_shard.cpp.
#include "ratelimit/memory_store.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <stdexcept>

#include "ratelimit/memory_shard.hpp"

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kMaxShards = 64;  // a set of shards is the bits of one integer
constexpr std::size_t kBucketsThatNeedAShard = 1024;

std::size_t shards_for(std::size_t max_buckets) noexcept {
  return std::min(kMaxShards, std::bit_ceil(max_buckets / kBucketsThatNeedAShard + 1));
}

SipHash128 random_fingerprint() {
  std::array<std::uint64_t, 2> secret;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(secret.data()), sizeof(secret)) != 1) {
    throw std::runtime_error("no random numbers for the limits' store");
  }
  return {secret[0], secret[1]};
}

}  // namespace

// A cache line of its own for each lock: workers on different shards do not disturb each other.
struct alignas(64) MemoryStore::Shard {
  mutable std::mutex mutex;
  MemoryShard buckets{1};
};

MemoryStore::MemoryStore(std::size_t max_buckets)
    : shard_count_(shards_for(max_buckets)),
      shards_(std::make_unique<Shard[]>(shard_count_)),
      fingerprint_(random_fingerprint()) {
  constexpr std::size_t kMostEntries = 0xFFFFFFFE;
  const std::size_t each = std::clamp<std::size_t>(max_buckets / shard_count_, 1, kMostEntries);
  for (std::size_t i = 0; i < shard_count_; ++i) shards_[i].buckets = MemoryShard{each};
}

MemoryStore::~MemoryStore() = default;

void MemoryStore::take_all(std::span<const BucketRequest> requests, Microseconds now, std::span<Decision> decisions) {
  struct Bucket {
    Fingerprint key;
    RefillStep step;
    MemoryShard* shard;
    bool repeated;
  };
  // The usual request has one limit or a few; only more of them need the heap.
  std::array<Bucket, 8> inline_buckets;
  std::vector<Bucket> more;
  std::span<Bucket> buckets{inline_buckets.data(), std::min(requests.size(), inline_buckets.size())};
  if (requests.size() > inline_buckets.size()) {
    more.resize(requests.size());
    buckets = more;
  }

  std::uint64_t shards = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Fingerprint key = fingerprint_(requests[i].key);
    const std::size_t shard = key.high & (shard_count_ - 1);
    shards |= std::uint64_t{1} << shard;
    const auto earlier = buckets.first(i);
    const bool repeated = std::ranges::find(earlier, key, &Bucket::key) != earlier.end();
    buckets[i] = {key, refill_step(requests[i].parameters), &shards_[shard].buckets, repeated};
  }

  struct Locks {
    Shard* all;
    std::uint64_t taken;
    Locks(Shard* store_shards, std::uint64_t wanted) : all(store_shards), taken(wanted) {
      for (std::uint64_t rest = wanted; rest != 0; rest &= rest - 1) all[std::countr_zero(rest)].mutex.lock();
    }
    ~Locks() {
      for (std::uint64_t rest = taken; rest != 0; rest &= rest - 1) all[std::countr_zero(rest)].mutex.unlock();
    }
    Locks(const Locks&) = delete;
    Locks& operator=(const Locks&) = delete;
  } const locks{shards_.get(), shards};

  bool all_allowed = true;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    BucketState* const found = buckets[i].shard->find(buckets[i].key);
    if (found != nullptr) refill(buckets[i].step, *found, now);
    decisions[i] = peek(buckets[i].step, found != nullptr ? *found : full_bucket(buckets[i].step, now), now);
    all_allowed = all_allowed && decisions[i].allowed;
  }
  if (!all_allowed) return;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (buckets[i].repeated) {
      decisions[i] = decisions[static_cast<std::size_t>(std::ranges::find(buckets, buckets[i].key, &Bucket::key) -
                                                        buckets.begin())];
      continue;
    }
    // Looked up again: an insertion for this very request may have moved or forgotten it.
    if (BucketState* const found = buckets[i].shard->find(buckets[i].key); found != nullptr) {
      decisions[i] = take(buckets[i].step, *found, now);
      buckets[i].shard->set_full_at(found, now + decisions[i].reset_after);
    } else {
      BucketState state = full_bucket(buckets[i].step, now);
      decisions[i] = take(buckets[i].step, state, now);
      buckets[i].shard->insert(buckets[i].key, state, now + decisions[i].reset_after, now);
    }
  }
}

std::size_t MemoryStore::size() const {
  std::size_t total = 0;
  for (std::size_t i = 0; i < shard_count_; ++i) {
    const std::scoped_lock lock{shards_[i].mutex};
    total += shards_[i].buckets.size();
  }
  return total;
}

}  // namespace gatehouse::ratelimit
