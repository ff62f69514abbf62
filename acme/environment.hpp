// What the parts of acme/ that run for as long as the gateway does need of the world: a clock, chance, the network. In
// tests it is a simulation whose years take seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "acme/client.hpp"
#include "acme/dns_update.hpp"
#include "acme/flow.hpp"

namespace gatehouse::acme {

/// A name server that takes dynamic updates (RFC 2136).
struct DnsServer {
  std::string server;  // "192.0.2.53:53"
  std::string zone;    // "example.de"
  TsigKey key;
};

/// A service that writes records for whoever POSTs {"fqdn": "_acme-challenge.shop.example.de.", "value": "..."} to
/// URL/present, and removes them again after the same to URL/cleanup: lego's "httpreq", for which many providers have one.
struct DnsWebhook {
  std::string url;  // without a slash at its end
  std::string user;  // empty: no authentication
  Secret password;
  std::string ca_file;  // PEM file that its TLS is verified against; empty: the system's
};

/// Where dns-01's records are written.
struct DnsRecords {
  std::variant<DnsServer, DnsWebhook> where;
  Seconds propagation{5};  // from the update until every server of the zone knows
};

/// A CA and how it is asked.
struct Authority {
  std::string name;  // as gateway.yaml calls it
  std::string directory;  // URL
  std::string ca_file;  // PEM file that its own TLS is verified against; empty: the system's
  std::vector<std::string> contacts;  // mailto: URLs
  std::optional<ExternalAccount> external;
  std::string profile;
  std::string preferred_chain;
  ChallengeType challenge = ChallengeType::http_01;
  KeyType key_type = KeyType::ecdsa_p256;
  std::optional<KeyType> second_key_type;  // of a second certificate of each host
  std::optional<DnsRecords> dns;
  std::string rehearsal;  // name of the one that issues first for a host that has none of this one's; empty: none
  std::string fallback;  // name of the one that is asked while this one is away; empty: none
};

using AuthorityRef = std::shared_ptr<const Authority>;

class Environment {
 public:
  Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  virtual ~Environment() = default;

  [[nodiscard]] virtual Time now() = 0;
  /// In [0, 1).
  [[nodiscard]] virtual double chance() = 0;
  [[nodiscard]] virtual Flow<Done> sleep(std::chrono::milliseconds duration) = 0;
  /// Runs a flow beside the others, to its end. What it throws is reported.
  virtual void spawn(Flow<Done> flow) = 0;

  /// Redirections are not followed. The error says for the operator why there is no answer.
  [[nodiscard]] virtual Flow<std::expected<HttpResponse, std::string>> send(const Authority& authority,
                                                                            HttpRequest request) = 0;
  [[nodiscard]] virtual Flow<std::expected<Done, std::string>> update_dns(const DnsRecords& records,
                                                                          std::vector<TxtChange> changes) = 0;
  virtual void report(std::string_view what, std::string_view about, bool is_error) = 0;
};

}  // namespace gatehouse::acme
