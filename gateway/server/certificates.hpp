// The certificates that the gateway obtains itself: gives acme/ its network, clock and storage, and the workers what comes
// of it. Runs on the background thread; owned by the server.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "acme/certifier.hpp"
#include "config/gateway_config.hpp"
#include "gateway/filter/challenges.hpp"
#include "gateway/net/certificate_slot.hpp"
#include "gateway/proxy/snapshot.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/runtime/task.hpp"
#include "gateway/server/fleet_tickets.hpp"
#include "gateway/upstream/http_client.hpp"

namespace gatehouse::server {

class Certificates final : public acme::Environment {
 public:
  /// Does `work` on the thread of a worker, soon.
  using OnWorker = std::function<void(unsigned worker, std::function<void()> work)>;
  /// Makes `challenges` those that the worker answers. On its thread.
  using SetChallenges = std::function<void(unsigned worker, std::shared_ptr<const filter::Challenges> challenges)>;
  /// Makes `keys` those of the worker's session tickets. On its thread.
  using SetTicketKeys = std::function<void(unsigned worker, std::shared_ptr<const net::TicketKeys> keys)>;

  /// `gateway` says where certificates are stored; nothing is touched before a host wants one. `member` names this process
  /// among those that share the storage. Throws std::runtime_error when the storage's key cannot be used.
  Certificates(runtime::Loop& background, runtime::Metrics& metrics, const config::GatewayConfig& gateway,
               std::string member, std::size_t workers);
  ~Certificates() override;

  void use_workers(OnWorker on_worker, SetChallenges set_challenges, SetTicketKeys set_ticket_keys) {
    on_worker_ = std::move(on_worker);
    set_challenges_ = std::move(set_challenges);
    set_ticket_keys_ = std::move(set_ticket_keys);
  }
  /// The workers' loops run from now on: what they are to answer is waited for.
  void workers_run();
  /// What a worker answers from its first connection on: before workers run, challenges come without being handed to them.
  [[nodiscard]] std::shared_ptr<const filter::Challenges> challenges() const noexcept { return challenges_; }

  /// The place of a host's certificate. The same one as before where the settings are: `rules` are those of the host
  /// besides its certificate.
  [[nodiscard]] std::shared_ptr<net::CertificateSlot> slot_of(const std::string& host,
                                                              const net::ServerTlsSettings& rules);

  /// The hosts that are served from now on. Where a file of a CA's cannot be used the log says so, and that CA is not asked.
  void configure(const config::GatewayConfig& gateway, const proxy::Snapshot& snapshot);

  [[nodiscard]] bool is_wanted() const noexcept { return is_wanted_; }
  /// What is stored has been read once.
  [[nodiscard]] bool is_loaded() const noexcept { return fleet_->has_synced(); }
  /// Begins to follow the storage, once; without hosts that want certificates nothing happens.
  void start();
  /// Tells the others, so that one of them goes on; done when has_stopped().
  void stop() noexcept;
  [[nodiscard]] bool has_stopped() const noexcept { return !is_running_; }

  [[nodiscard]] acme::Certifier& certifier() noexcept { return *certifier_; }
  struct Summary {
    std::size_t members = 1;
    bool is_leading = false;
    std::string trouble;  // why the storage does not answer, or what in it cannot be acted on
  };
  [[nodiscard]] Summary summary();

  // acme::Environment
  acme::Time now() override;
  double chance() override;
  acme::Flow<acme::Done> sleep(std::chrono::milliseconds duration) override;
  void spawn(acme::Flow<acme::Done> flow) override;
  acme::Flow<std::expected<acme::HttpResponse, std::string>> send(const acme::Authority& authority,
                                                                  acme::HttpRequest request) override;
  acme::Flow<std::expected<acme::Done, std::string>> update_dns(const acme::DnsRecords& records,
                                                                std::vector<acme::TxtChange> changes) override;
  void report(std::string_view what, std::string_view about, bool is_error) override;

 private:
  struct Slot {
    std::weak_ptr<net::CertificateSlot> slot;
    net::ServerTlsSettings rules;
  };
  [[nodiscard]] std::expected<upstream::HttpClient*, std::string> client_for(const std::string& ca_file);
  void serve(const acme::Identifier& host);
  [[nodiscard]] acme::Flow<acme::Done> answer(const std::vector<acme::Presentation>& presentations);
  void use_ticket_keys(std::shared_ptr<const net::TicketKeys> keys);
  [[nodiscard]] runtime::Task<void> rotate_own_ticket_keys();
  /// Of what there is for the host now; null: nothing.
  [[nodiscard]] std::shared_ptr<const net::LazyServerTls> lazy(const std::string& host,
                                                               const net::ServerTlsSettings& rules);

  runtime::Loop& loop_;
  const std::size_t workers_;
  OnWorker on_worker_;
  SetChallenges set_challenges_;
  std::shared_ptr<const filter::Challenges> challenges_;
  SetTicketKeys set_ticket_keys_;
  bool workers_run_ = false;
  bool is_wanted_ = false, is_running_ = false;
  std::mt19937_64 random_;
  std::unique_ptr<acme::Storage> storage_;
  std::unique_ptr<acme::Fleet> fleet_;
  std::unique_ptr<acme::Certifier> certifier_;
  std::unique_ptr<FleetTickets> tickets_;
  std::shared_ptr<const net::TicketKeys> ticket_keys_;
  bool has_fleets_keys_ = false;
  std::multimap<std::string, Slot> slots_;  // by host
  std::map<std::string, std::unique_ptr<upstream::HttpClient>> clients_;  // by ca_file
  std::shared_ptr<runtime::Counter> orders_succeeded_, orders_failed_;
};

}  // namespace gatehouse::server
