// TLS settings: server contexts chosen by SNI, client contexts for upstreams and Redis. Made when a snapshot is
// built, immutable afterwards, shared by all workers.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/tenant_config.hpp"

namespace gatehouse::net {

/// What one host's TLS is made of. Equal settings are one ServerTls, so that "the same settings" is a pointer compare.
struct ServerTlsSettings {
  std::string certificate_pem;  // leaf first
  std::string key_pem;
  std::string
      second_certificate_pem;  // with another kind of key, for clients that do not know the first one's; or empty
  std::string second_key_pem;
  config::TlsVersion min_version = config::TlsVersion::tls12;
  config::ClientAuth client_auth = config::ClientAuth::off;
  std::string client_ca_pem;
  std::string client_crl_pem;  // revocation lists, one of each authority that signs clients; empty: not asked
  /// What the host's settings are known by from one certificate to the next: equal for equal rules and certificates from
  /// the same place. Empty: each ServerTls is its own.
  std::string lineage;
  bool operator==(const ServerTlsSettings&) const = default;
};

/// Frees an object of OpenSSL's.
template <auto Free>
struct OpenSslDeleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using X509Ptr = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDeleter<EVP_PKEY_free>>;

/// Certificates between a leaf and its root. Those of one CA's leaves are the same and one object.
class Intermediates;

/// The protocol of tls-alpn-01's connections (RFC 8737 section 6.2).
inline constexpr std::string_view acme_alpn = "acme-tls/1";

/// A certificate with its key and rules, ready to serve. All hosts share one SSL_CTX (ServerTlsBase's): one for each
/// would cost 20 KiB, and a handshake that finds none of it in the processor's caches a third more.
class ServerTls {
 public:
  /// The error names what is wrong (key does not fit, no certificate in the file, expired chain is not an error).
  static std::expected<std::shared_ptr<const ServerTls>, std::string> create(const ServerTlsSettings& settings);
  ~ServerTls();
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  /// Answers the challenge tls-alpn-01 (RFC 8737) and nothing else: connections end with the handshake.
  static std::expected<std::shared_ptr<const ServerTls>, std::string> create_challenge(
      const std::string& certificate_pem, const std::string& key_pem);

  /// Makes a connection serve with it, from the ClientHello callback on. False: out of memory.
  [[nodiscard]] bool apply_to(SSL* connection) const noexcept;
  /// Whether a connection that was made with this may speak for hosts with `other`: the same settings, or those that a
  /// renewed certificate has brought.
  [[nodiscard]] bool speaks_for(const ServerTls& other) const noexcept {
    return this == &other || descends_from(other.lineage_);
  }
  [[nodiscard]] bool descends_from(std::string_view lineage) const noexcept {
    return !lineage.empty() && lineage_ == lineage;
  }
  [[nodiscard]] bool is_challenge() const noexcept { return is_challenge_; }
  [[nodiscard]] config::ClientAuth client_auth() const noexcept { return client_auth_; }
  [[nodiscard]] std::chrono::system_clock::time_point not_before() const noexcept { return not_before_; }
  [[nodiscard]] std::chrono::system_clock::time_point not_after() const noexcept { return not_after_; }
  /// Whether a client that has shown this certificate before (null: none) may resume its session: neither it nor the
  /// revocation lists have run out meanwhile.
  [[nodiscard]] bool still_takes(const X509* client) const noexcept;
  /// Whether clients that ask for the host take the certificate for its own (RFC 9525): a name, a wildcard or an address;
  /// true for "*", which is whatever nobody claims.
  [[nodiscard]] bool names(const std::string& host) const;
  [[nodiscard]] const std::string& issuer() const noexcept { return issuer_; }
  [[nodiscard]] bool is_self_signed() const noexcept { return self_signed_; }

 private:
  ServerTls() = default;
  std::expected<void, std::string> add_certificate(const std::string& certificate_pem, const std::string& key_pem);

  struct Certificate {
    X509Ptr leaf;
    KeyPtr key;
    std::shared_ptr<const Intermediates> intermediates;
  };
  std::vector<Certificate> certificates_;  // one, or two with different kinds of keys
  struct ClientAuthorities;
  std::unique_ptr<const ClientAuthorities> client_authorities_;  // null: no client is asked for a certificate
  std::array<unsigned char, 32> session_context_{};
  config::TlsVersion min_version_ = config::TlsVersion::tls12;
  config::ClientAuth client_auth_ = config::ClientAuth::off;
  std::chrono::system_clock::time_point not_before_;
  std::chrono::system_clock::time_point not_after_;
  std::string issuer_;
  bool self_signed_ = false;
  bool is_challenge_ = false;
  std::string lineage_;
};

class TicketKeys;

/// Chooses the settings for a name that a client sent. One a worker; called during handshakes.
class SniSelector {
 public:
  /// Never null: unknown names get the self-signed default.
  [[nodiscard]] virtual std::shared_ptr<const ServerTls> select(std::string_view server_name) noexcept = 0;
  /// For a client that sent no name, as those do that were given an address (RFC 6066 section 3). `destination`: what it
  /// has connected to. Never null.
  [[nodiscard]] virtual std::shared_ptr<const ServerTls> select_unnamed(const IpAddress& destination) noexcept = 0;
  /// For a CA that validates the name (ALPN "acme-tls/1"); null: no such challenge is under way.
  [[nodiscard]] virtual std::shared_ptr<const ServerTls> select_challenge(std::string_view server_name) noexcept = 0;
  /// What tickets are encrypted with now; null: no session can be resumed.
  [[nodiscard]] virtual const TicketKeys* ticket_keys() const noexcept = 0;

 protected:
  ~SniSelector() = default;
};

/// The context of every connection; the ClientHello callback applies the selected settings to the connection.
class ServerTlsBase {
 public:
  ServerTlsBase();
  ~ServerTlsBase();
  ServerTlsBase(const ServerTlsBase&) = delete;
  ServerTlsBase& operator=(const ServerTlsBase&) = delete;
  [[nodiscard]] SSL_CTX* context() const noexcept { return context_; }

 private:
  static int on_client_hello(SSL* ssl, int* alert, void* arg);
  static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                     unsigned offered_size, void* arg);
  static SSL_TICKET_RETURN on_session(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                                      SSL_TICKET_STATUS status, void*);
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                       int is_new);
  SSL_CTX* context_;
};

/// TLS towards an upstream or Redis: verified against `ca_pem` or the system's CAs.
class ClientTls {
 public:
  struct Settings {
    std::optional<std::string> ca_pem;  // absent: system CAs
    std::optional<std::string> certificate_pem;  // client certificate, with key_pem
    std::string key_pem;
  };
  static std::expected<std::shared_ptr<const ClientTls>, std::string> create(const Settings& settings);
  ~ClientTls();
  ClientTls(const ClientTls&) = delete;
  ClientTls& operator=(const ClientTls&) = delete;
  [[nodiscard]] SSL_CTX* context() const noexcept { return context_; }

 private:
  ClientTls() = default;
  SSL_CTX* context_ = nullptr;
};

/// A self-signed P-256 certificate for `names` (hosts: DNS names, addresses; the first is the common name), valid for 397 days.
/// Throws std::runtime_error when OpenSSL cannot (no entropy, out of memory).
[[nodiscard]] ServerTlsSettings make_self_signed(const std::vector<std::string>& names);

/// The text of OpenSSL's error queue, oldest first, and clears it. Never contains key material.
[[nodiscard]] std::string take_openssl_errors();

}  // namespace gatehouse::net
