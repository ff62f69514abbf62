// The memory store; see memory_store.hpp. One bucket's life is in memory_shard.cpp.
#include "ratelimit/memory_store.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "ratelimit/memory_shard.hpp"

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kMaxShards = 64;  // a set of shards is the bits of one integer
constexpr std::size_t kBucketsThatNeedAShard = 1024;
constexpr std::uint64_t kOneToken = 1'000'000;        // in micro-tokens
constexpr std::uint64_t kAsGoodAsFull = 20;           // one part of so many may be missing

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
  for (std::size_t i = 0; i < shard_count_; ++i) shards_[i].buckets.hold_at_most(each);
}

MemoryStore::~MemoryStore() = default;

MemoryStore::Shard& MemoryStore::shard_of(const Fingerprint& key) const noexcept {
  return shards_[key.high & (shard_count_ - 1)];
}

// The tenant, which is the beginning of a key: see bucket_key().
std::uint64_t MemoryStore::owner_of(std::string_view key) const noexcept {
  const std::size_t end = key.find('}');
  return end == std::string_view::npos ? 0 : fingerprint_(key.substr(0, end)).low;
}

void MemoryStore::take_all(std::span<const BucketRequest> requests, Microseconds now, std::span<Decision> decisions,
                           bool owing) {
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
    KeptBucket* const found = buckets[i].shard->find(buckets[i].key);
    if (found != nullptr) refill(buckets[i].step, found->state, now);
    decisions[i] = peek(buckets[i].step, found != nullptr ? found->state : full_bucket(buckets[i].step, now), now);
    all_allowed = all_allowed && decisions[i].allowed;
  }
  if (!all_allowed) return;
  if (owing && !has_owed_.load(std::memory_order_relaxed)) has_owed_.store(true, std::memory_order_relaxed);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (buckets[i].repeated) {
      decisions[i] = decisions[static_cast<std::size_t>(std::ranges::find(buckets, buckets[i].key, &Bucket::key) -
                                                        buckets.begin())];
      continue;
    }
    // Looked up again: an insertion for this very request may have moved or forgotten it.
    if (KeptBucket* const found = buckets[i].shard->find(buckets[i].key); found != nullptr) {
      decisions[i] = take(buckets[i].step, found->state, now);
      if (owing) found->owed += kOneToken;
      buckets[i].shard->set_full_at(found, now + decisions[i].reset_after);
    } else {
      KeptBucket bucket{.state = full_bucket(buckets[i].step, now), .owed = owing ? kOneToken : 0};
      decisions[i] = take(buckets[i].step, bucket.state, now);
      buckets[i].shard->insert(buckets[i].key, owner_of(requests[i].key), bucket, now + decisions[i].reset_after, now);
    }
  }
}

void MemoryStore::mirror(std::span<const BucketRequest> requests, std::span<const Decision> decisions,
                         std::uint64_t gateways, Microseconds now) {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const BucketParameters& whole = requests[i].parameters;
    const RefillStep whole_step = refill_step(whole);
    const std::uint64_t content = content_before_full(whole_step, decisions[i].reset_after);
    const BucketParameters share = share_of(whole, gateways);
    const RefillStep step = refill_step(share);
    // A bucket whose debt delays its refill takes longer than from empty; the share waits as long.
    const Microseconds delay = std::max(decisions[i].reset_after - time_to_full(whole_step, 0), Microseconds{0});
    const Fingerprint key = fingerprint_(requests[i].key);
    Shard& shard = shard_of(key);
    const std::scoped_lock lock{shard.mutex};
    KeptBucket* const found = shard.buckets.find(key);
    if (found == nullptr && whole_step.capacity_micro - content <= whole_step.capacity_micro / kAsGoodAsFull) continue;
    const std::uint64_t owed = found != nullptr ? found->owed : 0;
    const std::uint64_t mine = scaled(content, whole, share);
    const KeptBucket bucket{
        .state = {.micro_tokens = mine - std::min(mine, owed), .updated = now + delay}, .owed = owed, .shared_at = now};
    const Microseconds full_at = bucket.state.updated + time_to_full(step, bucket.state.micro_tokens);
    if (found != nullptr) {
      *found = bucket;
      shard.buckets.set_full_at(found, full_at);
    } else {
      shard.buckets.insert(key, owner_of(requests[i].key), bucket, full_at, now);
    }
  }
}

void MemoryStore::store_lost(Microseconds now) noexcept {
  Microseconds::rep last = lost_at_.load(std::memory_order_relaxed);
  while (last < now.count() && !lost_at_.compare_exchange_weak(last, now.count(), std::memory_order_relaxed)) continue;
}

bool MemoryStore::take_debts(std::span<const BucketRequest> requests, std::uint64_t gateways, Microseconds now,
                             std::span<Debt> debts) {
  std::ranges::fill(debts, Debt{});
  const Microseconds lost_at{lost_at_.load(std::memory_order_relaxed)};
  if (lost_at.count() == kNeverLost && !has_owed_.load(std::memory_order_relaxed)) return false;
  bool any = false;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const BucketParameters& whole = requests[i].parameters;
    const Fingerprint key = fingerprint_(requests[i].key);
    Shard& shard = shard_of(key);
    const std::scoped_lock lock{shard.mutex};
    KeptBucket* const found = shard.buckets.find(key);
    if (found == nullptr || (found->owed == 0 && found->shared_at > lost_at)) continue;
    const BucketParameters share = share_of(whole, gateways);
    const RefillStep step = refill_step(share);
    refill(step, found->state, now);
    // More than the bucket lacks is not owed any more: so much time has passed.
    const std::uint64_t lacks = step.capacity_micro - std::min(found->state.micro_tokens, step.capacity_micro);
    const std::uint64_t owed = std::min(std::exchange(found->owed, 0), lacks);
    if (lacks == 0) continue;
    debts[i] = {.owed = owed,
                .missing = scaled(lacks, share, whole),
                .gateways = std::clamp<std::uint64_t>(gateways, 1, kMaxTokens),
                .silence = std::clamp(now - found->shared_at, Microseconds{0}, kMaxWait)};
    any = true;
  }
  return any;
}

void MemoryStore::put_back(std::span<const BucketRequest> requests, std::span<const Debt> debts) {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (debts[i].owed == 0) continue;
    const Fingerprint key = fingerprint_(requests[i].key);
    Shard& shard = shard_of(key);
    const std::scoped_lock lock{shard.mutex};
    if (KeptBucket* const found = shard.buckets.find(key); found != nullptr) found->owed += debts[i].owed;
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
