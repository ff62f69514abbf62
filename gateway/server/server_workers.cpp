// The running gateway's workers; see worker_thread.hpp.
#include <latch>
#include <stdexcept>
#include <system_error>

#include "gateway/runtime/log.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/server/worker_thread.hpp"

namespace gatehouse::server {

namespace families = runtime::families;
using runtime::journal;
using runtime::Level;
using runtime::Task;

namespace {

constexpr auto pool_idle_time = std::chrono::seconds(60);
constexpr auto flush_interval = std::chrono::milliseconds(200);

}  // namespace

void Server::WorkerThread::use_redis(const std::optional<config::Redis>& wanted) {
  if (wanted == redis_config) return;
  redis_config = wanted;
  worker.context.redis = nullptr;
  if (!wanted) {
    redis->stop();  // stays: requests may still wait for its answers
    return;
  }
  if (redis == nullptr || redis->is_stopped()) {
    redis = std::make_unique<upstream::RedisClient>(loop, *wanted, metrics, gateway_id, redis_trouble);
    redis->on_change = [this](bool serving) {
      redis_serving.fetch_add(serving ? 1 : -1, std::memory_order_relaxed);
      if (!serving)
        worker.context.memory.store_lost(
            std::chrono::duration_cast<ratelimit::Microseconds>(loop.now().time_since_epoch()));
    };
  } else {
    redis->reconfigure(*wanted);
  }
  worker.context.redis = redis.get();
}

Task<void> Server::WorkerThread::leave(WorkerThread& self, std::shared_ptr<std::atomic<std::size_t>> staying) {
  if (self.redis != nullptr) {
    self.redis->leave();
    const auto end = runtime::Clock::now() + farewell_time;
    while (!self.redis->has_left() && runtime::Clock::now() < end) co_await self.loop.sleep(farewell_time / 10);
  }
  staying->fetch_sub(1, std::memory_order_relaxed);
}

Task<void> Server::WorkerThread::housekeeping(WorkerThread& self) {
  for (unsigned turn = 0;; ++turn) {
    co_await self.loop.sleep(flush_interval);
    self.worker.context.flush_access_records();
    if (self.redis) self.live_gateways.store(self.redis->live_gateways(), std::memory_order_relaxed);
    if (turn % 25 == 0) self.worker.context.pools.sweep(pool_idle_time);
  }
}

void Server::make_workers() {
  for (const config::Listener& listener : gateway_->listeners) {
    auto facts = std::make_unique<proxy::ListenerFacts>();
    facts->address = listener.address;
    facts->protocol = listener.protocol;
    facts->proxy_protocol_required = listener.proxy_protocol_required;
    facts->redirect_port = listener.redirect_port;
    const std::string name = listener.address.to_string();
    facts->connections = metrics_.gauge(families::connections, {name});
    facts->refused_total_limit = metrics_.counter(families::connections_refused_total, {name, "limit"});
    facts->refused_client_limit = metrics_.counter(families::connections_refused_total, {name, "client_limit"});
    facts->accept_pauses = metrics_.counter(families::accept_pauses_total, {name});
    facts->refused_proxy_header = metrics_.counter(families::connections_refused_total, {name, "proxy_header"});
    if (const std::string conflict = net::address_conflict(listener.address); !conflict.empty())
      throw std::runtime_error(conflict);
    listeners_.push_back(std::move(facts));
  }
  for (unsigned i = 0; i < worker_count_; ++i) {
    auto thread = std::make_unique<WorkerThread>(i, *this);
    proxy::Worker& worker = thread->worker;
    worker.snapshot = proxy::SnapshotRef(snapshot_);
    worker.context.access_log = access_log_;
    worker.context.audit_log = audit_log_;
    worker.context.challenges = certificates_->challenges();
    worker.context.work_pool = work_pool_.get();
    worker.context.held_bytes = &held_bytes_;
    worker.context.client_bytes = &client_bytes_;
    thread->loop.on_task_failure = [](const char* what) {
      journal(Level::error, "a connection's task failed", {{"error.message", what}});
    };
    for (const auto& facts : listeners_) {
      const auto fd = net::open_listener(facts->address, net::Sharing::with_other_workers);
      if (!fd) throw std::runtime_error(fd.error());
      const proxy::ListenerFacts& listener = *facts;
      thread->listeners.push_back(std::make_unique<net::Listener>(
          thread->loop, *fd,
          [&worker, &listener](int client, const SocketAddress& peer) { worker.accept(client, peer, listener); }));
      thread->listeners.back()->on_exhausted = [this, &listener](int error) { tell_of_exhaustion(listener, error); };
    }
    workers_.push_back(std::move(thread));
  }
}

// On any worker's thread; `error` 0: connections are accepted again. Told once a minute at most.
void Server::tell_of_exhaustion(const proxy::ListenerFacts& listener, int error) {
  constexpr std::int64_t pause_seconds = 60;
  const std::int64_t now = std::chrono::floor<std::chrono::seconds>(runtime::Clock::now()).time_since_epoch().count();
  if (error == 0) {
    if (exhaustion_is_told_.exchange(false)) journal(Level::info, "new connections are accepted again");
    return;
  }
  listener.accept_pauses->add();
  std::int64_t due = exhaustion_told_next_.load();
  if (now < due || !exhaustion_told_next_.compare_exchange_strong(due, now + pause_seconds)) return;
  exhaustion_is_told_.store(true);
  journal(
      Level::error, "new connections wait: the process has no descriptors, or the kernel no memory, for them",
      {{"server.address", listener.address.to_string()}, {"error.message", std::generic_category().message(error)}});
}

void Server::start_workers() {
  const auto running = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(worker_count_));
  for (auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->thread = std::thread([this, self, running] {
      runtime::set_metric_writer(self->worker.context.id);
      self->use_redis(snapshot_->config->redis);
      self->loop.spawn(WorkerThread::housekeeping(*self));
      for (const auto& listener : self->listeners) listener->start();
      running->count_down();
      self->loop.run();
    });
  }
  running->wait();
  certificates_->workers_run();
}

}  // namespace gatehouse::server
