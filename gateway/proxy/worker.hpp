// What all client connections of one worker share, and the list of them for the drain.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gateway/filter/worker_context.hpp"
#include "gateway/net/tls.hpp"
#include "gateway/proxy/client_count.hpp"
#include "gateway/proxy/server_stream.hpp"
#include "gateway/proxy/snapshot.hpp"

namespace gatehouse::proxy {

class Connection;

/// One of the gateway's listeners as connections see it.
struct ListenerFacts {
  SocketAddress address;
  config::ListenerProtocol protocol = config::ListenerProtocol::https;
  bool proxy_protocol_required = false;
  std::uint16_t redirect_port = 443;
  std::shared_ptr<runtime::Gauge> connections;
  std::shared_ptr<runtime::Counter> refused_total_limit, refused_client_limit, refused_proxy_header, accept_pauses;
};

/// Shared by all workers.
struct Shared {
  explicit Shared(std::size_t connection_limit)
      : max_connections(connection_limit), upstream_connections(connection_limit) {}
  ClientCount clients;
  std::atomic<std::size_t> connections = 0;
  std::atomic<std::size_t> max_connections;
  upstream::ConnectionBudget upstream_connections;
  net::ServerTlsBase tls_base;
  std::shared_ptr<runtime::Counter> handshakes_ok, handshakes_failed;
};

class Worker final : public net::SniSelector {
 public:
  Worker(unsigned index, runtime::Loop& loop, runtime::Metrics& metrics, ratelimit::MemoryStore& memory,
         Shared& shared_state)
      : context(index, loop, metrics, memory, shared_state.upstream_connections), shared(shared_state) {}

  std::shared_ptr<const net::ServerTls> select(std::string_view server_name) noexcept override;
  std::shared_ptr<const net::ServerTls> select_unnamed(const IpAddress& destination) noexcept override;
  std::shared_ptr<const net::ServerTls> select_challenge(std::string_view server_name) noexcept override;
  const net::TicketKeys* ticket_keys() const noexcept override { return context.ticket_keys.get(); }

  /// Takes over an accepted socket.
  void accept(int fd, const SocketAddress& peer, const ListenerFacts& listener);

  /// From now on answers close their connections; idle ones close at once, those without a first request soon.
  void begin_drain();
  /// Ends what is still open.
  void end_connections();
  [[nodiscard]] std::size_t connection_count() const noexcept { return connection_count_; }

  filter::WorkerContext context;
  Shared& shared;
  SnapshotRef snapshot;
  // What its HTTP/2 connections use by turns.
  std::unique_ptr<char[]> input;  // never across a suspension
  std::string spare_output;
  std::vector<std::unique_ptr<ServerStream>> spare_streams;

 private:
  friend class Connection;
  [[nodiscard]] std::shared_ptr<const net::ServerTls> tls_of(const HostEntry* entry);
  Connection* connections_ = nullptr;  // intrusive list
  std::size_t connection_count_ = 0;
};

}  // namespace gatehouse::proxy
