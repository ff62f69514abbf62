// What the running gateway tells of itself: metrics and status.
#include <algorithm>

#include "gateway/runtime/metric_families.hpp"
#include "gateway/server/status.hpp"
#include "gateway/server/worker_thread.hpp"

namespace gatehouse::server {

namespace families = runtime::families;

std::string Server::metrics_text() {
  update_gauges();
  return metrics_.serialize();
}

void Server::update_gauges() {
  update_snapshot_gauges(metrics_, *snapshot_, certificate_states());
  if (gateway_->redis) {
    const bool all = redis_serving_.load(std::memory_order_relaxed) == static_cast<int>(worker_count_);
    metrics_.gauge(families::ratelimit_store_up, {})->set_whole(all ? 1 : 0);
    std::uint64_t gateways = 1;
    for (const auto& thread : workers_)
      gateways = std::max(gateways, thread->live_gateways.load(std::memory_order_relaxed));
    metrics_.gauge(families::ratelimit_gateways, {})->set_whole(static_cast<std::int64_t>(gateways));
  }
  for (const auto& [name, lane] :
       {std::pair("light", runtime::WorkPool::Lane::light), std::pair("heavy", runtime::WorkPool::Lane::heavy)}) {
    const runtime::WorkPool::Figures figures = work_pool_->figures(lane);
    metrics_.gauge(families::pool_waiting, {name})->set_whole(static_cast<std::int64_t>(figures.waiting));
    metrics_.counter(families::pool_jobs_total, {name, "done"})->set_whole(figures.done);
    metrics_.counter(families::pool_jobs_total, {name, "refused"})->set_whole(figures.refused);
  }
  metrics_.gauge(families::buffered_bytes, {})
      ->set_whole(static_cast<std::int64_t>(held_bytes_.load(std::memory_order_relaxed)));
  std::size_t idle = 0;
  std::size_t open = 0;
  std::size_t relayed = 0;
  for (const auto& thread : workers_) {
    const filter::WorkerContext& context = thread->worker.context;
    idle += context.pools.idle_count();
    open += context.pools.open_count();
    relayed += context.body_buffers.bytes();
  }
  metrics_.gauge(families::upstream_connections, {"idle"})->set_whole(static_cast<std::int64_t>(idle));
  metrics_.gauge(families::upstream_connections, {"active"})
      ->set_whole(static_cast<std::int64_t>(open - std::min(idle, open)));
  metrics_.gauge(families::relay_buffer_bytes, {})->set_whole(static_cast<std::int64_t>(relayed));
  const auto log_figures = [&](const char* name, const runtime::LogFile* log) {
    if (log == nullptr) return;
    metrics_.gauge(families::log_dropped_bytes, {name})->set_whole(static_cast<std::int64_t>(log->dropped_bytes()));
    metrics_.gauge(families::log_queued_bytes, {name})->set_whole(static_cast<std::int64_t>(log->queued_bytes()));
    metrics_.gauge(families::log_write_errors, {name})->set_whole(static_cast<std::int64_t>(log->write_errors()));
  };
  log_figures("access", access_log_.get());
  log_figures("audit", audit_log_.get());
  log_figures("journal", journal_.get());
}

std::map<std::string, acme::Certifier::State> Server::certificate_states() const {
  std::map<std::string, acme::Certifier::State> states;
  for (acme::Certifier::State& state : certificates_->certifier().states()) {
    if (state.name.is_second) continue;  // `certs list` has it
    std::string host = acme::host_of(state.name.host);
    states.emplace(std::move(host), std::move(state));
  }
  return states;
}

std::string Server::status_json() {
  StatusInput input;
  const auto certificates = certificate_states();
  input.certificates = &certificates;
  input.fleet = certificates_->summary();
  input.gateway = gateway_.get();
  input.snapshot = snapshot_.get();
  input.tenants = &tenant_states_;
  input.ready = ready();
  input.draining = draining_;
  input.workers = worker_count_;
  input.connections = shared_->connections.load(std::memory_order_relaxed);
  input.max_connections = shared_->max_connections.load(std::memory_order_relaxed);
  input.uptime = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now() - started_);
  return status_json_of(input);
}

}  // namespace gatehouse::server
