// Client connections; see connection.hpp and worker.hpp.
#include "gateway/proxy/connection.hpp"

#include <algorithm>

#include "gateway/net/proxy_header.hpp"
#include "gateway/proxy/answers.hpp"

namespace gatehouse::proxy {

using http::ParseStatus;
using runtime::Errc;
using runtime::Task;

namespace {
constexpr std::size_t head_buffer_bytes = 16 * 1024;  // one TLS record; grows to limits.header_bytes
constexpr auto linger_time = std::chrono::seconds(2);
constexpr auto first_request_time = std::chrono::seconds(2);  // of a connection that was just made, when stopping
constexpr std::size_t linger_bytes = 1024 * 1024;
}  // namespace

// --- Worker

std::shared_ptr<const net::ServerTls> Worker::select(std::string_view server_name) noexcept {
  try {
    std::string name(server_name);
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (name.ends_with('.')) name.pop_back();
    const HostEntry* const entry = snapshot->find_host(name);
    if (entry != nullptr && entry->tls) return entry->tls;
  } catch (...) {  // out of memory: the default certificate serves the refusal
  }
  return snapshot->default_tls;
}

void Worker::accept(int fd, const SocketAddress& peer, const ListenerFacts& listener) {
  auto connection = std::make_unique<Connection>(*this, listener, peer);
  if (!connection->stream.adopt(fd)) return;
  if (shared.connections.load(std::memory_order_relaxed) > shared.max_connections) {
    listener.refused_total_limit->add();
    return;
  }
  context.loop.spawn(Connection::run(std::move(connection)));
}

void Worker::begin_drain() {
  context.draining = true;
  for (Connection* connection = connections_; connection != nullptr; connection = connection->next_)
    if (connection->idle && !connection->stream.has_input()) {
      // Who has just connected is about to ask; who was answered before knows that a connection may end.
      if (connection->fresh)
        connection->stream.expires_after(first_request_time);
      else
        connection->stream.cancel(Errc::cancelled);
    }
}

void Worker::end_connections() {
  ending = true;
  for (Connection* connection = connections_; connection != nullptr; connection = connection->next_) {
    connection->stream.cancel(Errc::cancelled);
    // A connection that waits for its upstream learns of it as of a client that left.
    auto& descriptor = connection->stream.descriptor();
    if (descriptor.on_hangup != nullptr) descriptor.on_hangup(descriptor.hangup_context);
  }
}

// --- Connection

Connection::Connection(Worker& owner, const ListenerFacts& facts, const SocketAddress& peer)
    : worker(owner), listener(facts), stream(owner.context.loop), exchange(owner.context), peer_(peer) {
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
  if (tenant_load_) tenant_load_->connections.fetch_sub(1, std::memory_order_relaxed);
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : worker.connections_) = next_;
  --worker.connection_count_;
  worker.shared.connections.fetch_sub(1, std::memory_order_relaxed);
  listener.connections->add(-1);
}

Task<void> Connection::run(std::unique_ptr<Connection> self) {
  Connection& connection = *self;
  connection.snapshot = connection.worker.snapshot;
  if (connection.listener.proxy_protocol_required) {
    const bool accepted = co_await connection.read_proxy_header();
    if (!accepted) {
      connection.listener.refused_proxy_header->add();
      co_return;
    }
  }
  if (const std::size_t limit = connection.snapshot->config->limits.connections_per_client; limit > 0) {
    connection.counted_as_ = connection.peer_.ip;
    connection.counted_client_ = connection.worker.shared.clients.enter(connection.peer_.ip, limit);
    if (!connection.counted_client_) {
      connection.listener.refused_client_limit->add();
      co_return;
    }
  }
  filter::Exchange& exchange = connection.exchange;
  exchange.peer = connection.peer_;
  exchange.local = connection.listener.address;
  if (connection.listener.protocol == config::ListenerProtocol::https) {
    const bool established = co_await connection.handshake();
    if (!established) co_return;
    exchange.is_tls = true;
    exchange.client_certificate_subject = connection.stream.peer_subject();
  }
  for (bool first = true;; first = false) {
    const bool got = co_await connection.read_head(first);
    if (!got) break;
    const bool again = co_await serve_request(connection);
    exchange.reset();
    connection.sent_continue = false;
    connection.buffer.unpin();
    if (!again) break;
  }
}

Task<bool> Connection::read_proxy_header() {
  const auto& trusted = snapshot->config->trusted_proxies;
  if (std::ranges::none_of(trusted, [&](const Cidr& cidr) { return cidr.contains(peer_.ip); })) co_return false;
  stream.expires_after(snapshot->config->timeouts.request_header);
  // TLS reads from the socket itself, so the header is looked at where it is and only then taken out.
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
    co_return stream.discard(buffer.room().first(header.header_bytes));
  }
}

