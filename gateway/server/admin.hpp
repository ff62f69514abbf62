// The admin endpoints: /metrics, /healthz, /readyz, /status, and / as a page. On the background thread's loop, for
// operators, probes and Prometheus; not on the way of any request.
#pragma once

#include <memory>
#include <vector>

#include "gateway/net/listener.hpp"

namespace gatehouse::server {

class Server;

class Admin {
 public:
  Admin(Server& server, runtime::Loop& loop) : server_(server), loop_(loop) {}
  /// Listens on `address`. `everything`: all endpoints, else /metrics, /healthz and /readyz alone. Throws
  /// std::runtime_error when the address is taken.
  void listen(const SocketAddress& address, bool everything);
  void close();

 private:
  runtime::Task<void> serve(int fd, bool everything);
  Server& server_;
  runtime::Loop& loop_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::size_t open_ = 0;
};

}  // namespace gatehouse::server
