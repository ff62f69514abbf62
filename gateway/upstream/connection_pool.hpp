// Connections to one endpoint, kept by one worker between requests. Called by gateway/proxy.
#pragma once

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

/// A connection to an endpoint: in use by one exchange, or idle in its pool.
struct UpstreamConnection {
  UpstreamConnection(runtime::Loop& loop, ConnectionPool& owner) : stream(loop), pool(owner) {}
  net::Stream stream;
  http::ReadBuffer buffer;
  ConnectionPool& pool;
  runtime::TimePoint idle_since;
  bool reused = false;  // it has served a request before: an end before the first byte may be the peer's idle time-out
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
  ConnectionPool(runtime::Loop& loop, PoolKey key) : loop_(loop), key_(std::move(key)) {}

  /// A quiet idle connection, the one used last; null if there is none.
  [[nodiscard]] std::unique_ptr<UpstreamConnection> take_idle() noexcept;
  [[nodiscard]] std::unique_ptr<UpstreamConnection> make() {
    return std::make_unique<UpstreamConnection>(loop_, *this);
  }
  /// Keeps a connection for later; closes it when it is not quiet or there are enough.
  void give_back(std::unique_ptr<UpstreamConnection> connection);

  void close_idle_since(runtime::TimePoint limit);
  [[nodiscard]] std::size_t idle_count() const noexcept { return idle_.size(); }
  [[nodiscard]] const PoolKey& key() const noexcept { return key_; }

  static constexpr std::size_t max_idle = 256;

 private:
  void forget(UpstreamConnection& connection) noexcept;

  runtime::Loop& loop_;
  PoolKey key_;
  std::vector<std::unique_ptr<UpstreamConnection>> idle_;  // the one used last is at the back
};

/// All pools of one worker.
class ConnectionPools {
 public:
  explicit ConnectionPools(runtime::Loop& loop) : loop_(loop) {}
  [[nodiscard]] ConnectionPool& pool(const PoolKey& key);
  /// Closes what has been idle for longer than `age`. Called every few seconds.
  void sweep(runtime::Duration age);
  void close_all();
  [[nodiscard]] std::size_t idle_count() const noexcept;

 private:
  runtime::Loop& loop_;
  std::map<PoolKey, std::unique_ptr<ConnectionPool>> pools_;
};

}  // namespace gatehouse::upstream
