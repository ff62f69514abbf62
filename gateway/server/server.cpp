// The running gateway; see server.hpp.
#include "gateway/server/server.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <stdexcept>

#include "gateway/http/h2_limits.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/runtime/spare_descriptors.hpp"
#include "gateway/server/admin.hpp"
#include "gateway/server/status.hpp"
#include "gateway/server/watched_files.hpp"
#include "gateway/server/worker_thread.hpp"

namespace gatehouse::server {

namespace families = runtime::families;
using runtime::journal;
using runtime::Level;
using runtime::Task;

namespace {

constexpr auto longest_load = std::chrono::seconds(5);  // of stored certificates, at start
constexpr auto longest_leave = std::chrono::seconds(1);  // for telling the other gateways that the lease is free
constexpr std::size_t spare_descriptors = 512;  // upstream pools, logs, Redis, admin
constexpr std::size_t most_connections = 50'000;
constexpr auto watch_interval = std::chrono::seconds(1);
constexpr auto handshakes_end =
    std::chrono::milliseconds(150);  // those of TCP that are under way when the drain begins

// One a usable processor.
std::size_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
}

std::size_t connection_limit(std::size_t configured) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  const std::size_t possible = limit.rlim_cur > spare_descriptors ? (limit.rlim_cur - spare_descriptors) / 2 : 16;
  return configured != 0 ? configured : std::min(most_connections, possible);
}

// A descriptor that a loop reads signals from.
class SignalReader final : public runtime::IoWaiter {
 public:
  SignalReader(runtime::Loop& loop, const sigset_t& signals, std::function<void(int)> handler)
      : descriptor_(loop), handler_(std::move(handler)) {
    const int fd = ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0 || !descriptor_.adopt(fd)) throw std::runtime_error("cannot receive signals");
    descriptor_.reader = this;
  }
  bool attempt() noexcept override {
    signalfd_siginfo info{};
    while (::read(descriptor_.fd(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
      handler_(static_cast<int>(info.ssi_signo));
    return false;  // for ever
  }

 private:
  runtime::Descriptor descriptor_;
  std::function<void(int)> handler_;
};

sigset_t handled_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&signals, number);
  return signals;
}

std::string random_id() {
  std::string id;
  filter::RequestIds().append(id);
  return id;
}

}  // namespace

