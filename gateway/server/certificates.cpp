// The gateway's own certificates; see certificates.hpp.
#include "gateway/server/certificates.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "acme/base64url.hpp"
#include "acme/jws.hpp"
#include "acme/sealed.hpp"
#include "config/files.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/runtime/event.hpp"
#include "gateway/runtime/log.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/server/file_storage.hpp"
#include "gateway/upstream/redis_storage.hpp"

namespace gatehouse::server {

using acme::Done;
using acme::Flow;
using runtime::journal;
using runtime::Level;
using runtime::Task;

namespace {

constexpr auto dns_time = std::chrono::seconds(10);
constexpr std::uint32_t challenge_ttl = 60;  // seconds that resolvers keep a challenge's record

/// The first line of a file of gateway.yaml's.
std::expected<acme::Secret, std::string> first_line(const std::string& file) {
  auto text = config::FileRules::of_gateway(file).read(file);
  if (!text) return std::unexpected(text.error());
  const acme::Secret all(*std::move(text));
  std::string_view line = all.reveal();
  line = line.substr(0, line.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return acme::Secret(std::string(line));
}

/// Base64 (RFC 4648 section 4), as TSIG's secrets are written.
std::optional<acme::Secret> decoded(std::string_view base64) {
  if (base64.empty() || base64.size() % 4 != 0) return std::nullopt;
  std::string bytes(base64.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(base64.data()), static_cast<int>(base64.size()));
  if (size < 0) return std::nullopt;
  const std::size_t padding = base64.ends_with("==") ? 2 : base64.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return acme::Secret(std::move(bytes));
}

acme::ChallengeType type_of(config::AcmeChallenge challenge) {
  switch (challenge) {
    case config::AcmeChallenge::http_01: return acme::ChallengeType::http_01;
    case config::AcmeChallenge::tls_alpn_01: return acme::ChallengeType::tls_alpn_01;
    case config::AcmeChallenge::dns_01: return acme::ChallengeType::dns_01;
  }
  return acme::ChallengeType::http_01;
}

acme::KeyType type_of(config::CertificateKey key) {
  switch (key) {
    case config::CertificateKey::ecdsa_p256: return acme::KeyType::ecdsa_p256;
    case config::CertificateKey::rsa_2048: return acme::KeyType::rsa_2048;
    case config::CertificateKey::rsa_3072: return acme::KeyType::rsa_3072;
    case config::CertificateKey::rsa_4096: return acme::KeyType::rsa_4096;
  }
  return acme::KeyType::ecdsa_p256;
}

std::unique_ptr<acme::Storage> make_storage(runtime::Loop& loop, const config::GatewayConfig& gateway,
                                            const std::string& member) {
  const std::string& key_file = gateway.storage.encryption_key_file;
  if (key_file.empty() || !gateway.redis)
    return std::make_unique<FileStorage>(gateway.storage.directory + "/certificates", member);
  const auto key = first_line(key_file);
  if (!key) throw std::runtime_error("storage.redis.encryption_key_file: " + key.error());
  auto sealer = acme::Sealer::from_base64(key->reveal());
  if (!sealer)
    throw std::runtime_error(fmt::format("storage.redis.encryption_key_file {}: {}", key_file, sealer.error()));
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
  certifier_->on_certificate = [this](const acme::Identifier& name, const std::string& chain, const acme::Secret& key) {
    serve(name, chain, key);
  };
  certifier_->on_challenges = [this](const std::vector<acme::Presentation>& presentations) {
    return answer(presentations);
  };
  certifier_->on_order = [this](bool is_success) { (is_success ? orders_succeeded_ : orders_failed_)->add(); };
}

Certificates::~Certificates() = default;

// --- what is wanted

acme::AuthorityRef Certificates::authority_of(const config::AcmeAuthority& config) {
  auto authority = std::make_shared<acme::Authority>();
  authority->name = config.name;
  authority->directory = config.directory;
  authority->ca_file = config.ca_file;
  if (!config.email.empty()) authority->contacts.push_back("mailto:" + config.email);
  authority->profile = config.profile;
  authority->preferred_chain = config.preferred_chain;
  authority->challenge = type_of(config.challenge);
  authority->key_type = type_of(config.key_type);
  authority->fallback = config.fallback;
  const auto refuse = [&](const std::string& why) -> acme::AuthorityRef {
    report("acme." + config.name + " cannot be used", why, true);
    return nullptr;
  };
  if (!config.eab_key_id.empty()) {
    const auto text = first_line(config.eab_key_file);
    if (!text) return refuse(text.error());
    auto key = acme::from_base64url(text->reveal());
    if (!key || key->empty()) return refuse(config.eab_key_file + " holds no base64url");
    authority->external.emplace(config.eab_key_id, acme::Secret(*std::move(key)));
  }
  if (config.dns) {
    const auto text = first_line(config.dns->secret_file);
    if (!text) return refuse(text.error());
    auto secret = decoded(text->reveal());
    if (!secret) return refuse(config.dns->secret_file + " holds no base64");
    authority->dns.emplace(acme::DnsServer{config.dns->server.to_string(),
                                           config.dns->zone,
                                           {config.dns->key_name, *std::move(secret)},
                                           std::chrono::ceil<acme::Seconds>(config.dns->propagation)});
  }
  return authority;
}

void Certificates::configure(const config::GatewayConfig& gateway, const proxy::Snapshot& snapshot) {
  std::erase_if(slots_, [](const auto& item) { return item.second.slot.expired(); });
  std::vector<acme::AuthorityRef> authorities;
  for (const config::AcmeAuthority& config : gateway.acme)
    if (auto authority = authority_of(config)) authorities.push_back(std::move(authority));
  std::vector<acme::Wanted> wanted;
  for (const auto& [name, host] : snapshot.hosts) {
    if (!host.slot) continue;
    wanted.push_back({{acme::Identifier::Type::dns, name}, host.tenant->tenant.config->name, host.config->authority});
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
                                                             const net::ServerTlsSettings& rules,
                                                             const std::string& chain, const acme::Secret& key,
                                                             const net::CertificateSlot* slot) {
  struct Source {
    net::ServerTlsSettings settings;
    acme::Secret key;
  };
  auto source = std::make_shared<Source>(rules, key);
  source->settings.certificate_pem = chain;
  source->settings.identity = slot;
  return std::make_shared<const net::LazyServerTls>([source, host]() -> std::shared_ptr<const net::ServerTls> {
    source->settings.key_pem = source->key.reveal();
    auto made = net::ServerTls::create(source->settings);
    const acme::Secret wiped(std::move(source->settings.key_pem));
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
  struct Interim {
    const net::CertificateSlot* slot = nullptr;
  };
  auto interim = std::make_shared<Interim>();
  auto slot = std::make_shared<net::CertificateSlot>(
      workers_,
      std::make_shared<const net::LazyServerTls>([host, rules, interim]() -> std::shared_ptr<const net::ServerTls> {
        try {
          net::ServerTlsSettings settings = net::make_self_signed({host});
          settings.min_version = rules.min_version;
          settings.client_auth = rules.client_auth;
          settings.client_ca_pem = rules.client_ca_pem;
          settings.client_crl_pem = rules.client_crl_pem;
          settings.identity = interim->slot;
          auto made = net::ServerTls::create(settings);
          return made ? *std::move(made) : nullptr;
        } catch (const std::runtime_error&) {
          return nullptr;  // the default certificate serves the refusal
        }
      }));
  interim->slot = slot.get();
  if (const acme::CertificateRecord* const record = certifier_->record(host))
    slot->set_all(lazy(host, rules, record->chain, record->key, slot.get()));
  slots_.emplace(host, Slot{slot, rules});
  return slot;
}

void Certificates::serve(const acme::Identifier& name, const std::string& chain, const acme::Secret& key) {
  const auto [first, last] = slots_.equal_range(name.value);
  for (auto known = first; known != last; ++known) {
    const auto slot = known->second.slot.lock();
    if (!slot) continue;
    auto certificate = lazy(name.value, known->second.rules, chain, key, slot.get());
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
      const acme::PrivateKey key = acme::PrivateKey::generate(acme::KeyType::ecdsa_p256);
      const std::string certificate =
          key.challenge_certificate(presentation.identifier, presentation.key_authorization);
      auto made = net::ServerTls::create_challenge(certificate, std::string(key.to_pem().reveal()));
      if (made)
        challenges->tls[presentation.identifier.value] = *std::move(made);
      else
        report("a challenge cannot be answered", made.error(), true);
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

Flow<std::expected<Done, std::string>> Certificates::update_dns(const acme::DnsServer& server,
                                                                std::vector<acme::TxtChange> changes) {
  const auto address = SocketAddress::parse(server.server);
  if (!address) co_return std::unexpected("no address: " + server.server);
  std::uint16_t id = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id) != 1) co_return std::unexpected("no random bytes");
  acme::DnsRequest request;
  try {
    request = acme::dns_update(server.zone, changes, challenge_ttl, id, server.key, now());
  } catch (const std::invalid_argument& error) {
    co_return std::unexpected(std::string(error.what()));
  }
  const auto failure = [&](std::string_view what) {
    return std::unexpected(fmt::format("the name server {}: {}", server.server, what));
  };
  net::Stream stream(loop_);
  stream.expires_after(dns_time);
  runtime::Errc error = co_await stream.connect(*address);
  // Over TCP each message has its length before it (RFC 1035 section 4.2.2).
  const auto size_bytes = [](std::size_t size) {
    return std::string{static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
  };
  const std::string size = size_bytes(request.message.size());
  if (error == runtime::Errc::ok) {
    const std::string_view slices[] = {size, request.message};
    error = co_await stream.write(slices);
  }
  if (error != runtime::Errc::ok) co_return failure(runtime::error_text(error));
  std::string answer(2 + 65535, '\0');
  std::size_t got = 0;
  const auto wanted = [&] {
    return got < 2 ? std::size_t{2}
                   : 2 + (static_cast<std::size_t>(static_cast<unsigned char>(answer[0])) << 8 |
                          static_cast<unsigned char>(answer[1]));
  };
  while (got < wanted()) {
    const auto read = co_await stream.read(std::span<char>(answer).subspan(got, wanted() - got));
    if (!read) co_return failure(runtime::error_text(read.error()));
    got += *read;
  }
  stream.close();
  auto updated =
      acme::read_update_answer(std::string_view(answer).substr(2, got - 2), id, request.mac, server.key, now());
  if (!updated) co_return failure(updated.error());
  co_return Done{};
}

}  // namespace gatehouse::server
