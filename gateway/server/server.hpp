// The running gateway: worker threads, background thread, reload, drain. Called by main.cpp.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gateway/net/listener.hpp"
#include "gateway/proxy/worker.hpp"
#include "gateway/runtime/log.hpp"
#include "gateway/runtime/work_pool.hpp"
#include "gateway/server/certificates.hpp"
#include "gateway/server/snapshot_builder.hpp"
#include "gateway/upstream/redis_client.hpp"

namespace gatehouse::server {

class Admin;

/// Runs the gateway until it is told to stop. The thread that calls run() is the background thread.
/// Blocks the signals that a Server serves, in this thread and those that it will make: they wait until it runs.
void hold_signals() noexcept;

class Server {
 public:
  /// `gateway` has been loaded without errors. Throws std::runtime_error when the gateway cannot start: an address
  /// is taken, a log cannot be opened, the WAF's rules do not load.
  explicit Server(std::shared_ptr<const config::GatewayConfig> gateway);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves until SIGTERM, SIGINT or SIGQUIT. Returns the exit code.
  int run();

  /// What the admin endpoints show. On the background thread.
  [[nodiscard]] bool ready() const noexcept { return ready_ && !draining_; }
  [[nodiscard]] std::string metrics_text();
  [[nodiscard]] std::string status_json();
  [[nodiscard]] Certificates& certificates() noexcept { return *certificates_; }

 private:
  struct WorkerThread;

  /// Opens the logs that `gateway` names; those whose path is unchanged stay open. Throws std::runtime_error.
  void open_logs(const config::GatewayConfig& gateway);
  [[nodiscard]] std::string watched_state() const;
  [[nodiscard]] std::string state_of(std::vector<std::string> files) const;  // with the tenants' files
  void load_certificates();
  void make_workers();   // opens their listeners; no thread yet
  void tell_of_exhaustion(const proxy::ListenerFacts& listener, int error);
  void start_workers();
  void reload(const char* cause);
  void count_reload(bool applied);
  bool try_apply(std::shared_ptr<const config::GatewayConfig> next);
  void apply(SnapshotBuilder::Result result);
  void report(const config::Problems& problems);
  void on_signal(int number);
  void drain();
  void stop_workers();
  runtime::Task<void> watch_files();
  runtime::Task<void> run_drain();
  [[nodiscard]] std::map<std::string, acme::Certifier::State> certificate_states() const;
  void update_gauges();

  std::shared_ptr<const config::GatewayConfig> gateway_;
  runtime::Loop loop_;
  std::size_t worker_count_;
  runtime::Metrics metrics_;
  ratelimit::MemoryStore memory_;
  std::unique_ptr<proxy::Shared> shared_;
  std::unique_ptr<runtime::LogFile> journal_;
  struct JournalGuard {
    ~JournalGuard();
  } journal_guard_;  // the journal is not used any more once its file goes, also when the constructor throws
  std::shared_ptr<runtime::LogFile> access_log_;
  std::shared_ptr<runtime::LogFile> audit_log_;
  std::atomic<int> redis_serving_ = 0;
  upstream::RedisTrouble redis_trouble_;
  std::atomic<bool> exhaustion_is_told_ = false;
  std::atomic<std::int64_t> exhaustion_told_next_ = 0;  // seconds of runtime::Clock
  const std::string gateway_id_;  // among those that share a store
  std::unique_ptr<upstream::HealthChecker> health_;
  std::unique_ptr<Certificates> certificates_;
  std::unique_ptr<SnapshotBuilder> builder_;
  std::shared_ptr<const proxy::Snapshot> snapshot_;
  std::vector<SnapshotBuilder::TenantState> tenant_states_;
  std::vector<std::string> watched_;
  std::string watched_fingerprint_;
  std::vector<std::unique_ptr<proxy::ListenerFacts>> listeners_;
  std::unique_ptr<runtime::WorkPool> work_pool_;
  filter::ByteCount held_bytes_ = 0;
  filter::ClientBytes client_bytes_;
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  std::unique_ptr<Admin> admin_;
  std::chrono::system_clock::time_point started_;
  bool ready_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  int exit_code_ = 0;
};

}  // namespace gatehouse::server
