// One configuration, ready to serve: immutable, shared by all workers, replaced as a whole by a reload. An exchange
// keeps the snapshot that it began with.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/gateway_config.hpp"
#include "gateway/filter/tenant.hpp"
#include "gateway/http/head.hpp"
#include "gateway/net/certificate_slot.hpp"
#include "gateway/net/tls.hpp"

namespace gatehouse::proxy {

/// A tenant with what only routing needs.
struct TenantRoutes {
  filter::Tenant tenant;
  std::vector<std::unique_ptr<re2::RE2>> expressions;  // by route; null where it is no path_regex
  // Its file has an error, or its certificate, and there is no last valid version: its hosts are answered 503, since
  // nobody else may have their requests. It has neither services nor routes.
  bool unavailable = false;
};

struct HostEntry {
  const TenantRoutes* tenant = nullptr;
  std::shared_ptr<const net::ServerTls> tls;  // null: one from a CA, tls: off, or the tenant is unavailable
  std::shared_ptr<net::CertificateSlot> slot;  // with a certificate from a CA
  const config::Host* config = nullptr;

  [[nodiscard]] bool has_tls() const noexcept { return tls != nullptr || slot != nullptr; }
  /// Whether a connection that was made with `made_with` may speak for this host (RFC 9110 section 15.5.20).
  [[nodiscard]] bool is_spoken_for_by(const net::ServerTls& made_with) const noexcept {
    return tls ? made_with.speaks_for(*tls) : slot != nullptr && made_with.descends_from(slot->lineage());
  }
};

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};

struct Snapshot {
  std::shared_ptr<const config::GatewayConfig> config;
  std::shared_ptr<waf::Engine> waf;
  std::vector<std::unique_ptr<TenantRoutes>> tenants;
  std::vector<std::unique_ptr<TenantRoutes>> unavailable;
  std::unordered_map<std::string, HostEntry, StringHash, std::equal_to<>> hosts;  // "shop.example", "*.example", "*"
  std::shared_ptr<const net::ServerTls> default_tls;  // self-signed: for names that nobody claims

  /// The entry for a host as routed (lower case, no port, no trailing dot): exact, then "*." with one label, then "*".
  [[nodiscard]] const HostEntry* find_host(std::string_view host) const noexcept;

  /// The entry for a TLS client that names no host, since it was given an address: that address's, else that
  /// of "*", else that of the only address that anyone claims, which may have been translated on the way here.
  [[nodiscard]] const HostEntry* find_unnamed_host(const IpAddress& destination) const;
  const HostEntry* only_address = nullptr;  // the entry of the only address among the hosts
};

/// A snapshot as one worker counts its users: no atomic operation a request.
class SnapshotRef {
 public:
  SnapshotRef() = default;
  explicit SnapshotRef(std::shared_ptr<const Snapshot> snapshot) : held_(new Held{std::move(snapshot), 1}) {}
  SnapshotRef(const SnapshotRef& other) noexcept : held_(other.held_) {
    if (held_ != nullptr) ++held_->users;
  }
  SnapshotRef(SnapshotRef&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  SnapshotRef& operator=(SnapshotRef other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~SnapshotRef() {
    if (held_ != nullptr && --held_->users == 0) delete held_;
  }
  const Snapshot* operator->() const noexcept { return held_->snapshot.get(); }
  const Snapshot& operator*() const noexcept { return *held_->snapshot; }
  explicit operator bool() const noexcept { return held_ != nullptr; }

 private:
  struct Held {
    std::shared_ptr<const Snapshot> snapshot;
    std::size_t users;
  };
  Held* held_ = nullptr;
};

/// The first route whose match fits; null: 404. `path` is the normalised one.
[[nodiscard]] const filter::Route* find_route(const TenantRoutes& tenant, std::string_view path,
                                              std::string_view method, const http::Fields& fields,
                                              bool peer_trusted) noexcept;

/// True if `prefix` covers `path` by whole segments: "/api" and "/api/" cover "/api" and "/api/x", not "/apix".
[[nodiscard]] bool covers_path(std::string_view prefix, std::string_view path) noexcept;

}  // namespace gatehouse::proxy
