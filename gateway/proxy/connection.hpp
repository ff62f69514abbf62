// One client connection: PROXY header, TLS, then request after request. Its coroutine owns it.
#pragma once

#include <memory>
#include <string>

#include "gateway/filter/exchange.hpp"
#include "gateway/http/body_reader.hpp"
#include "gateway/http/h1_parser.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/proxy/worker.hpp"

namespace gatehouse::proxy {

class Connection {
 public:
  Connection(Worker& worker, const ListenerFacts& listener, const SocketAddress& peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The connection's whole life.
  static runtime::Task<void> run(std::unique_ptr<Connection> connection);

  // What the exchange (proxy.cpp) and the relay work with.
  Worker& worker;
  const ListenerFacts& listener;
  net::Stream stream;
  http::ReadBuffer buffer;
  http::BodyReader request_body;
  SnapshotRef snapshot;              // the one that the present exchange began with; outlives it
  filter::Exchange exchange;
  std::string out;                   // heads and answers on their way out
  bool sent_continue = false;        // 100 Continue has been sent for this request
  bool idle = false;                 // waits for a request
  bool fresh = true;                 // for its first

 private:
  friend class Worker;

  runtime::Task<bool> read_proxy_header();
  runtime::Task<bool> handshake();
  /// Reads one request head; false: the connection ends (an answer to what was malformed has been sent).
  runtime::Task<bool> read_head(bool first);
  runtime::Task<void> refuse_head(const http::ParseResult& result);
  runtime::Task<void> linger();

  SocketAddress peer_;
  bool counted_client_ = false;
  IpAddress counted_as_;
  std::shared_ptr<filter::TenantLoad> tenant_load_;  // of the tenant whose share of connections this one takes
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;

  friend struct RequestStory;
};

/// Serves the request whose head `connection.exchange` holds, up to the access record. True: another may follow.
/// proxy.cpp
[[nodiscard]] runtime::Task<bool> serve_request(Connection& connection);

/// Writes the gateway's own answer that exchange.reply describes. False: the client is gone.
[[nodiscard]] runtime::Task<bool> send_reply(Connection& connection, bool close);

/// Ends the exchange: filters, metrics, access record. Once a request.
void complete(Connection& connection);

}  // namespace gatehouse::proxy
