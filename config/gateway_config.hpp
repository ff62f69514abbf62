// gateway.yaml as plain data: what the platform's operator decides. Every member's default is the documented
// default, so that an empty file is a valid configuration.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/address.hpp"
#include "config/problem.hpp"

namespace gatehouse::config {

using Milliseconds = std::chrono::milliseconds;

enum class ListenerProtocol { http, https };

struct Listener {
  SocketAddress address;
  ListenerProtocol protocol = ListenerProtocol::https;
  bool proxy_protocol_required = false;
  std::uint16_t redirect_port = 443;  // http listeners: the port that the redirect to HTTPS names
};

struct Redis {
  std::string url;  // as written, without a password; for messages
  bool tls = false;
  std::string host;          // an address or a name
  std::uint16_t port = 6379;
  int database = 0;
  std::string username;      // ACL user; empty: default
  std::string password_file; // absolute path; empty: no AUTH
  std::string ca_file;       // absolute path; empty: system CAs
  bool operator==(const Redis&) const = default;
};

enum class OnError { block, pass };

struct PlatformWaf {
  std::vector<std::string> rules{"/etc/modsecurity/crs/crs-setup.conf",
                                 "/usr/share/modsecurity-crs/rules/*.conf"};  // globs, absolute
  std::vector<Place> rules_places;  // of each of `rules` in gateway.yaml; of the file where it does not name them
  OnError on_error = OnError::block;
  Milliseconds time_budget{250};  // CPU of one transaction
};

struct Limits {
  std::size_t target_bytes = 16UL * 1024;           // request target; longer is 414
  bool underscores_allowed = false;               // header names with '_'; refused since CGI folds '_' and '-'
  bool escaped_slashes_refused = false;           // "%2F", "%5C", "\" in paths; kept: applications use them in names
  bool path_parameters_refused = false;           // ";" and "%3B" in paths; kept: some applications need them
  std::size_t min_rate_bytes_per_second = 240;    // slow peers, after 10 s grace; 0: off
  std::size_t buffered_bytes = 512UL * 1024 * 1024; // bodies held in memory by the whole process
  std::size_t header_bytes = 60UL * 1024;           // whole head; 431
  std::size_t header_count = 100;                 // fields; 431
  std::size_t body_bytes = 10UL * 1024 * 1024;      // request body; 413
  std::size_t connections = 0;                    // 0: the smaller of 50,000 and (RLIMIT_NOFILE - 512) / 2
  std::size_t connections_per_client = 256;       // IPv6 by /64; 0: none
  std::size_t h2_streams = 100;                   // requests at once on one HTTP/2 connection
};

struct Timeouts {
  Milliseconds tls_handshake{10'000};
  Milliseconds request_header{10'000};
  Milliseconds request_body_idle{30'000};
  Milliseconds idle{60'000};
  Milliseconds upstream_connect{2'000};
  Milliseconds response{60'000};
  Milliseconds tunnel_idle{3'600'000};
  Milliseconds shutdown_delay{5'000};
  Milliseconds shutdown{60'000};
};

enum class TenantRules { no, yes, trusted };

/// Networks in which tenants' endpoints may lie; `deny` wins, and `allow` without an entry lets all others be.
struct EndpointNetworks {
  std::vector<Cidr> allow;
  std::vector<Cidr> deny;
};

struct TenantPolicy {
  TenantRules tenant_rules = TenantRules::yes;
  std::vector<std::string> files;   // absolute folders, "/"-terminated, from which tenants may name files
  EndpointNetworks upstreams;
};

enum class ClientIpDetail { full, truncated, none };

struct AccessLog {
  std::string path = "-";  // "-": standard output; empty: off; else an absolute path
  ClientIpDetail client_ip = ClientIpDetail::truncated;
};

struct AuditLog {
  std::string path = "/var/log/gatehouse/audit.log";  // "-": standard output; empty: off
  // Argument and header names, case-insensitive.
  std::vector<std::string> mask{
      "password",   "passwd",    "pass",       "pwd",     "pw",           "passcode",      "passphrase",
      "passwort",   "kennwort",  "pin",        "otp",     "secret",       "client_secret", "token",
      "jwt",        "bearer",    "auth",       "authkey", "access_token", "refresh_token", "authorization",
      "credential", "cookie",    "set-cookie", "session", "sessionid",    "sessid",        "sid",
      "jsessionid", "phpsessid", "cftoken",    "api_key", "apikey",       "access_key",    "private_key",
      "signature",  "sig",       "csrf",       "xsrf",    "iban",         "creditcard",    "cvv"};
};

enum class AcmeChallenge { http_01, tls_alpn_01, dns_01 };
enum class CertificateKey { ecdsa_p256, rsa_2048, rsa_3072, rsa_4096 };

/// Where the records of dns-01 are written: RFC 2136, signed with TSIG (RFC 8945, HMAC-SHA-256).
struct DnsWebhook {
  std::string url;            // without a slash at its end
  std::string user;           // empty: no authentication
  std::string password_file;  // absolute; the password is its first line
  std::string ca_file;        // absolute; empty: the system's CAs
};

struct DnsUpdates {
  SocketAddress server;
  std::string zone;         // lower case, without trailing dot
  std::string key_name;
  std::string secret_file;  // absolute; base64 on its first line
  std::optional<DnsWebhook> webhook;  // in the place of all that
  Milliseconds propagation{5'000};
};

/// A CA that speaks ACME.
struct AcmeAuthority {
  std::string name;
  Place place;            // of its keys in gateway.yaml
  std::string directory;  // URL
  std::string email;      // empty: none
  std::string ca_file;    // absolute; empty: the system's CAs
  std::string eab_key_id; // empty: no external account binding
  std::string eab_key_file;  // absolute; base64url on its first line
  std::string profile;    // empty: the CA's default
  std::string preferred_chain;  // common name; empty: the CA's default
  AcmeChallenge challenge = AcmeChallenge::http_01;
  CertificateKey key_type = CertificateKey::ecdsa_p256;
  std::optional<CertificateKey> second_key_type;  // of RSA, beside an ECDSA key_type
  std::optional<DnsUpdates> dns;
  std::string rehearsal;  // another's name; empty: none
  std::string fallback;   // another's name; empty: none
};

struct Storage {
  std::string directory = "/var/lib/gatehouse";
  std::string encryption_key_file;  // absolute; not empty: in Redis, encrypted with this key
  bool operator==(const Storage&) const = default;
};

struct GatewayConfig {
  std::string file;                 // absolute path of the file itself
  std::shared_ptr<const std::string> text;  // what it held, for Problem::show_source() of what is found later
  std::string site = "default";
  unsigned workers = 0;             // 0: auto, one a usable processor
  std::vector<Listener> listeners;  // default: [::]:8080 http and [::]:8443 https
  std::optional<SocketAddress> admin;    // default 127.0.0.1:9901
  std::optional<SocketAddress> metrics;  // default none
  std::string tenants_directory;    // absolute, "/"-terminated
  std::vector<Cidr> trusted_proxies;
  std::optional<Redis> redis;
  bool redis_unclear = false;  // the key is there, or may be, but was not read: never in a valid configuration
  std::vector<AcmeAuthority> acme;
  bool acme_unclear = false;  // as redis_unclear
  Storage storage;
  Place storage_place;
  PlatformWaf waf;
  bool waf_unclear = false;  // as redis_unclear
  Limits limits;
  Timeouts timeouts;
  TenantPolicy policy;
  AccessLog access_log;
  AuditLog audit_log;
};

}  // namespace gatehouse::config
