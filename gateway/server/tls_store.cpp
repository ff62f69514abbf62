// See tls_store.hpp.
#include "gateway/server/tls_store.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>

#include "ratelimit/limit_key.hpp"

namespace gatehouse::server {
namespace {

void add(const TlsStore::Source& source, config::Severity severity, const config::Place& place, std::string message) {
  config::Problem problem;
  problem.severity = severity;
  problem.place = place;
  problem.message = std::move(message);
  source.problems.push_back(std::move(problem));
}

void add_error(const TlsStore::Source& source, const config::Place& place, std::string message) {
  add(source, config::Severity::error, place, std::move(message));
}

/// What clients will refuse, though it can be served.
void warn_of_refusals(const net::ServerTls& tls, const config::Host& host, const TlsStore::Source& source) {
  const auto now = std::chrono::system_clock::now();
  if (tls.not_after() < now)
    add(source, config::Severity::warning, host.place,
        fmt::format("the certificate in '{}' has expired on {:%Y-%m-%d}: clients will refuse it", host.certificate_file,
                    fmt::gmtime(std::chrono::system_clock::to_time_t(tls.not_after()))));
  if (tls.not_before() > now)
    add(source, config::Severity::warning, host.place,
        fmt::format("the certificate in '{}' is not valid before {:%Y-%m-%d}: clients will refuse it",
                    host.certificate_file, fmt::gmtime(std::chrono::system_clock::to_time_t(tls.not_before()))));
  if (!tls.names(host.name))
    add(source, config::Severity::warning, host.place,
        fmt::format("the certificate in '{}' is not for {}: clients will refuse it", host.certificate_file, host.name));
}

/// What a file holds now: it was there and readable when the tenant's YAML was read, and may be another since.
std::optional<std::string> read(const std::string& file, const config::Place& place, const TlsStore::Source& source) {
  source.files.push_back(file);
  auto text = source.rules.read(file);
  if (text) return *std::move(text);
  add_error(source, place, text.error() + "; the gateway's user must be able to");
  return std::nullopt;
}

std::string digest_of(const std::string& text) {
  std::string digest;
  ratelimit::append_sha256(digest, text);
  return digest;
}

/// The one that is known as `key`, else what `make` makes.
template <class Tls, class Make>
std::shared_ptr<const Tls> shared(std::map<std::string, std::weak_ptr<const Tls>>& known, const std::string& key,
                                  const Make& make) {
  if (const auto found = known.find(key); found != known.end())
    if (auto tls = found->second.lock()) return tls;
  auto made = make();
  if (made) known[key] = made;
  return made;
}

/// What of a host's settings is not its certificate. False with a problem.
bool read_rules(net::ServerTlsSettings& settings, const config::Host& host, const TlsStore::Source& source) {
  settings.min_version = host.min_version;
  settings.client_auth = host.client_auth;
  if (host.client_auth == config::ClientAuth::off) return true;
  auto authorities = read(host.client_ca_file, host.place, source);
  if (!authorities) return false;
  settings.client_ca_pem = *std::move(authorities);
  if (host.client_crl_file.empty()) return true;
  auto revoked = read(host.client_crl_file, host.place, source);
  if (!revoked) return false;
  settings.client_crl_pem = *std::move(revoked);
  return true;
}

/// Certificates that come from one place under the same rules are of one lineage.
std::string lineage_of(const net::ServerTlsSettings& rules, const std::string& place) {
  return digest_of(fmt::format("{}\n{}\n{}\n{}\n{}", static_cast<int>(rules.min_version),
                               static_cast<int>(rules.client_auth), place, rules.client_ca_pem, rules.client_crl_pem));
}

}  // namespace

std::shared_ptr<net::CertificateSlot> TlsStore::slot_of_host(const config::Host& host, const Source& source) {
  net::ServerTlsSettings rules;
  if (!read_rules(rules, host, source)) return nullptr;
  if (host.client_auth != config::ClientAuth::off) {
    // The authorities must be good whatever certificate comes.
    net::ServerTlsSettings tried = net::make_self_signed({host.name});
    tried.client_auth = rules.client_auth;
    tried.client_ca_pem = rules.client_ca_pem;
    tried.client_crl_pem = rules.client_crl_pem;
    if (const auto made = net::ServerTls::create(tried); !made) {
      add_error(source, host.place, "the host's TLS cannot be set up: " + made.error());
      return nullptr;
    }
  }
  rules.lineage = lineage_of(rules, "acme " + host.name);
  return slot_of_(host.name, rules);
}

std::shared_ptr<const net::ServerTls> TlsStore::of_host(const config::Host& host, const Source& source) {
  net::ServerTlsSettings settings;
  if (host.tls == config::HostTls::files) {
    auto certificate = read(host.certificate_file, host.place, source);
    auto key = read(host.key_file, host.place, source);
    if (!certificate || !key) return nullptr;
    settings.certificate_pem = *std::move(certificate);
    settings.key_pem = *std::move(key);
  } else {
    auto known = self_signed_.find(host.name);
    if (known == self_signed_.end()) known = self_signed_.emplace(host.name, net::make_self_signed({host.name})).first;
    settings = known->second;
  }
  if (!read_rules(settings, host, source)) return nullptr;
  if (host.tls == config::HostTls::files)
    settings.lineage = lineage_of(settings, host.certificate_file + '\n' + host.key_file);
  const std::string key = digest_of(fmt::format("{}\n{}\n{}\n{}\n{}\n{}", static_cast<int>(settings.min_version),
                                                static_cast<int>(settings.client_auth), settings.certificate_pem,
                                                settings.key_pem, settings.client_ca_pem, settings.client_crl_pem));
  auto tls = shared(hosts_, key, [&]() -> std::shared_ptr<const net::ServerTls> {
    auto made = net::ServerTls::create(settings);
    if (made) return *std::move(made);
    add_error(source, host.place, "the host's TLS cannot be set up: " + made.error());
    return nullptr;
  });
  if (tls && host.tls == config::HostTls::files) warn_of_refusals(*tls, host, source);
  return tls;
}

std::shared_ptr<const net::ClientTls> TlsStore::of_service(const config::Service& service, const Source& source) {
  net::ClientTls::Settings settings;
  if (!service.tls.ca_file.empty()) {
    settings.ca_pem = read(service.tls.ca_file, service.place, source);
    if (!settings.ca_pem) return nullptr;
  }
  if (!service.tls.certificate_file.empty()) {
    settings.certificate_pem = read(service.tls.certificate_file, service.place, source);
    auto key = read(service.tls.key_file, service.place, source);
    if (!settings.certificate_pem || !key) return nullptr;
    settings.key_pem = *std::move(key);
  }
  const std::string key =
      digest_of(fmt::format("{}\n{}\n{}\n{}", settings.ca_pem.has_value(), settings.ca_pem.value_or(""),
                            settings.certificate_pem.value_or(""), settings.key_pem));
  return shared(services_, key, [&]() -> std::shared_ptr<const net::ClientTls> {
    auto made = net::ClientTls::create(settings);
    if (made) return *std::move(made);
    add_error(source, service.place,
              "service '" + service.name + "': TLS to the service cannot be set up: " + made.error());
    return nullptr;
  });
}

}  // namespace gatehouse::server
