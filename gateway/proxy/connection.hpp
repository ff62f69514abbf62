// One client connection: PROXY header and TLS, then the version of HTTP that was agreed on. Its coroutine owns it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gateway/net/stream.hpp"
#include "gateway/proxy/server_stream.hpp"
#include "gateway/proxy/worker.hpp"

namespace gatehouse::proxy {

/// What an established connection speaks, as the drain sees it.
class Protocol {
 public:
  /// No request is to follow those that are under way.
  virtual void drain() noexcept = 0;
  /// Whatever is under way is cut.
  virtual void end() noexcept = 0;

 protected:
  ~Protocol() = default;
};

class Connection {
 public:
  Connection(Worker& worker, const ListenerFacts& listener, const SocketAddress& peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The connection's whole life.
  static runtime::Task<void> run(std::unique_ptr<Connection> connection);

  Worker& worker;
  const ListenerFacts& listener;
  net::Stream stream;
  Protocol* protocol = nullptr;  // null until one is spoken

  /// Tells an exchange of this connection's own facts; they stay when it is reset.
  void introduce(filter::Exchange& exchange) const;
  [[nodiscard]] ConnectionFacts facts() noexcept {
    return {is_tls_ ? stream.server_tls() : nullptr, listener.redirect_port, tenant_loads_};
  }

 private:
  friend class Worker;

  runtime::Task<bool> read_proxy_header();
  [[nodiscard]] bool is_trusted_proxy() const;
  runtime::Task<bool> handshake();

  SnapshotRef snapshot_;  // until a protocol is spoken
  SocketAddress peer_;
  std::optional<IpAddress> destination_;  // that a proxy tells
  bool is_tls_ = false;
  std::string client_certificate_subject_;
  bool counted_client_ = false;
  IpAddress counted_as_;
  TenantLoads tenant_loads_;
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;
};

}  // namespace gatehouse::proxy
