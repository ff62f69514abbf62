// A shard of the memory store; see memory_shard.hpp.
#include "ratelimit/memory_shard.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kFirstTableSize = 64;
constexpr int kClearedPerInsert = 2;  // more than one, so that a store which a flood has filled shrinks again
constexpr int kLookedAtPerLoss = 4;   // owners who may have become the largest

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
  Order& order = entry->owner->second;
  const Microseconds before = std::exchange(order[at].full_at, full_at);
  if (full_at < before) {
    sift_up(order, at);
  } else {
    sift_down(order, at);
  }
}

void MemoryShard::insert(const Fingerprint& key, std::uint64_t owner, const KeptBucket& bucket, Microseconds full_at,
                         Microseconds now) {
  for (int i = 0; i < kClearedPerInsert; ++i) forget_full_one(owners_.find(owner), now);
  if (size_ >= max_entries_) forget_first(largest_owner());
  if (size_ >= heads_.size()) grow_table();
  // First what may run out of memory, then what may not fail.
  const Owners::iterator mine = owners_.try_emplace(owner).first;
  std::uint32_t at = free_;
  try {
    mine->second.push_back({full_at, kNone});
    if (at == kNone) {
      at = static_cast<std::uint32_t>(entries_.size());
      entries_.emplace_back();
    } else {
      free_ = entries_[at].next;
    }
  } catch (...) {
    if (!mine->second.empty() && mine->second.back().entry == kNone) mine->second.pop_back();
    if (mine->second.empty()) erase(mine);
    throw;
  }
  ++size_;
  if (largest_ == owners_.end() || mine->second.size() > largest_->second.size()) largest_ = mine;
  std::uint32_t& chain = chain_of(key);
  entries_[at] = {.bucket = bucket, .key = key, .next = chain, .place = 0, .owner = mine};
  chain = at;
  put(mine->second, mine->second.size() - 1, {full_at, at});
  sift_up(mine->second, mine->second.size() - 1);
}

// One that would be full again: of whoever adds one, else of the next in turn, so that what floods have filled empties.
void MemoryShard::forget_full_one(Owners::iterator own, Microseconds now) noexcept {
  const auto has_full = [&](Owners::iterator owner) {
    return owner != owners_.end() && owner->second.front().full_at <= now;
  };
  if (has_full(own)) return forget_first(own);
  if (const Owners::iterator other = next_owner(); has_full(other)) forget_first(other);
}

MemoryShard::Owners::iterator MemoryShard::next_owner() noexcept {
  if (turn_ == owners_.end()) turn_ = owners_.begin();
  return turn_ == owners_.end() ? turn_ : turn_++;
}

// Whom an insertion made the largest is known; who became so by others' losses is found in turn.
MemoryShard::Owners::iterator MemoryShard::largest_owner() noexcept {
  for (int i = 0; i < kLookedAtPerLoss; ++i) {
    const Owners::iterator other = next_owner();
    if (largest_ == owners_.end() || other->second.size() > largest_->second.size()) largest_ = other;
  }
  return largest_;
}

void MemoryShard::put(Order& order, std::size_t at, const Place& place) noexcept {
  order[at] = place;
  entries_[place.entry].place = static_cast<std::uint32_t>(at);
}

void MemoryShard::sift_up(Order& order, std::size_t at) noexcept {
  const Place moving = order[at];
  while (at != 0) {
    const std::size_t parent = (at - 1) / 2;
    if (order[parent].full_at <= moving.full_at) break;
    put(order, at, order[parent]);
    at = parent;
  }
  put(order, at, moving);
}

void MemoryShard::sift_down(Order& order, std::size_t at) noexcept {
  const Place moving = order[at];
  for (;;) {
    std::size_t child = 2 * at + 1;
    if (child >= order.size()) break;
    if (child + 1 < order.size() && order[child + 1].full_at < order[child].full_at) ++child;
    if (moving.full_at <= order[child].full_at) break;
    put(order, at, order[child]);
    at = child;
  }
  put(order, at, moving);
}

void MemoryShard::forget_first(Owners::iterator owner) noexcept {
  Order& order = owner->second;
  const std::uint32_t gone = order.front().entry;
  std::uint32_t* link = &chain_of(entries_[gone].key);
  while (*link != gone) link = &entries_[*link].next;
  *link = std::exchange(entries_[gone].next, free_);
  free_ = gone;
  --size_;
  const Place last = order.back();
  order.pop_back();
  if (order.empty()) return erase(owner);
  put(order, 0, last);
  sift_down(order, 0);
}

void MemoryShard::erase(Owners::iterator owner) noexcept {
  if (turn_ == owner) ++turn_;
  if (largest_ == owner) largest_ = owners_.end();
  owners_.erase(owner);
}

void MemoryShard::grow_table() {
  std::vector<std::uint32_t> heads(std::max(kFirstTableSize, heads_.size() * 2), kNone);
  heads_.swap(heads);
  for (const auto& [owner, order] : owners_) {
    for (const Place& place : order) {
      Entry& entry = entries_[place.entry];
      std::uint32_t& chain = chain_of(entry.key);
      entry.next = chain;
      chain = place.entry;
    }
  }
}

}  // namespace gatehouse::ratelimit
