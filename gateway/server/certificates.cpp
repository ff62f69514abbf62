// The gateway's own certificates; see certificates.hpp.
#include "gateway/server/certificates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "acme/jws.hpp"
#include "config/files.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/runtime/event.hpp"
#include "gateway/runtime/log.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/server/acme_files.hpp"
#include "gateway/server/dns_records.hpp"
#include "gateway/server/file_storage.hpp"
#include "gateway/upstream/redis_storage.hpp"

namespace gatehouse::server {

using acme::Done;
using acme::Flow;
using runtime::journal;
using runtime::Level;
using runtime::Task;

namespace {

std::unique_ptr<acme::Storage> make_storage(runtime::Loop& loop, const config::GatewayConfig& gateway,
                                            const std::string& member) {
  const std::string& key_file = gateway.storage.encryption_key_file;
  if (key_file.empty() || !gateway.redis)
    return std::make_unique<FileStorage>(gateway.storage.directory + "/certificates", member);
  auto sealer = read_storage_key(key_file);
  if (!sealer) throw std::runtime_error("storage.redis.encryption_key_file: " + sealer.error());
  return std::make_unique<upstream::RedisStorage>(loop, *gateway.redis, *std::move(sealer), member);
}

}  // namespace

Certificates::Certificates(runtime::Loop& background, runtime::Metrics& metrics, const config::GatewayConfig& gateway,
                           std::string member, std::size_t workers)
    : loop_(background),
      workers_(workers),
      random_(std::random_device{}()),
      storage_(make_storage(background, gateway, member)),
      fleet_(std::make_unique<acme::Fleet>(*this, *storage_)),
      certifier_(std::make_unique<acme::Certifier>(*this, *fleet_)),
      orders_succeeded_(metrics.counter(runtime::families::acme_orders_total, {"success"})),
      orders_failed_(metrics.counter(runtime::families::acme_orders_total, {"failure"})) {
  is_wanted_ = !gateway.storage.encryption_key_file.empty();  // a fleet shares its session tickets at least
  tickets_ = std::make_unique<FleetTickets>(*this, *fleet_);
  tickets_->on_keys = [this](std::shared_ptr<const net::TicketKeys> keys) {
    has_fleets_keys_ = true;
    use_ticket_keys(std::move(keys));
  };
  certifier_->on_certificate = [this](const acme::Identifier& host) { serve(host); };
  certifier_->on_challenges = [this](const std::vector<acme::Presentation>& presentations) {
    return answer(presentations);
  };
  certifier_->on_order = [this](bool is_success) { (is_success ? orders_succeeded_ : orders_failed_)->add(); };
}

Certificates::~Certificates() = default;

// --- what is wanted

void Certificates::configure(const config::GatewayConfig& gateway, const proxy::Snapshot& snapshot) {
  std::erase_if(slots_, [](const auto& item) { return item.second.slot.expired(); });
  std::vector<acme::AuthorityRef> authorities;
  for (const config::AcmeAuthority& config : gateway.acme)
    if (auto authority = read_authority(config))
      authorities.push_back(*std::move(authority));
    else
      report("acme." + config.name + " cannot be used", authority.error(), true);
  std::vector<acme::Wanted> wanted;
  for (const auto& [name, host] : snapshot.hosts) {
    if (!host.slot) continue;
    wanted.push_back({acme::identifier_of(name), host.tenant->tenant.config->name, host.config->authority});
  }
  is_wanted_ = is_wanted_ || !wanted.empty();
  certifier_->configure(std::move(authorities), std::move(wanted));
}

void Certificates::start() {
  if (!is_wanted_ || is_running_ || fleet_->is_stopping()) return;
  is_running_ = true;
  const auto run = [](Certificates& self) -> Task<void> {
    co_await self.fleet_->run();
    self.is_running_ = false;
  };
  loop_.spawn(run(*this));
}

void Certificates::stop() noexcept { fleet_->stop(); }

Certificates::Summary Certificates::summary() { return {fleet_->members(), fleet_->is_leading(), fleet_->trouble()}; }

// --- what is served

std::shared_ptr<const net::LazyServerTls> Certificates::lazy(const std::string& host,
                                                             const net::ServerTlsSettings& rules) {
  struct Source {
    net::ServerTlsSettings settings;
    std::vector<acme::Secret> keys;
  };
  auto source = std::make_shared<Source>(Source{rules, {}});
  for (const bool is_second : {false, true}) {
    const acme::CertificateRecord* const record = certifier_->record({acme::identifier_of(host), is_second});
    if (record == nullptr) continue;
    (source->keys.empty() ? source->settings.certificate_pem : source->settings.second_certificate_pem) = record->chain;
    source->keys.push_back(record->key);
  }
  if (source->keys.empty()) return nullptr;
  return std::make_shared<const net::LazyServerTls>([source, host]() -> std::shared_ptr<const net::ServerTls> {
    net::ServerTlsSettings& settings = source->settings;
    settings.key_pem = source->keys.front().reveal();
    if (source->keys.size() > 1) settings.second_key_pem = source->keys.back().reveal();
    auto made = net::ServerTls::create(settings);
    const acme::Secret wiped(std::move(settings.key_pem)), also_wiped(std::move(settings.second_key_pem));
    if (made) return *std::move(made);
    journal(Level::error, "a certificate cannot be served", {{"url.domain", host}, {"reason", made.error()}});
    return nullptr;
  });
}

std::shared_ptr<net::CertificateSlot> Certificates::slot_of(const std::string& host,
                                                            const net::ServerTlsSettings& rules) {
  const auto [first, last] = slots_.equal_range(host);
  for (auto known = first; known != last; ++known)
    if (known->second.rules == rules)
      if (auto slot = known->second.slot.lock()) return slot;
  // Until there is a certificate.
  auto slot = std::make_shared<net::CertificateSlot>(
      workers_, std::make_shared<const net::LazyServerTls>([host, rules]() -> std::shared_ptr<const net::ServerTls> {
        try {
          net::ServerTlsSettings settings = net::make_self_signed({host});
          settings.min_version = rules.min_version;
          settings.client_auth = rules.client_auth;
          settings.client_ca_pem = rules.client_ca_pem;
          settings.client_crl_pem = rules.client_crl_pem;
          settings.lineage = rules.lineage;
          auto made = net::ServerTls::create(settings);
          return made ? *std::move(made) : nullptr;
        } catch (const std::runtime_error&) {
          return nullptr;  // the default certificate serves the refusal
        }
      }),
      rules.lineage);
  if (const auto certificate = lazy(host, rules)) slot->set_all(certificate);
  slots_.emplace(host, Slot{slot, rules});
  return slot;
}

void Certificates::serve(const acme::Identifier& identifier) {
  const std::string host = acme::host_of(identifier);
  const auto [first, last] = slots_.equal_range(host);
  for (auto known = first; known != last; ++known) {
    const auto slot = known->second.slot.lock();
    if (!slot) continue;
    const auto certificate = lazy(host, known->second.rules);
    if (!certificate) continue;
    if (!workers_run_) {
      slot->set_all(certificate);  // all that was stored, at start: each is read when it is first needed
      continue;
    }
    if (!certificate->get()) continue;
    for (unsigned worker = 0; worker < workers_; ++worker)
      on_worker_(worker, [slot, certificate, worker] { slot->set(worker, certificate); });
  }
}

Flow<Done> Certificates::answer(const std::vector<acme::Presentation>& presentations) {
  auto challenges = std::make_shared<filter::Challenges>();
  for (const acme::Presentation& presentation : presentations) {
    if (presentation.type == acme::ChallengeType::http_01) {
      challenges->http[presentation.token] = presentation.key_authorization;
    } else if (presentation.type == acme::ChallengeType::tls_alpn_01) {
      // One that no certificate can be made for, perhaps stored by another version, is no reason to answer no others.
      try {
        const acme::PrivateKey key = acme::PrivateKey::generate(acme::KeyType::ecdsa_p256);
        const std::string certificate =
            key.challenge_certificate(presentation.identifier, presentation.key_authorization);
        auto made = net::ServerTls::create_challenge(certificate, std::string(key.to_pem().reveal()));
        if (made)
          challenges->tls[acme::tls_alpn_name(presentation.identifier)] = *std::move(made);
        else
          report("a challenge cannot be answered", presentation.identifier.value + ": " + made.error(), true);
      } catch (const std::exception& failure) {
        report("a challenge cannot be answered", presentation.identifier.value + ": " + failure.what(), true);
      }
    }
  }
  challenges_ = challenges;
  if (!on_worker_ || !workers_run_) co_return Done{};
  auto left = std::make_shared<std::atomic<std::size_t>>(workers_);
  runtime::Event applied(loop_);
  for (unsigned worker = 0; worker < workers_; ++worker)
    on_worker_(worker, [this, worker, challenges, left, &applied] {
      set_challenges_(worker, challenges);
      if (left->fetch_sub(1, std::memory_order_acq_rel) == 1) loop_.post([&applied] { applied.set(); });
    });
  co_await applied;
  co_return Done{};
}

// --- session tickets

void Certificates::use_ticket_keys(std::shared_ptr<const net::TicketKeys> keys) {
  ticket_keys_ = std::move(keys);
  if (!workers_run_) return;
  for (unsigned worker = 0; worker < workers_; ++worker)
    on_worker_(worker, [this, worker, own = ticket_keys_] { set_ticket_keys_(worker, own); });
}

void Certificates::workers_run() {
  workers_run_ = true;
  if (!ticket_keys_) ticket_keys_ = net::TicketKeys::rotated(nullptr, now(), std::chrono::seconds(0));
  use_ticket_keys(ticket_keys_);
  loop_.spawn(rotate_own_ticket_keys());
}

// Until the fleet has its own, and where there is none.
Task<void> Certificates::rotate_own_ticket_keys() {
  while (!has_fleets_keys_) {
    if (auto keys = net::TicketKeys::rotated(ticket_keys_.get(), now(), std::chrono::seconds(0)))
      use_ticket_keys(std::move(keys));
    co_await loop_.sleep(std::chrono::minutes(10));
  }
}

// --- what acme/ needs

acme::Time Certificates::now() { return std::chrono::floor<acme::Seconds>(std::chrono::system_clock::now()); }

double Certificates::chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

Flow<Done> Certificates::sleep(std::chrono::milliseconds duration) {
  co_await loop_.sleep(duration);
  co_return Done{};
}

void Certificates::spawn(Flow<Done> flow) {
  const auto run = [](Flow<Done> own) -> Task<void> { co_await own; };
  loop_.spawn(run(std::move(flow)));
}

void Certificates::report(std::string_view what, std::string_view about, bool is_error) {
  journal(is_error ? Level::warning : Level::info, what, {{"acme", about}});
}

std::expected<upstream::HttpClient*, std::string> Certificates::client_for(const std::string& ca_file) {
  if (const auto known = clients_.find(ca_file); known != clients_.end()) return known->second.get();
  net::ClientTls::Settings settings;
  if (!ca_file.empty()) {
    auto text = config::FileRules::of_gateway(ca_file).read(ca_file);
    if (!text) return std::unexpected(text.error());
    settings.ca_pem = *std::move(text);
  }
  auto tls = net::ClientTls::create(settings);
  if (!tls) return std::unexpected(tls.error());
  auto& client = clients_[ca_file];
  client = std::make_unique<upstream::HttpClient>(loop_, *std::move(tls));
  return client.get();
}

Flow<std::expected<acme::HttpResponse, std::string>> Certificates::send(const acme::Authority& authority,
                                                                        acme::HttpRequest request) {
  const auto client = client_for(authority.ca_file);
  if (!client) co_return std::unexpected(client.error());
  upstream::ClientRequest asked;
  asked.url = std::move(request.url);
  switch (request.method) {
    case acme::HttpRequest::Method::get: break;
    case acme::HttpRequest::Method::head: asked.method = "HEAD"; break;
    case acme::HttpRequest::Method::post:
      asked.method = "POST";
      asked.fields.emplace_back("content-type", acme::jose_type);
      asked.body = std::move(request.body);
      break;
  }
  auto answer = co_await (*client)->send(std::move(asked));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  acme::HttpResponse response;
  response.status = answer->status;
  response.nonce = answer->field("replay-nonce");
  response.location = answer->field("location");
  response.retry_after = answer->field("retry-after");
  response.link = answer->field("link");
  response.body = std::move(answer->body);
  co_return response;
}

Flow<std::expected<Done, std::string>> Certificates::update_dns(const acme::DnsRecords& records,
                                                                std::vector<acme::TxtChange> changes) {
  if (const auto* const webhook = std::get_if<acme::DnsWebhook>(&records.where)) {
    const auto client = client_for(webhook->ca_file);
    if (!client) co_return std::unexpected(client.error());
    co_return co_await call_webhook(**client, *webhook, std::move(changes));
  }
  co_return co_await update_name_server(loop_, std::get<acme::DnsServer>(records.where), std::move(changes), now());
}

}  // namespace gatehouse::server