Task<bool> Connection::handshake() {
  stream.expires_after(snapshot->config->timeouts.tls_handshake);
  const Errc error = co_await stream.accept_tls(worker.shared.tls_base, worker);
  snapshot = worker.snapshot;
  (error == Errc::ok ? worker.shared.handshakes_ok : worker.shared.handshakes_failed)->add();
  co_return error == Errc::ok;
}

Task<bool> Connection::read_head(bool first) {
  const auto& early = snapshot->config->timeouts;
  if (buffer.empty()) {
    // Nothing has come yet: hold neither memory nor a configuration while waiting.
    buffer.release_if_empty();
    request_body.release();
    const bool hurried = first && worker.context.draining;
    stream.expires_after(hurried ? std::min<runtime::Duration>(first_request_time, early.request_header)
                         : first ? early.request_header
                                 : early.idle);
    snapshot = {};
    idle = true;
    fresh = first;
    if (worker.context.draining && !first) co_return false;
    const Errc error = co_await stream.readable();
    idle = false;
    snapshot = worker.snapshot;
    if (error != Errc::ok) co_return false;
  } else {
    snapshot = worker.snapshot;
  }
  const config::GatewayConfig& settings = *snapshot->config;
  exchange.settings = &settings;
  exchange.waf_engine = snapshot->waf.get();
  const http::HeadLimits limits{settings.limits.target_bytes, settings.limits.header_bytes,
                                settings.limits.header_count, settings.limits.underscores_allowed};
  stream.expires_after(settings.timeouts.request_header);
  std::size_t scanned = 0;
  bool started = !buffer.empty();
  exchange.started = runtime::Clock::now();
  for (;;) {
    if (!buffer.empty()) {
      const http::ParseResult result = http::parse_request_head(buffer.unread(), limits, scanned, exchange.head);
      if (result.status == ParseStatus::complete) {
        buffer.pin();
        buffer.consume(result.head_bytes);
        stream.expires_never();
        co_return true;
      }
      if (result.status != ParseStatus::need_more) {
        co_await refuse_head(result);
        co_return false;
      }
    }
    const std::size_t held = buffer.unread().size();
    const bool room = buffer.make_room(held < head_buffer_bytes ? head_buffer_bytes : limits.header_bytes + 1);
    if (!room) {
      co_await refuse_head({ParseStatus::head_too_large, 0, nullptr});
      co_return false;
    }
    const auto got = co_await stream.read(buffer.room());
    if (!got) {
      // Silence after the first byte of a head is a request that never came; before it, an idle client that left.
      if (got.error() == Errc::timed_out && started) {
        exchange.answer(408, filter::Reason::timeout, "The request did not arrive in time.");
        exchange.reply.close = true;
        exchange.head = {};
        worker.context.ids.append(exchange.request_id);
        const bool sent = co_await send_reply(*this, true);
        complete(*this);
        if (sent) co_await linger();
      }
      co_return false;
    }
    buffer.filled(*got);
    if (!started) {
      started = true;
      exchange.started = runtime::Clock::now();
    }
  }
}

Task<void> Connection::refuse_head(const http::ParseResult& result) {
  using filter::Reason;
  switch (result.status) {
    case ParseStatus::target_too_long:
      exchange.answer(414, Reason::too_large, "The request target is too long.");
      break;
    case ParseStatus::head_too_large:
      exchange.answer(431, Reason::too_large, "The request's header fields are too large.");
      break;
    case ParseStatus::version_unsupported:
      exchange.answer(505, Reason::malformed, "This version of HTTP is not spoken here.");
      break;
    default: exchange.answer(400, Reason::malformed, "The request is malformed."); break;
  }
  exchange.reply.close = true;
  exchange.head = {};
  worker.context.ids.append(exchange.request_id);
  worker.context.ids.append(exchange.trace_id);
  exchange.client = exchange.peer.ip;
  exchange.client_text = exchange.client.to_string();
  const bool sent = co_await send_reply(*this, true);
  complete(*this);
  if (sent) co_await linger();
}

// Reads on for a moment after the last answer: closing with unread bytes in the socket sends a reset, which can destroy
// the answer before the client has seen it (RFC 9112 section 9.6).
Task<void> Connection::linger() {
  stream.shutdown_send();
  stream.expires_after(linger_time);
  std::size_t total = 0;
  buffer.unpin();
  buffer.consume(buffer.unread().size());
  buffer.make_room(head_buffer_bytes);
  while (total < linger_bytes) {
    const auto got = co_await stream.read(buffer.room());
    if (!got) break;
    total += *got;
  }
}

Task<bool> send_reply(Connection& connection, bool close) {
  filter::Exchange& exchange = connection.exchange;
  connection.out.clear();
  exchange.status = exchange.reply.status;
  exchange.response_body_bytes = append_reply(connection.out, exchange, close);
  exchange.response_started = true;
  connection.stream.expires_when_idle(exchange.settings->timeouts.request_body_idle,
                                      exchange.settings->limits.min_rate_bytes_per_second);
  const Errc error = co_await connection.stream.write(connection.out);
  co_return error == Errc::ok;
}

}  // namespace gatehouse::proxy
