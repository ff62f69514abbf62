// Makes TLS contexts of the files that tenants name, and shares those that are equal: whether two hosts have the same
// settings is a comparison of pointers. Called when a snapshot is built.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/files.hpp"
#include "config/problem.hpp"
#include "config/tenant_config.hpp"
#include "gateway/net/certificate_slot.hpp"
#include "gateway/net/tls.hpp"

namespace gatehouse::server {

class TlsStore {
 public:
  /// Gives the place of a host's certificate from a CA; `rules` are its settings without one.
  using SlotOf = std::function<std::shared_ptr<net::CertificateSlot>(const std::string& host,
                                                                     const net::ServerTlsSettings& rules)>;
  explicit TlsStore(SlotOf slot_of) : slot_of_(std::move(slot_of)) {}

  struct Source {
    const config::FileRules& rules;         // of the tenant: which of the files may be opened
    std::vector<std::string>& files;        // takes those that are read, to be watched
    config::Problems& problems;             // takes what is wrong
  };
  /// For a host with TLS. Null with a problem.
  [[nodiscard]] std::shared_ptr<const net::ServerTls> of_host(const config::Host& host, const Source& source);
  /// For a host with HostTls::acme. Null with a problem.
  [[nodiscard]] std::shared_ptr<net::CertificateSlot> slot_of_host(const config::Host& host, const Source& source);
  /// For a service with protocol: https. Null with a problem.
  [[nodiscard]] std::shared_ptr<const net::ClientTls> of_service(const config::Service& service, const Source& source);

  /// Forgets what nobody uses any more, and the self-signed certificates of hosts that `is_known` denies.
  template <class IsKnown>
  void forget_unused(const IsKnown& is_known) {
    const auto expired = [](const auto& item) { return item.second.expired(); };
    std::erase_if(hosts_, expired);
    std::erase_if(services_, expired);
    std::erase_if(self_signed_, [&](const auto& item) { return !is_known(item.first); });
  }

 private:
  SlotOf slot_of_;
  std::map<std::string, net::ServerTlsSettings> self_signed_;  // by host
  std::map<std::string, std::weak_ptr<const net::ServerTls>> hosts_;  // by digest: no second copy of a key in memory
  std::map<std::string, std::weak_ptr<const net::ClientTls>> services_;
};

}  // namespace gatehouse::server