void hold_signals() noexcept {
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Server::Server(std::shared_ptr<const config::GatewayConfig> gateway)
    : gateway_(std::move(gateway)),
      worker_count_(gateway_->workers != 0 ? gateway_->workers : usable_processors()),
      metrics_(worker_count_ + 1),
      gateway_id_(random_id()),
      started_(std::chrono::system_clock::now()) {
  runtime::set_metric_writer(static_cast<unsigned>(worker_count_));
  runtime::keep_spare_descriptors();
  hold_signals();  // before any thread: all inherit it
  std::signal(SIGPIPE, SIG_IGN);
  journal_ = std::make_unique<runtime::LogFile>("stderr", 4 * 1024 * 1024);
  runtime::set_journal_file(journal_.get());
  open_logs(*gateway_);
  loop_.on_task_failure = [](const char* what) {
    journal(Level::error, "a background task failed", {{"error.message", what}});
  };

  shared_ = std::make_unique<proxy::Shared>(connection_limit(gateway_->limits.connections));
  shared_->handshakes_ok = metrics_.counter(families::tls_handshakes_total, {"ok"});
  shared_->handshakes_failed = metrics_.counter(families::tls_handshakes_total, {"failed"});
  metrics_.gauge(families::build_info, {GATEHOUSE_VERSION})->set_whole(1);

  health_ = std::make_unique<upstream::HealthChecker>(
      loop_, [](const upstream::HealthKey& key, bool healthy, const std::string& why) {
        journal(healthy ? Level::info : Level::warning, healthy ? "endpoint is healthy" : "endpoint is unhealthy",
                {{"labels.tenant", key.tenant},
                 {"labels.service", key.service},
                 {"destination.address", key.endpoint.to_string()},
                 {"reason", why}});
      });
  certificates_ = std::make_unique<Certificates>(loop_, metrics_, *gateway_, gateway_id_, worker_count_);
  builder_ = std::make_unique<SnapshotBuilder>(metrics_, *health_, loop_, worker_count_,
                                               [this](const std::string& host, const net::ServerTlsSettings& rules) {
                                                 return certificates_->slot_of(host, rules);
                                               });
  SnapshotBuilder::Result first = builder_->build(gateway_);
  report(first.problems);
  if (!first.snapshot) throw std::runtime_error("the configuration cannot be served; see the problems above");
  builder_->commit(first);
  apply(std::move(first));
  metrics_.gauge(families::config_last_reload_successful, {})->set_whole(1);
  for (const char* const outcome : {"success", "failure"})
    (void)metrics_.counter(families::config_reloads_total, {outcome});  // alerts need a zero
  for (int reason = 1; reason < static_cast<int>(http::H2Abuse::count_); ++reason)
    (void)metrics_.counter(families::http2_abuse_total, {http::abuse_name(static_cast<http::H2Abuse>(reason))});
  // All sockets are open before the first thread runs: an address that is taken is an error at start, with nothing half done.
  admin_ = std::make_unique<Admin>(*this, loop_);
  if (gateway_->admin) admin_->listen(*gateway_->admin, true);
  if (gateway_->metrics) admin_->listen(*gateway_->metrics, false);
  work_pool_ = std::make_unique<runtime::WorkPool>(runtime::WorkPool::sizes_for(usable_processors()));
  load_certificates();
  make_workers();
  start_workers();
}

// What is stored is served from the first connection on. A storage that does not answer is waited for a little: then hosts
// without a certificate show a self-signed one until it does.
void Server::load_certificates() {
  certificates_->use_workers(
      [this](unsigned worker, std::function<void()> work) { workers_[worker]->loop.post(std::move(work)); },
      [this](unsigned worker, std::shared_ptr<const filter::Challenges> challenges) {
        workers_[worker]->worker.context.challenges = std::move(challenges);
      },
      [this](unsigned worker, std::shared_ptr<const net::TicketKeys> keys) {
        workers_[worker]->worker.context.ticket_keys = std::move(keys);
      });
  if (!certificates_->is_wanted()) return;
  const auto wait = [](Server& self) -> Task<void> {
    const auto end = runtime::Clock::now() + longest_load;
    while (!self.certificates_->is_loaded() && runtime::Clock::now() < end)
      co_await self.loop_.sleep(std::chrono::milliseconds(5));
    self.loop_.stop();
  };
  certificates_->start();
  loop_.spawn(wait(*this));
  loop_.run();
}

Server::~Server() = default;

Server::JournalGuard::~JournalGuard() { runtime::set_journal_file(nullptr); }

void Server::open_logs(const config::GatewayConfig& gateway) {
  const auto open = [](const std::shared_ptr<runtime::LogFile>& present,
                       const std::string& path) -> std::shared_ptr<runtime::LogFile> {
    if (path.empty()) return nullptr;
    return present && present->path() == path ? present : std::make_shared<runtime::LogFile>(path);
  };
  try {
    auto access = open(access_log_, gateway.access_log.path);
    auto audit = open(audit_log_, gateway.audit_log.path);
    access_log_ = std::move(access);
    audit_log_ = std::move(audit);
  } catch (const std::system_error& error) {
    throw std::runtime_error(std::string(error.what()) +
                             "; set access_log.path or audit_log.path to a file that this user can write, or to \"-\"");
  }
}

void Server::report(const config::Problems& problems) {
  for (const config::Problem& problem : problems)
    journal(problem.severity == config::Severity::error ? Level::error : Level::warning, problem.message,
            {{"log.origin.file.name", problem.place.file},
             {"log.origin.file.line", std::to_string(problem.place.line)},
             {"log.origin.file.column", std::to_string(problem.place.column)}});
}

namespace {

// What is queued for a log that nobody uses any more is still written, and a pipe whose reader is stuck is waited for.
void retire_log(std::shared_ptr<runtime::LogFile> log) {
  if (log == nullptr || log.use_count() != 1) return;
  try {
    std::thread([last = std::move(log)] {}).detach();
  } catch (const std::system_error&) {  // no more threads: it is waited for here
  }
}

}  // namespace

void Server::apply(SnapshotBuilder::Result result) {
  snapshot_ = std::move(result.snapshot);
  tenant_states_ = std::move(result.tenants);
  watched_ = std::move(result.files);
  const std::size_t most = connection_limit(snapshot_->config->limits.connections);
  shared_->max_connections.store(most, std::memory_order_relaxed);
  shared_->upstream_connections.most.store(most, std::memory_order_relaxed);
  for (const auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->loop.post([this, self, snapshot = snapshot_, access = access_log_, audit = audit_log_] {
      self->worker.snapshot = proxy::SnapshotRef(snapshot);
      self->worker.context.flush_access_records();
      loop_.post([before = std::exchange(self->worker.context.access_log, access)]() mutable {
        retire_log(std::move(before));
      });
      loop_.post(
          [before = std::exchange(self->worker.context.audit_log, audit)]() mutable { retire_log(std::move(before)); });
      self->use_redis(snapshot->config->redis);
    });
  }
  certificates_->configure(*snapshot_->config, *snapshot_);
  if (ready_) certificates_->start();
  for (const auto& state : tenant_states_)
    metrics_.gauge(families::tenant_config_valid, {state.name})->set_whole(state.valid ? 1 : 0);
  std::set<std::string> known{"-"};
  for (const auto& state : tenant_states_) known.insert(state.name);
  prune_series(metrics_, *snapshot_, known);
}

// Everything that can fail comes first: what serves is replaced as a whole or not touched. False: the log says why.
bool Server::try_apply(std::shared_ptr<const config::GatewayConfig> next) {
  SnapshotBuilder::Result result;
  try {
    result = builder_->build(next);
    report(result.problems);
    if (result.snapshot) {
      open_logs(*next);
      builder_->commit(result);
      gateway_ = std::move(next);
      apply(std::move(result));
      return true;
    }
  } catch (const std::runtime_error& error) {
    journal(Level::error, error.what());
  }
  watched_.insert(watched_.end(), result.files.begin(), result.files.end());
  return false;
}

void Server::reload(const char* cause) {
  const runtime::DescriptorRoom room;
  // What changes while this goes on has not been read, or perhaps not: it is read again.
  const std::vector<std::string> known = watched_;
  const std::string before = state_of(known);
  config::LoadedGateway loaded = config::load_gateway(gateway_->file);
  report(loaded.problems);
  watched_.insert(watched_.end(), loaded.missing.begin(), loaded.missing.end());
  bool applied = false;
  if (loaded.config) {
    auto next = std::make_shared<const config::GatewayConfig>(std::move(*loaded.config));
    const std::string fixed = changed_fixed_settings(*gateway_, *next);
    if (!fixed.empty()) {
      journal(Level::error,
              "the configuration was not reloaded: " + fixed +
                  " cannot change while the gateway runs; restart it to apply this",
              {{"cause", cause}});
    } else {
      applied = try_apply(next);
    }
  }
  // In this order: what changes between the two is in neither or makes them differ.
  const std::string after = watched_state();
  watched_fingerprint_ = state_of(known) == before ? after : std::string();
  count_reload(applied);
  journal(applied ? Level::info : Level::error,
          applied ? "configuration reloaded" : "configuration not reloaded: the old one serves on", {{"cause", cause}});
}

void Server::count_reload(bool applied) {
  metrics_.counter(families::config_reloads_total, {applied ? "success" : "failure"})->add();
  metrics_.gauge(families::config_last_reload_successful, {})->set_whole(applied ? 1 : 0);
}

std::string Server::watched_state() const { return state_of(watched_); }

std::string Server::state_of(std::vector<std::string> files) const {
  const runtime::DescriptorRoom room;
  for (const char* const pattern : {"*.yaml", "*.yml"})
    for (std::string& file : expand_glob(gateway_->tenants_directory + pattern)) files.push_back(std::move(file));
  return fingerprint(files);
}

Task<void> Server::watch_files() {
  watched_fingerprint_ = watched_state();
  while (!stopping_) {
    co_await loop_.sleep(watch_interval);
    const std::string now = watched_state();
    if (now == watched_fingerprint_ || draining_) continue;
    // Whoever writes several files, or one in pieces, gets a moment to finish.
    co_await loop_.sleep(watch_interval / 4);
    if (watched_state() != now) continue;
    reload("changed files");
  }
}

void Server::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      if (!draining_) {
        reload("SIGHUP");
      } else {  // what serves is about to end
        count_reload(false);
        journal(Level::error, "configuration not reloaded: the gateway is draining", {{"cause", "SIGHUP"}});
      }
      break;
    case SIGUSR1:
      if (access_log_) access_log_->reopen();
      if (audit_log_) audit_log_->reopen();
      break;
    case SIGUSR2: journal(Level::warning, "an upgrade in place (SIGUSR2) is not available in this version"); break;
    case SIGQUIT:
      journal(Level::warning, "stopping at once");
      exit_code_ = 0;
      loop_.stop();
      break;
    default:  // SIGTERM, SIGINT
      if (draining_) {
        if (number == SIGINT) loop_.stop();  // asked twice from a terminal
        break;
      }
      draining_ = true;
      loop_.spawn(run_drain());
      break;
  }
}

