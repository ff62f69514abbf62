// The admin endpoints: /metrics, /healthz, /readyz, /status, and / as a page. On the background thread's loop, for
// operators, probes and Prometheus; not on the way of any request.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "gateway/net/listener.hpp"
#include "gateway/net/stream.hpp"

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
  struct Visitor;
  // One listener and its connections.
  struct Door {
    bool everything = false;
    std::unique_ptr<net::Listener> listener;
    std::list<Visitor*> waiting;  // for a request or its rest, the longest first
    std::size_t open = 0;  // without those that have been sent away
  };
  runtime::Task<void> serve(int fd, Door& door);

  Server& server_;
  runtime::Loop& loop_;
  std::vector<std::unique_ptr<Door>> doors_;
};

}  // namespace gatehouse::server
