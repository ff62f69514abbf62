// Connection pools; see connection_pool.hpp.
#include "gateway/upstream/connection_pool.hpp"

#include <algorithm>

namespace gatehouse::upstream {

UpstreamConnection::UpstreamConnection(runtime::Loop& loop, ConnectionPool& owner) : stream(loop), pool(owner) {
  ++pool.open_;
  pool.pools_.opened();
}

UpstreamConnection::~UpstreamConnection() {
  --pool.open_;
  pool.pools_.closed();
}

std::unique_ptr<UpstreamConnection> ConnectionPool::take_idle() noexcept {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    pools_.no_longer_idle(*connection);
    connection->stream.descriptor().on_hangup = nullptr;
    if (connection->stream.is_quiet()) {
      connection->reused = true;
      return connection;
    }
    connection->stream.close();
  }
  return nullptr;
}

std::unique_ptr<UpstreamConnection> ConnectionPool::make() {
  while (pools_.crowded() && pools_.oldest_ != nullptr) pools_.close_oldest();
  return std::make_unique<UpstreamConnection>(pools_.loop_, *this);
}

void ConnectionPool::give_back(std::unique_ptr<UpstreamConnection> connection) {
  if (!connection->buffer.empty() || idle_.size() >= max_idle || !connection->stream.becomes_quiet()) {
    connection->stream.close();
    return;
  }
  connection->stream.expires_never();
  connection->stream.writes_within(runtime::Duration::zero());
  connection->buffer.release_if_empty();
  connection->idle_since = pools_.loop_.now();
  // The peer closes it while it is idle: give the descriptor back at once.
  connection->stream.descriptor().hangup_context = connection.get();
  connection->stream.descriptor().on_hangup = [](void* context) {
    auto& idle = *static_cast<UpstreamConnection*>(context);
    idle.pool.forget(idle);
  };
  pools_.became_idle(*connection);
  idle_.push_back(std::move(connection));
}

void ConnectionPool::forget(UpstreamConnection& connection) noexcept {
  const auto found = std::ranges::find_if(idle_, [&](const auto& item) { return item.get() == &connection; });
  if (found == idle_.end()) return;
  pools_.no_longer_idle(connection);
  connection.stream.close();
  idle_.erase(found);
}

void ConnectionPools::opened() noexcept {
  open_.fetch_add(1, std::memory_order_relaxed);
  budget_.open.fetch_add(1, std::memory_order_relaxed);
}

void ConnectionPools::closed() noexcept {
  open_.fetch_sub(1, std::memory_order_relaxed);
  budget_.open.fetch_sub(1, std::memory_order_relaxed);
}

void ConnectionPools::became_idle(UpstreamConnection& connection) noexcept {
  connection.older_ = youngest_;
  connection.younger_ = nullptr;
  (youngest_ != nullptr ? youngest_->younger_ : oldest_) = &connection;
  youngest_ = &connection;
  idle_.fetch_add(1, std::memory_order_relaxed);
}

void ConnectionPools::no_longer_idle(UpstreamConnection& connection) noexcept {
  (connection.older_ != nullptr ? connection.older_->younger_ : oldest_) = connection.younger_;
  (connection.younger_ != nullptr ? connection.younger_->older_ : youngest_) = connection.older_;
  connection.older_ = connection.younger_ = nullptr;
  idle_.fetch_sub(1, std::memory_order_relaxed);
}

void ConnectionPools::close_oldest() noexcept { oldest_->pool.forget(*oldest_); }

std::shared_ptr<ConnectionPool> ConnectionPools::pool(const PoolKey& key) {
  auto& pool = pools_[key];
  if (!pool) pool = std::make_shared<ConnectionPool>(*this, key);
  return pool;
}

void ConnectionPools::sweep(runtime::Duration age) {
  const runtime::TimePoint limit = loop_.now() - age;
  while (oldest_ != nullptr && (oldest_->idle_since <= limit || crowded())) close_oldest();
  // Only this thread takes hold of a pool: who is its only holder remains that.
  std::erase_if(pools_, [](const auto& item) { return item.second->open_ == 0 && item.second.use_count() == 1; });
}

void ConnectionPools::close_all() {
  while (oldest_ != nullptr) close_oldest();
}

}  // namespace gatehouse::upstream