Task<void> Server::run_drain() {
  journal(Level::info, "draining: not ready any more");
  for (const auto& thread : workers_) {
    proxy::Worker* const worker = &thread->worker;
    thread->loop.post([worker] { worker->context.draining = true; });
  }
  // Whoever balances over several gateways sees the readiness fail before a connection is refused.
  co_await loop_.sleep(gateway_->timeouts.shutdown_delay);
  for (const auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->loop.post([self] {
      for (const auto& listener : self->listeners) listener->ignore_newcomers();
    });
  }
  co_await loop_.sleep(handshakes_end);
  for (const auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->loop.post([self] {
      for (const auto& listener : self->listeners) listener->drain_and_close();
      self->worker.begin_drain();
    });
  }
  const auto end = runtime::Clock::now() + gateway_->timeouts.shutdown;
  while (shared_->connections.load(std::memory_order_relaxed) > 0 && runtime::Clock::now() < end)
    co_await loop_.sleep(std::chrono::milliseconds(20));
  const std::size_t left = shared_->connections.load(std::memory_order_relaxed);
  if (left > 0) {
    journal(Level::warning, "the drain's time is over: connections are cut", {{"connections", std::to_string(left)}});
    for (const auto& thread : workers_) {
      proxy::Worker* const worker = &thread->worker;
      thread->loop.post([worker] { worker->end_connections(); });
    }
    const auto cut = runtime::Clock::now() + std::chrono::seconds(2);
    while (shared_->connections.load(std::memory_order_relaxed) > 0 && runtime::Clock::now() < cut)
      co_await loop_.sleep(std::chrono::milliseconds(10));
  }
  const auto staying = std::make_shared<std::atomic<std::size_t>>(snapshot_->config->redis ? workers_.size() : 0);
  const auto farewell_ends = runtime::Clock::now() + farewell_time;
  for (const auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->loop.post([self, staying] { self->loop.spawn(WorkerThread::leave(*self, staying)); });
  }
  while (staying->load(std::memory_order_relaxed) > 0 && runtime::Clock::now() < farewell_ends)
    co_await loop_.sleep(farewell_time / 10);
  certificates_->stop();
  const auto leave_ends = runtime::Clock::now() + longest_leave;
  while (!certificates_->has_stopped() && runtime::Clock::now() < leave_ends) co_await loop_.sleep(farewell_time / 4);
  journal(Level::info, "drained");
  loop_.stop();
}

void Server::stop_workers() {
  for (const auto& thread : workers_) {
    WorkerThread* const self = thread.get();
    self->loop.post([self] { self->worker.context.flush_access_records(); });
    self->loop.stop();
  }
  for (const auto& thread : workers_) {
    thread->thread.join();
    thread->worker.context.access_log.reset();  // the last to let a log go waits until it is written
    thread->worker.context.audit_log.reset();
  }
}

int Server::run() {
  const sigset_t signals = handled_signals();
  const SignalReader reader(loop_, signals, [this](int number) { on_signal(number); });
  loop_.spawn(watch_files());
  ready_ = true;
  journal(Level::info, "gatehouse is serving",
          {{"version", GATEHOUSE_VERSION},
           {"workers", std::to_string(worker_count_)},
           {"tenants", std::to_string(snapshot_->tenants.size())}});
  loop_.run();
  stopping_ = true;
  stop_workers();
  // What is queued for the logs is written; tasks that still wait for something end with the process.
  access_log_.reset();
  audit_log_.reset();
  runtime::set_journal_file(nullptr);
  journal_.reset();
  std::fflush(nullptr);
  ::_exit(exit_code_);
}

}  // namespace gatehouse::server
