// Client connections; see connection.hpp and worker.hpp.
#include "gateway/proxy/connection.hpp"

#include <algorithm>
#include <atomic>
#include <string>

#include "gateway/filter/challenges.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/net/proxy_header.hpp"
#include "gateway/proxy/h1_stream.hpp"
#include "gateway/proxy/h2_connection.hpp"
#include "gateway/runtime/log.hpp"

namespace gatehouse::proxy {

using runtime::Errc;
using runtime::Task;

// --- Worker

namespace {

std::string host_of(std::string_view server_name) {
  std::string name(server_name);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.ends_with('.')) name.pop_back();
  return name;
}

// Its clients get errors from it of which nobody here would know. Once a minute at most.
void tell_of_full_proxy(const SocketAddress& proxy, std::size_t limit) {
  constexpr std::int64_t pause_seconds = 60;
  static std::atomic<std::int64_t> next{0};
  const std::int64_t now = std::chrono::floor<std::chrono::seconds>(runtime::Clock::now()).time_since_epoch().count();
  std::int64_t due = next.load();
  if (now < due || !next.compare_exchange_strong(due, now + pause_seconds)) return;
  journal(
      runtime::Level::warning,
      "a trusted proxy has as many connections as limits.connections_per_client lets one client have; more are closed",
      {{"client.address", proxy.ip.to_string()}, {"limit", std::to_string(limit)}});
}

}  // namespace

std::shared_ptr<const net::ServerTls> Worker::select(std::string_view server_name) noexcept {
  try {
    return tls_of(snapshot->find_host(host_of(server_name)));
  } catch (...) {  // out of memory: the default certificate serves the refusal
    return snapshot->default_tls;
  }
}

std::shared_ptr<const net::ServerTls> Worker::select_unnamed(const IpAddress& destination) noexcept {
  try {
    return tls_of(snapshot->find_unnamed_host(destination));
  } catch (...) {
    return snapshot->default_tls;
  }
}

std::shared_ptr<const net::ServerTls> Worker::tls_of(const HostEntry* entry) {
  if (entry != nullptr && entry->tls) return entry->tls;
  if (entry != nullptr && entry->slot)
    if (auto tls = entry->slot->of(context.id)) return tls;
  return snapshot->default_tls;
}

std::shared_ptr<const net::ServerTls> Worker::select_challenge(std::string_view server_name) noexcept {
  try {
    if (!context.challenges) return nullptr;
    const auto found = context.challenges->tls.find(host_of(server_name));
    return found == context.challenges->tls.end() ? nullptr : found->second;
  } catch (...) {  // out of memory
    return nullptr;
  }
}

void Worker::accept(int fd, const SocketAddress& peer, const ListenerFacts& listener) {
  auto connection = std::make_unique<Connection>(*this, listener, peer);
  if (!connection->stream.adopt(fd)) return;
  if (shared.connections.load(std::memory_order_relaxed) > shared.max_connections.load(std::memory_order_relaxed)) {
    listener.refused_total_limit->add();
    return;
  }
  context.loop.spawn(Connection::run(std::move(connection)));
}

void Worker::begin_drain() {
  context.draining = true;
  for (Connection* connection = connections_; connection != nullptr; connection = connection->next_)
    if (connection->protocol != nullptr) connection->protocol->drain();
}

void Worker::end_connections() {
  context.ending = true;
  for (Connection* connection = connections_; connection != nullptr; connection = connection->next_) {
    connection->stream.cancel(Errc::cancelled);
    if (connection->protocol != nullptr) connection->protocol->end();
  }
}

// --- Connection

Connection::Connection(Worker& owner, const ListenerFacts& facts, const SocketAddress& peer)
    : worker(owner), listener(facts), stream(owner.context.loop), peer_(peer) {
  next_ = worker.connections_;
  if (next_ != nullptr) next_->previous_ = this;
  worker.connections_ = this;
  ++worker.connection_count_;
  worker.shared.connections.fetch_add(1, std::memory_order_relaxed);
  listener.connections->add(1);
}

Connection::~Connection() {
  stream.close();
  if (counted_client_) worker.shared.clients.leave(counted_as_);
  for (const auto& load : tenant_loads_) load->connections.fetch_sub(1, std::memory_order_relaxed);
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : worker.connections_) = next_;
  --worker.connection_count_;
  worker.shared.connections.fetch_sub(1, std::memory_order_relaxed);
  listener.connections->add(-1);
}

void Connection::introduce(filter::Exchange& exchange) const {
  exchange.peer = peer_;
  exchange.local = listener.address;
  exchange.is_tls = is_tls_;
  exchange.client_certificate_subject = client_certificate_subject_;
}

Task<void> Connection::run(std::unique_ptr<Connection> self) {
  Connection& connection = *self;
  connection.snapshot_ = connection.worker.snapshot;
  if (connection.listener.proxy_protocol_required) {
    const bool accepted = co_await connection.read_proxy_header();
    if (!accepted) {
      connection.listener.refused_proxy_header->add();
      co_return;
    }
  }
  if (const std::size_t limit = connection.snapshot_->config->limits.connections_per_client; limit > 0) {
    connection.counted_as_ = connection.peer_.ip;
    connection.counted_client_ = connection.worker.shared.clients.enter(connection.peer_.ip, limit);
    if (!connection.counted_client_) {
      connection.listener.refused_client_limit->add();
      if (connection.is_trusted_proxy()) tell_of_full_proxy(connection.peer_, limit);
      co_return;
    }
  }
  if (connection.listener.protocol == config::ListenerProtocol::https) {
    const bool established = co_await connection.handshake();
    if (!established || connection.stream.server_tls()->is_challenge()) co_return;  // that was all that the CA wanted
    connection.is_tls_ = true;
    connection.client_certificate_subject_ = connection.stream.peer_subject();
  }
  connection.snapshot_ = {};
  if (connection.stream.speaks_http2())
    co_await run_h2(connection);
  else
    co_await run_h1(connection);
}

bool Connection::is_trusted_proxy() const {
  return std::ranges::any_of(snapshot_->config->trusted_proxies,
                             [&](const Cidr& cidr) { return cidr.contains(peer_.ip); });
}

Task<bool> Connection::read_proxy_header() {
  if (!is_trusted_proxy()) co_return false;
  stream.expires_after(snapshot_->config->timeouts.request_header);
  // TLS reads from the socket itself, so the header is looked at where it is and only then taken out.
  http::ReadBuffer buffer;
  for (;;) {
    const Errc error = co_await stream.readable();
    if (error != Errc::ok) co_return false;
    buffer.make_room(net::max_proxy_header_bytes);
    const auto bytes = stream.peek(buffer.room());
    if (!bytes) co_return false;
    const net::ProxyHeader header = net::parse_proxy_header(*bytes);
    if (header.status == net::ProxyHeader::Status::malformed) co_return false;
    if (header.status == net::ProxyHeader::Status::need_more && stream.descriptor().hung_up) co_return false;
    if (header.status == net::ProxyHeader::Status::need_more) continue;
    if (header.source) peer_ = *header.source;
    if (header.destination) destination_ = header.destination->ip;
    co_return stream.discard(buffer.room().first(header.header_bytes));
  }
}

Task<bool> Connection::handshake() {
  stream.expires_after(snapshot_->config->timeouts.tls_handshake);
  const Errc error = co_await stream.accept_tls(worker.shared.tls_base, worker, destination_);
  (error == Errc::ok ? worker.shared.handshakes_ok : worker.shared.handshakes_failed)->add();
  co_return error == Errc::ok;
}

}  // namespace gatehouse::proxy
