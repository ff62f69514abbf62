// Connection pools; see connection_pool.hpp.
#include "gateway/upstream/connection_pool.hpp"

#include <algorithm>

namespace gatehouse::upstream {

std::unique_ptr<UpstreamConnection> ConnectionPool::take_idle() noexcept {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    connection->stream.descriptor().on_hangup = nullptr;
    if (connection->stream.is_quiet()) {
      connection->reused = true;
      return connection;
    }
    connection->stream.close();
  }
  return nullptr;
}

void ConnectionPool::give_back(std::unique_ptr<UpstreamConnection> connection) {
  if (!connection->stream.is_quiet() || !connection->buffer.empty() || idle_.size() >= max_idle) {
    connection->stream.close();
    return;
  }
  connection->stream.expires_never();
  connection->buffer.release_if_empty();
  connection->idle_since = loop_.now();
  // The peer closes it while it is idle: give the descriptor back at once.
  connection->stream.descriptor().hangup_context = connection.get();
  connection->stream.descriptor().on_hangup = [](void* context) {
    auto& idle = *static_cast<UpstreamConnection*>(context);
    idle.pool.forget(idle);
  };
  idle_.push_back(std::move(connection));
}

void ConnectionPool::forget(UpstreamConnection& connection) noexcept {
  const auto found = std::ranges::find_if(idle_, [&](const auto& item) { return item.get() == &connection; });
  if (found == idle_.end()) return;
  connection.stream.close();
  idle_.erase(found);
}

void ConnectionPool::close_idle_since(runtime::TimePoint limit) {
  // Oldest in front.
  const auto young = std::ranges::find_if(idle_, [&](const auto& item) { return item->idle_since > limit; });
  for (auto old = idle_.begin(); old != young; ++old) (*old)->stream.close();
  idle_.erase(idle_.begin(), young);
}

ConnectionPool& ConnectionPools::pool(const PoolKey& key) {
  auto& pool = pools_[key];
  if (!pool) pool = std::make_unique<ConnectionPool>(loop_, key);
  return *pool;
}

void ConnectionPools::sweep(runtime::Duration age) {
  for (auto& [key, pool] : pools_) pool->close_idle_since(loop_.now() - age);
}

void ConnectionPools::close_all() {
  for (auto& [key, pool] : pools_) pool->close_idle_since(runtime::TimePoint::max());
}

std::size_t ConnectionPools::idle_count() const noexcept {
  std::size_t count = 0;
  for (const auto& [key, pool] : pools_) count += pool->idle_count();
  return count;
}

}  // namespace gatehouse::upstream
