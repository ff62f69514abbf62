// What a request may use of its worker: the loop, upstream connections, stores and logs. One a worker thread; lives
// as long as the worker.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "gateway/filter/client_bytes.hpp"
#include "gateway/filter/costly_clients.hpp"
#include "gateway/filter/held_bytes.hpp"
#include "gateway/http/body_reader.hpp"
#include "gateway/runtime/log.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/upstream/connection_pool.hpp"
#include "ratelimit/memory_store.hpp"

namespace gatehouse::runtime {
class WorkPool;
}
namespace gatehouse::upstream {
class RedisClient;
}
namespace gatehouse::net {
class TicketKeys;
}

namespace gatehouse::filter {

struct Challenges;

/// Ids of requests: 128 bits in hex. Unique, not secret.
class RequestIds {
 public:
  RequestIds();
  /// Appends 32 hex digits.
  void append(std::string& out) noexcept;
  /// Appends 16 hex digits (a span id).
  void append_short(std::string& out) noexcept;

 private:
  std::uint64_t next() noexcept;
  std::array<std::uint64_t, 4> state_;
};

struct WorkerContext {
  WorkerContext(unsigned index, runtime::Loop& owner, runtime::Metrics& registry, ratelimit::MemoryStore& store,
                upstream::ConnectionBudget& upstream_connections)
      : id(index), loop(owner), metrics(registry), memory(store), pools(owner, upstream_connections) {}

  const unsigned id;
  runtime::Loop& loop;
  runtime::Metrics& metrics;
  ratelimit::MemoryStore& memory;
  upstream::ConnectionPools pools;
  CostlyClients costly_clients;
  TurnShares turn_shares;
  // Beyond 500 large buffers bodies are passed on in steps of 16 KiB.
  http::BodyBuffers body_buffers{32 * 1024 * 1024};
  upstream::RedisClient* redis = nullptr;   // null: limits count in memory
  ByteCount* held_bytes = nullptr;          // of bodies, in the whole process; null: not bounded
  ClientBytes* client_bytes = nullptr;      // the same by client; there if held_bytes is
  runtime::WorkPool* work_pool = nullptr;   // for what would hold the loop up; null: everything is done on the loop
  std::shared_ptr<runtime::LogFile> access_log;  // null: off
  std::shared_ptr<runtime::LogFile> audit_log;   // null: off
  std::shared_ptr<const Challenges> challenges;  // null: none
  std::shared_ptr<const net::TicketKeys> ticket_keys;
  RequestIds ids;

  /// Access records on their way to the log; handed over in batches.
  std::string access_records;
  void flush_access_records() {
    if (access_log != nullptr) access_log->submit(access_records);
    access_records.clear();
  }
  bool draining = false;  // answers ask clients to close their connections
  bool ending = false;    // the drain is over: whatever is open is cut
};

}  // namespace gatehouse::filter
