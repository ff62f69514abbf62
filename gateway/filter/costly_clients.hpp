// What clients cost a worker: who has lately sent requests that took more than a worker may spend on one, and how much
// each has had of the loop's present turn. Used by gateway/filter/waf_filter.cpp.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "gateway/runtime/loop.hpp"

namespace gatehouse::filter {

/// A small table by client, of a fixed size, so that many attackers cost no memory. A client's entry may be taken by
/// another's: what is known of a client is never more than the truth.
template <class Value>
class ClientTable {
 public:
  /// The client's value; a new one if the entry was another's.
  [[nodiscard]] Value& of(std::uint64_t client) noexcept {
    Entry& entry = entries_[slot(client)];
    if (entry.client != client) entry = {client, {}};
    return entry.value;
  }
  /// The client's value; null if nothing is known.
  [[nodiscard]] Value* find(std::uint64_t client) noexcept {
    Entry& entry = entries_[slot(client)];
    return entry.client == client ? &entry.value : nullptr;
  }
  [[nodiscard]] const Value* find(std::uint64_t client) const noexcept {
    return const_cast<ClientTable*>(this)->find(client);
  }

 private:
  struct Entry {
    std::uint64_t client = 0;
    Value value{};
  };
  static constexpr std::size_t slots = 1024;
  static std::size_t slot(std::uint64_t client) noexcept {
    return static_cast<std::size_t>(client * 0x9E3779B97F4A7C15U >> 54);  // Fibonacci hashing: the upper ten bits
  }
  std::array<Entry, slots> entries_{};
};

/// Clients whose requests are inspected on the pool alone for some time, where they wait for each other: those of whom
/// several have been too costly for a worker within that time. One a worker.
class CostlyClients {
 public:
  static constexpr auto term = std::chrono::seconds(10);
  static constexpr unsigned several = 3;

  void note(std::uint64_t client, runtime::TimePoint now) noexcept {
    Record& record = records_.of(client);
    if (now >= record.until) record.count = 0;
    ++record.count;
    record.until = now + term;
  }
  [[nodiscard]] bool contains(std::uint64_t client, runtime::TimePoint now) const noexcept {
    const Record* const record = records_.find(client);
    return record != nullptr && record->count >= several && now < record->until;
  }

 private:
  struct Record {
    runtime::TimePoint until;
    unsigned count = 0;
  };
  ClientTable<Record> records_;
};

/// What each client has had of the loop's present turn, and how many of its requests wait for another. One a worker.
class TurnShares {
 public:
  /// A request that waits; who comes later is to wait behind it.
  class Waiting {
   public:
    Waiting(TurnShares& shares, std::uint64_t client) noexcept : shares_(shares), client_(client) {
      ++shares_.shares_.of(client_).waiting;
    }
    ~Waiting() {
      Share* const share = shares_.shares_.find(client_);
      if (share != nullptr && share->waiting > 0) --share->waiting;
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    TurnShares& shares_;
    std::uint64_t client_;
  };

  [[nodiscard]] bool has_waiting(std::uint64_t client) const noexcept {
    const Share* const share = shares_.find(client);
    return share != nullptr && share->waiting > 0;
  }
  /// `turn`: the time at which it began.
  void add(std::uint64_t client, runtime::TimePoint turn, std::chrono::nanoseconds spent) noexcept {
    Share& share = shares_.of(client);
    if (share.turn != turn) share.spent = {};
    share.turn = turn;
    share.spent += spent;
  }
  [[nodiscard]] std::chrono::nanoseconds spent(std::uint64_t client, runtime::TimePoint turn) const noexcept {
    const Share* const share = shares_.find(client);
    return share != nullptr && share->turn == turn ? share->spent : std::chrono::nanoseconds(0);
  }

 private:
  struct Share {
    runtime::TimePoint turn;
    std::chrono::nanoseconds spent{0};
    unsigned waiting = 0;
  };
  ClientTable<Share> shares_;
};

}  // namespace gatehouse::filter
