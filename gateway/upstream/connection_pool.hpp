// Connections to endpoints, kept by one worker between requests. Called by gateway/proxy.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/address.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/net/stream.hpp"

namespace gatehouse::upstream {

class ConnectionPool;
class ConnectionPools;

/// A connection to an endpoint: in use by one exchange, or idle in its pool.
struct UpstreamConnection {
  UpstreamConnection(runtime::Loop& loop, ConnectionPool& owner);
  ~UpstreamConnection();
  UpstreamConnection(const UpstreamConnection&) = delete;
  UpstreamConnection& operator=(const UpstreamConnection&) = delete;

  net::Stream stream;
  http::ReadBuffer buffer;
  ConnectionPool& pool;
  runtime::TimePoint idle_since;
  bool reused = false;  // it has served a request before: an end before the first byte may be the peer's idle time-out

 private:
  friend class ConnectionPools;
  UpstreamConnection* older_ = nullptr;  // among the idle ones of the worker
  UpstreamConnection* younger_ = nullptr;
};

/// What makes two connections interchangeable.
struct PoolKey {
  SocketAddress endpoint;
  std::shared_ptr<const net::ClientTls>
      tls;  // held, so that its address names these settings as long as the pool lives
  std::string server_name;
  auto operator<=>(const PoolKey&) const = default;
};

class ConnectionPool {
 public:
  ConnectionPool(ConnectionPools& pools, PoolKey key) : pools_(pools), key_(std::move(key)) {}

  /// A quiet idle connection, the one used last; null if there is none.
  [[nodiscard]] std::unique_ptr<UpstreamConnection> take_idle() noexcept;
  /// A new one, not connected yet. Where the process has as many as it may, the worker's longest idle one makes room.
  [[nodiscard]] std::unique_ptr<UpstreamConnection> make();
  /// Keeps a connection for later; closes it when it is not quiet or there are enough.
  void give_back(std::unique_ptr<UpstreamConnection> connection);

  [[nodiscard]] std::size_t idle_count() const noexcept { return idle_.size(); }
  [[nodiscard]] const PoolKey& key() const noexcept { return key_; }

  static constexpr std::size_t max_idle = 256;

 private:
  friend struct UpstreamConnection;
  friend class ConnectionPools;
  void forget(UpstreamConnection& connection) noexcept;

  ConnectionPools& pools_;
  PoolKey key_;
  std::vector<std::unique_ptr<UpstreamConnection>> idle_;  // the one used last is at the back
  std::size_t open_ = 0;  // idle and in use
};

/// How many upstream connections the process has and may have before idle ones make room for new ones. Shared by all
/// workers. Requests under way are bounded by the clients' connections, so this bounds what is kept beyond them.
struct ConnectionBudget {
  explicit ConnectionBudget(std::size_t limit) noexcept : most(limit) {}
  std::atomic<std::size_t> most;
  std::atomic<std::size_t> open = 0;
};

/// All pools of one worker. The figures may be read by any thread.
class ConnectionPools {
 public:
  ConnectionPools(runtime::Loop& loop, ConnectionBudget& budget) : loop_(loop), budget_(budget) {}
  ~ConnectionPools() { close_all(); }
  ConnectionPools(const ConnectionPools&) = delete;
  ConnectionPools& operator=(const ConnectionPools&) = delete;

  /// The pool of a key. It lives as long as it has connections or somebody holds it, at least until the next sweep:
  /// endpoints come and go with configurations, and the names of those with TLS may be a client's choice.
  [[nodiscard]] std::shared_ptr<ConnectionPool> pool(const PoolKey& key);
  /// Closes what has been idle for longer than `age`, and all that is idle if the process has too many. Called every few
  /// seconds.
  void sweep(runtime::Duration age);
  void close_all();
  [[nodiscard]] std::size_t idle_count() const noexcept { return idle_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t open_count() const noexcept { return open_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t pool_count() const noexcept { return pools_.size(); }

 private:
  friend struct UpstreamConnection;
  friend class ConnectionPool;
  void opened() noexcept;
  void closed() noexcept;
  void became_idle(UpstreamConnection& connection) noexcept;
  void no_longer_idle(UpstreamConnection& connection) noexcept;
  void close_oldest() noexcept;
  [[nodiscard]] bool crowded() const noexcept {
    return budget_.open.load(std::memory_order_relaxed) >= budget_.most.load(std::memory_order_relaxed);
  }

  runtime::Loop& loop_;
  ConnectionBudget& budget_;
  std::atomic<std::size_t> open_ = 0;
  std::atomic<std::size_t> idle_ = 0;
  UpstreamConnection* oldest_ = nullptr;  // idle ones, linked by the time at which they became so
  UpstreamConnection* youngest_ = nullptr;
  std::map<PoolKey, std::shared_ptr<ConnectionPool>> pools_;
};

}  // namespace gatehouse::upstream
