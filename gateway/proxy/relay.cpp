// Moving bodies; see relay.hpp. A fast side waits for a slow one: each piece is written before the next is read, so
// memory does not grow with a body's size.
#include "gateway/proxy/relay.hpp"

#include <array>
#include <cstring>

#include "gateway/http/chunked.hpp"

namespace gatehouse::proxy {

using filter::Exchange;
using http::BodyReader;
using runtime::Errc;
using runtime::Task;

namespace {

constexpr std::size_t yield_after_bytes = 1024 * 1024;  // then other connections have their turn

bool is_lateness(Errc error) noexcept { return error == Errc::timed_out || error == Errc::too_slow; }

// Reads the next bytes of a body. Who is waited for keeps no buffer meanwhile: most of the clients of an event stream
// are silent most of the time.
Task<std::expected<std::size_t, Errc>> await_bytes(net::Stream& stream, BodyReader& body) {
  body.release_if_empty();
  const Errc ready = co_await stream.readable();
  if (ready != Errc::ok) co_return std::unexpected(ready);
  co_return co_await stream.read(body.room());
}

// Slices of one write: pieces of a body, framed as chunks if asked for. Views stay valid until the source is read again.
class Gather {
 public:
  explicit Gather(bool chunked) : chunked_(chunked) {}
  void add_head(std::string_view head) { push(head); }
  void add_piece(std::string_view piece) {
    if (chunked_) {
      auto& text = heads_[pieces_];
      push({text, http::write_chunk_head(piece.size(), text)});
      push(piece);
      push("\r\n");
    } else {
      push(piece);
    }
    ++pieces_;
    bytes_ += piece.size();
  }
  void add_end() {
    if (chunked_) push(http::last_chunk);
  }
  [[nodiscard]] bool full() const noexcept { return pieces_ == max_pieces; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::span<const std::string_view> slices() const noexcept { return {slices_.data(), count_}; }
  void clear() noexcept { count_ = pieces_ = bytes_ = 0; }

 private:
  static constexpr std::size_t max_pieces = 2;  // head + 2 x (chunk head, piece, line end) + last chunk: 8 slices
  void push(std::string_view slice) { slices_[count_++] = slice; }
  bool chunked_;
  std::array<std::string_view, 8> slices_;
  char heads_[max_pieces][20];
  std::size_t count_ = 0;
  std::size_t pieces_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

Task<bool> send_continue(Connection& connection) {
  const Exchange& exchange = connection.exchange;
  if (connection.sent_continue || exchange.head.minor_version == 0 || !exchange.head.fields.has(http::FieldId::expect))
    co_return true;
  connection.sent_continue = true;
  if (!connection.buffer.empty()) co_return true;  // the body is coming already
  const Errc error = co_await connection.stream.write("HTTP/1.1 100 Continue\r\n\r\n");
  co_return error == Errc::ok;
}

Task<BufferResult> buffer_body(Connection& connection, std::size_t limit) {
  Exchange& exchange = connection.exchange;
  BodyReader& body = connection.request_body;
  const config::GatewayConfig& settings = *exchange.settings;
  connection.stream.expires_when_idle(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
  for (;;) {
    const BodyReader::Result result = body.next();
    switch (result.status) {
      case BodyReader::Status::piece:
        if (!exchange.hold(exchange.body.size() + result.data.size())) co_return BufferResult::no_memory;
        exchange.body.append(result.data);
        exchange.request_body_bytes = body.received();
        if (exchange.body.size() > limit) co_return BufferResult::over_limit;
        continue;
      case BodyReader::Status::end: body.give_back(); co_return BufferResult::whole;
      case BodyReader::Status::malformed: co_return BufferResult::malformed;
      case BodyReader::Status::truncated: co_return BufferResult::client_gone;
      case BodyReader::Status::need_read: break;
    }
    const bool there = co_await send_continue(connection);
    if (!there) co_return BufferResult::client_gone;
    auto got = connection.stream.read_now(body.room());
    if (got && *got == 0) got = co_await await_bytes(connection.stream, body);
    if (got)
      body.filled(*got);
    else if (is_lateness(got.error()))
      co_return BufferResult::late;
    else
      body.closed();
  }
}

namespace {

Task<Upload::State> upload_body(Connection& connection, upstream::UpstreamConnection& to, bool chunked,
                                Upload& upload) {
  Exchange& exchange = connection.exchange;
  BodyReader& body = connection.request_body;
  const config::GatewayConfig& settings = *exchange.settings;
  const std::size_t limit = settings.limits.body_bytes;
  const auto timeout = exchange.route->config->timeout.value_or(settings.timeouts.response);
  connection.stream.expires_when_idle(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
  Gather gather(chunked);
  std::size_t since_yield = 0;
  for (;;) {
    bool ended = false;
    BodyReader::Status status = BodyReader::Status::piece;
    while (!gather.full() && !ended) {
      const BodyReader::Result result = body.next();
      status = result.status;
      if (status == BodyReader::Status::piece)
        gather.add_piece(result.data);
      else if (status == BodyReader::Status::end)
        ended = true;
      else
        break;
    }
    exchange.request_body_bytes = body.received();
    if (body.received() > limit) co_return Upload::State::too_large;
    if (ended) gather.add_end();
    if (!gather.empty()) {
      since_yield += gather.bytes();
      to.stream.expires_after(
          timeout);  // the upstream must take what it is given; waiting for the client is not its fault
      const Errc error = co_await to.stream.write(gather.slices());
      to.stream.expires_never();
      gather.clear();
      if (upload.stop) co_return Upload::State::stopped;
      if (error != Errc::ok) co_return Upload::State::upstream_failed;
    }
    if (ended) {
      body.give_back();
      co_return Upload::State::done;
    }
    if (status == BodyReader::Status::malformed) co_return Upload::State::client_malformed;
    if (status == BodyReader::Status::truncated) co_return Upload::State::client_failed;
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await connection.stream.loop().yield();
    }
    if (status != BodyReader::Status::need_read) continue;
    if (!connection.sent_continue && http::expects_continue(exchange.head)) {
      co_await upload.turn.take();
      const bool there = co_await send_continue(connection);
      upload.turn.give(connection.stream.loop());
      if (upload.stop) co_return Upload::State::stopped;
      if (!there) co_return Upload::State::client_failed;
    }
    auto got = connection.stream.read_now(body.room());
    if (got && *got == 0) got = co_await await_bytes(connection.stream, body);
    if (upload.stop) co_return Upload::State::stopped;
    if (got)
      body.filled(*got);
    else if (is_lateness(got.error()))
      co_return Upload::State::client_late;
    else
      body.closed();
  }
}

}  // namespace

Task<void> run_upload(Connection& connection, upstream::UpstreamConnection& to, bool chunked, Upload& upload) {
  upload.state = co_await upload_body(connection, to, chunked, upload);
  const config::GatewayConfig& settings = *connection.exchange.settings;
  switch (upload.state) {
    case Upload::State::done: {
      // The answer is awaited from now on.
      const auto timeout = connection.exchange.route->config->timeout.value_or(settings.timeouts.response);
      to.stream.expires_after(timeout);
      break;
    }
    case Upload::State::running:
    case Upload::State::stopped:
    case Upload::State::upstream_failed: break;  // an early answer may still be there to be read
    default: to.stream.cancel(Errc::cancelled); break;
  }
  if (upload.joiner) connection.stream.loop().schedule(upload.joiner);
}

Task<RelayResult> relay_answer(Connection& connection, upstream::UpstreamConnection& from, BodyReader& body,
                               bool to_chunked) {
  Exchange& exchange = connection.exchange;
  const config::GatewayConfig& settings = *exchange.settings;
  const auto timeout = exchange.route->config->timeout.value_or(settings.timeouts.response);
  connection.stream.expires_when_idle(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
  Gather gather(to_chunked);
  gather.add_head(connection.out);
  std::size_t since_yield = 0;
  for (;;) {
    bool ended = false;
    BodyReader::Status status = BodyReader::Status::piece;
    while (!gather.full() && !ended) {
      const BodyReader::Result result = body.next();
      status = result.status;
      if (status == BodyReader::Status::piece)
        gather.add_piece(result.data);
      else if (status == BodyReader::Status::end)
        ended = true;
      else
        break;
    }
    if (ended) gather.add_end();
    // The head waits for the first piece when that can be had at once: one record, one system call.
    const bool head_alone = !gather.empty() && gather.bytes() == 0 && !exchange.response_started;
    const bool read_first = head_alone && status == BodyReader::Status::need_read && from.stream.descriptor().readable;
    if (!gather.empty() && !read_first) {
      since_yield += gather.bytes();
      exchange.response_started = true;
      const Errc error = co_await connection.stream.write(gather.slices());
      exchange.response_body_bytes += gather.bytes();
      gather.clear();
      if (error != Errc::ok) co_return RelayResult::client_failed;
    }
    if (ended) co_return RelayResult::complete;
    if (status == BodyReader::Status::malformed || status == BodyReader::Status::truncated)
      co_return RelayResult::upstream_failed;
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await connection.stream.loop().yield();
    }
    if (status != BodyReader::Status::need_read) continue;
    if (read_first) {
      // At most one look: if it would block after all, the head goes out alone.
      from.stream.expires_after(timeout);
      const auto got = from.stream.read_now(body.room());
      if (got && *got == 0) {
        exchange.response_started = true;
        const Errc error = co_await connection.stream.write(gather.slices());
        gather.clear();
        if (error != Errc::ok) co_return RelayResult::client_failed;
      } else if (got) {
        body.filled(*got);
      } else {
        body.closed();
        if (got.error() != Errc::end_of_stream) co_return RelayResult::upstream_failed;
      }
      continue;
    }
    from.stream.expires_after(timeout);
    auto got = from.stream.read_now(body.room());
    if (got && *got == 0) got = co_await await_bytes(from.stream, body);
    if (got) {
      body.filled(*got);
    } else {
      // An answer that ends with its connection must end in an orderly way: a reset is not an end.
      if (got.error() != Errc::end_of_stream) co_return RelayResult::upstream_failed;
      body.closed();
    }
  }
}

namespace {

// One direction of a tunnel.
struct Direction {
  bool finished = false;
  std::coroutine_handle<> joiner;
};

Task<void> pump(net::Stream& from, net::Stream& to, http::ReadBuffer& buffer, runtime::Duration idle,
                std::uint64_t& bytes, Direction& direction) {
  std::size_t since_yield = 0;
  for (;;) {
    if (!buffer.empty()) {
      const std::string_view data = buffer.unread();
      const Errc error = co_await to.write(data);
      bytes += data.size();
      since_yield += data.size();
      buffer.consume(data.size());
      if (error != Errc::ok) break;
    }
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await from.loop().yield();
    }
    buffer.release_if_empty();
    // Either direction keeps the tunnel alive.
    from.expires_after(idle);
    to.expires_after(idle);
    const Errc ready = co_await from.readable();
    if (ready != Errc::ok) break;
    buffer.make_room(16 * 1024);
    const auto got = co_await from.read(buffer.room());
    if (!got) {
      if (got.error() == Errc::end_of_stream) {
        to.shutdown_send();  // the other direction may go on
        direction.finished = true;
        if (direction.joiner) from.loop().schedule(direction.joiner);
        co_return;
      }
      break;
    }
    buffer.filled(*got);
  }
  from.cancel(Errc::cancelled);
  to.cancel(Errc::cancelled);
  direction.finished = true;
  if (direction.joiner) from.loop().schedule(direction.joiner);
}

struct Join {
  Direction& direction;
  bool await_ready() const noexcept { return direction.finished; }
  void await_suspend(std::coroutine_handle<> awaiting) noexcept { direction.joiner = awaiting; }
  void await_resume() const noexcept {}
};

}  // namespace

Task<void> run_tunnel(Connection& connection, upstream::UpstreamConnection& upstream) {
  Exchange& exchange = connection.exchange;
  const runtime::Duration idle = exchange.settings->timeouts.tunnel_idle;
  // What came behind the request's head belongs to the tunnel; the head itself is still needed for the access record.
  http::ReadBuffer from_client;
  if (const std::string_view early = connection.buffer.unread(); !early.empty()) {
    from_client.make_room(early.size());
    std::memcpy(from_client.room().data(), early.data(), early.size());
    from_client.filled(early.size());
    connection.buffer.consume(early.size());
  }
  Direction up;
  Direction down;
  runtime::Loop& loop = connection.stream.loop();
  loop.spawn(pump(connection.stream, upstream.stream, from_client, idle, exchange.request_body_bytes, up));
  loop.spawn(pump(upstream.stream, connection.stream, upstream.buffer, idle, exchange.response_body_bytes, down));
  co_await Join{up};
  co_await Join{down};
}

}  // namespace gatehouse::proxy
