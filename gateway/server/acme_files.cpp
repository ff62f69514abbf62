// See acme_files.hpp.
#include "gateway/server/acme_files.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "acme/base64url.hpp"
#include "config/files.hpp"

namespace gatehouse::server {
namespace {

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

bool has_certificate(const std::string& pem) {
  const std::unique_ptr<BIO, int (*)(BIO*)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> first(
      text ? PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr) : nullptr, X509_free);
  ERR_clear_error();
  return first != nullptr;
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

std::expected<acme::DnsRecords, std::string> read_dns(const config::DnsUpdates& config) {
  const auto propagation = std::chrono::ceil<acme::Seconds>(config.propagation);
  if (config.webhook) {
    acme::DnsWebhook webhook{config.webhook->url, config.webhook->user, {}, config.webhook->ca_file};
    if (!config.webhook->password_file.empty()) {
      auto password = read_secret(config.webhook->password_file);
      if (!password) return std::unexpected(std::move(password).error());
      if (password->empty()) return std::unexpected(config.webhook->password_file + " begins with an empty line");
      webhook.password = *std::move(password);
    }
    return acme::DnsRecords{std::move(webhook), propagation};
  }
  const auto text = read_secret(config.secret_file);
  if (!text) return std::unexpected(text.error());
  auto secret = decoded(text->reveal());
  if (!secret) return std::unexpected(config.secret_file + " holds no base64 on its first line");
  return acme::DnsRecords{
      acme::DnsServer{config.server.to_string(), config.zone, {config.key_name, *std::move(secret)}}, propagation};
}

}  // namespace

std::expected<acme::Secret, std::string> read_secret(const std::string& file) {
  auto text = config::FileRules::of_gateway(file).read(file);
  if (!text) return std::unexpected(text.error());
  const acme::Secret all(*std::move(text));
  std::string_view line = all.reveal();
  line = line.substr(0, line.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return acme::Secret(std::string(line));
}

std::expected<acme::AuthorityRef, std::string> read_authority(const config::AcmeAuthority& config) {
  auto authority = std::make_shared<acme::Authority>();
  authority->name = config.name;
  authority->directory = config.directory;
  authority->ca_file = config.ca_file;
  if (!config.ca_file.empty()) {
    const auto text = config::FileRules::of_gateway(config.ca_file).read(config.ca_file);
    if (!text) return std::unexpected(text.error());
    if (!has_certificate(*text)) return std::unexpected(config.ca_file + " holds no PEM certificate");
  }
  if (!config.email.empty()) authority->contacts.push_back("mailto:" + config.email);
  authority->profile = config.profile;
  authority->preferred_chain = config.preferred_chain;
  authority->challenge = type_of(config.challenge);
  authority->key_type = type_of(config.key_type);
  if (config.second_key_type) authority->second_key_type = type_of(*config.second_key_type);
  authority->rehearsal = config.rehearsal;
  authority->fallback = config.fallback;
  if (!config.eab_key_id.empty()) {
    const auto text = read_secret(config.eab_key_file);
    if (!text) return std::unexpected(text.error());
    auto key = acme::from_base64url(text->reveal());
    if (!key || key->empty()) return std::unexpected(config.eab_key_file + " holds no base64url on its first line");
    authority->external.emplace(config.eab_key_id, acme::Secret(*std::move(key)));
  }
  if (config.dns) {
    auto dns = read_dns(*config.dns);
    if (!dns) return std::unexpected(std::move(dns).error());
    authority->dns.emplace(*std::move(dns));
  }
  return authority;
}

std::expected<acme::Sealer, std::string> read_storage_key(const std::string& file) {
  const auto key = read_secret(file);
  if (!key) return std::unexpected(key.error());
  auto sealer = acme::Sealer::from_base64(key->reveal());
  if (!sealer) return std::unexpected(fmt::format("{}: {}", file, sealer.error()));
  return sealer;
}

}  // namespace gatehouse::server
