// A shard of the memory store; see memory_shard.hpp.
#include "ratelimit/memory_shard.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kFirstTableSize = 64;
constexpr int kClearedPerInsert = 2;  // more than one, so that a store which a flood has filled shrinks again

}  // namespace

KeptBucket* MemoryShard::find(const Fingerprint& key) noexcept {
  if (heads_.empty()) return nullptr;
  for (std::uint32_t at = chain_of(key); at != kNone; at = entries_[at].next) {
    if (entries_[at].key == key) return &entries_[at].bucket;
  }
  return nullptr;
}

void MemoryShard::set_full_at(const KeptBucket* found, Microseconds full_at) noexcept {
  static_assert(std::is_standard_layout_v<Entry>);
  const auto* entry = reinterpret_cast<const Entry*>(found);  // pointer-interconvertible: its first member
  const std::size_t at = entry->place;
  const Microseconds before = std::exchange(order_[at].full_at, full_at);
  if (full_at < before) {
    sift_up(at);
  } else {
    sift_down(at);
  }
}

void MemoryShard::insert(const Fingerprint& key, const KeptBucket& bucket, Microseconds full_at, Microseconds now) {
  for (int i = 0; i < kClearedPerInsert && !order_.empty() && order_.front().full_at <= now; ++i) forget_first();
  if (order_.size() >= max_entries_) forget_first();
  if (order_.size() >= heads_.size()) grow_table();
  order_.push_back({full_at, kNone});  // first what may run out of memory, then what may not fail
  std::uint32_t at = free_;
  if (at == kNone) {
    at = static_cast<std::uint32_t>(entries_.size());
    try {
      entries_.emplace_back();
    } catch (...) {
      order_.pop_back();
      throw;
    }
  } else {
    free_ = entries_[at].next;
  }
  std::uint32_t& chain = chain_of(key);
  entries_[at] = {.bucket = bucket, .key = key, .next = chain, .place = 0};
  chain = at;
  put(order_.size() - 1, {full_at, at});
  sift_up(order_.size() - 1);
}

void MemoryShard::put(std::size_t at, const Place& place) noexcept {
  order_[at] = place;
  entries_[place.entry].place = static_cast<std::uint32_t>(at);
}

void MemoryShard::sift_up(std::size_t at) noexcept {
  const Place moving = order_[at];
  while (at != 0) {
    const std::size_t parent = (at - 1) / 2;
    if (order_[parent].full_at <= moving.full_at) break;
    put(at, order_[parent]);
    at = parent;
  }
  put(at, moving);
}

void MemoryShard::sift_down(std::size_t at) noexcept {
  const Place moving = order_[at];
  for (;;) {
    std::size_t child = 2 * at + 1;
    if (child >= order_.size()) break;
    if (child + 1 < order_.size() && order_[child + 1].full_at < order_[child].full_at) ++child;
    if (moving.full_at <= order_[child].full_at) break;
    put(at, order_[child]);
    at = child;
  }
  put(at, moving);
}

void MemoryShard::forget_first() noexcept {
  const std::uint32_t gone = order_.front().entry;
  std::uint32_t* link = &chain_of(entries_[gone].key);
  while (*link != gone) link = &entries_[*link].next;
  *link = std::exchange(entries_[gone].next, free_);
  free_ = gone;
  const Place last = order_.back();
  order_.pop_back();
  if (!order_.empty()) {
    put(0, last);
    sift_down(0);
  }
}

void MemoryShard::grow_table() {
  std::vector<std::uint32_t> heads(std::max(kFirstTableSize, heads_.size() * 2), kNone);
  heads_.swap(heads);
  for (const Place& place : order_) {
    Entry& entry = entries_[place.entry];
    std::uint32_t& chain = chain_of(entry.key);
    entry.next = chain;
    chain = place.entry;
  }
}

}  // namespace gatehouse::ratelimit
