// Moving bodies; see relay.hpp. A fast side waits for a slow one: each piece is written before the next is read, so
// memory does not grow with a body's size.
#include "gateway/proxy/relay.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/http/chunked.hpp"
#include "gateway/proxy/failure.hpp"

namespace gatehouse::proxy {

using filter::Exchange;
using http::BodyReader;
using runtime::Errc;
using runtime::Task;

namespace {

constexpr std::size_t yield_after_bytes = 64 * 1024;  // then other connections have their turn
constexpr std::size_t max_pieces = 2;                   // in one write

bool is_lateness(Errc error) noexcept { return error == Errc::timed_out || error == Errc::too_slow; }

// Slices of one write to an upstream: pieces of a body, framed as chunks if asked for. Views stay valid until the
// source is read again.
class Gather {
 public:
  explicit Gather(bool chunked) : chunked_(chunked) {}
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
  void push(std::string_view slice) { slices_[count_++] = slice; }
  bool chunked_;
  std::array<std::string_view, 8> slices_;  // two times chunk head, piece, line end; the last chunk
  char heads_[max_pieces][20];
  std::size_t count_ = 0;
  std::size_t pieces_ = 0;
  std::size_t bytes_ = 0;
};

// Trailer fields without those that mean something to a gateway: nothing behind a body may say how it is framed, for
// whom it is or whom it is from (RFC 9110 section 6.5.1).
std::string trailers_to_pass_on(std::string_view lines) {
  std::string passed;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    const std::string_view name = line.substr(0, line.find(':'));
    if (http::field_id(name) == http::FieldId::other) passed.append(line).append("\r\n");
  }
  return passed;
}

}  // namespace

Task<BufferResult> buffer_body(ServerStream& stream, std::size_t limit) {
  Exchange& exchange = stream.exchange;
  stream.start_reading();
  for (;;) {
    const BodyReader::Result result = stream.next_body();
    switch (result.status) {
      case BodyReader::Status::piece:
        if (!exchange.hold(exchange.body.size() + result.data.size())) co_return BufferResult::no_memory;
        exchange.body.append(result.data);
        exchange.request_body_bytes = stream.body_received();
        if (exchange.body.size() > limit) co_return BufferResult::over_limit;
        continue;
      case BodyReader::Status::end: stream.finish_body(); co_return BufferResult::whole;
      case BodyReader::Status::malformed: co_return BufferResult::malformed;
      case BodyReader::Status::truncated: co_return BufferResult::client_gone;
      case BodyReader::Status::need_read: break;
    }
    const Errc error = co_await stream.await_body();
    if (is_lateness(error)) co_return BufferResult::late;
    if (error != Errc::ok) co_return BufferResult::client_gone;
  }
}

namespace {

Task<Upload::State> upload_body(ServerStream& stream, upstream::UpstreamConnection& to, bool chunked,
                                const Upload& upload) {
  Exchange& exchange = stream.exchange;
  const config::GatewayConfig& settings = *exchange.settings;
  const std::size_t limit = settings.limits.body_bytes;
  stream.start_reading();
  Gather gather(chunked);
  std::size_t since_yield = 0;
  for (;;) {
    bool ended = false;
    BodyReader::Status status = BodyReader::Status::piece;
    while (!gather.full() && !ended) {
      const BodyReader::Result result = stream.next_body();
      status = result.status;
      if (status == BodyReader::Status::piece)
        gather.add_piece(result.data);
      else if (status == BodyReader::Status::end)
        ended = true;
      else
        break;
    }
    exchange.request_body_bytes = stream.body_received();
    if (stream.body_received() > limit) co_return Upload::State::too_large;
    if (ended) gather.add_end();
    if (!gather.empty()) {
      since_yield += gather.bytes();
      const Errc error = co_await to.stream.write(gather.slices());
      gather.clear();
      if (upload.stop) co_return Upload::State::stopped;
      if (error != Errc::ok) co_return Upload::State::upstream_failed;
    }
    if (ended) {
      stream.finish_body();
      co_return Upload::State::done;
    }
    if (status == BodyReader::Status::malformed) co_return Upload::State::client_malformed;
    if (status == BodyReader::Status::truncated) co_return Upload::State::client_failed;
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await exchange.worker.loop.yield_bulk();
      if (upload.stop) co_return Upload::State::stopped;
    }
    if (status != BodyReader::Status::need_read) continue;
    const Errc error = co_await stream.await_body();
    if (upload.stop) co_return Upload::State::stopped;
    if (is_lateness(error)) co_return Upload::State::client_late;
    if (error != Errc::ok) co_return Upload::State::client_failed;
  }
}

void end_upload(const Exchange& exchange, upstream::UpstreamConnection& to, Upload& upload, Upload::State state) {
  upload.state = state;
  switch (state) {
    case Upload::State::done:
    case Upload::State::upstream_failed:  // an early answer may still be there to be read
      // The answer is awaited from now on, unless it is there already.
      if (!upload.is_answered && !to.stream.has_expired())
        to.stream.expires_after(exchange.route->config->timeout.value_or(exchange.settings->timeouts.response));
      break;
    case Upload::State::running:
    case Upload::State::stopped: break;
    default: to.stream.cancel(Errc::cancelled); break;
  }
  if (upload.joiner) exchange.worker.loop.schedule(upload.joiner);
}

}  // namespace

Task<void> run_upload(ServerStream& stream, upstream::UpstreamConnection& to, bool chunked, Upload& upload) {
  Upload::State state = Upload::State::thrown;
  try {
    state = co_await upload_body(stream, to, chunked, upload);
  } catch (...) {  // want of memory; nobody else would end the upload
    upload.failure = std::current_exception();
  }
  end_upload(stream.exchange, to, upload, state);
}

Task<void> run_upload_of(const Exchange& exchange, std::string_view rest, upstream::UpstreamConnection& to,
                         Upload& upload) {
  const Errc error = co_await to.stream.write(rest);
  end_upload(exchange, to, upload,
             upload.stop         ? Upload::State::stopped
             : error == Errc::ok ? Upload::State::done
                                 : Upload::State::upstream_failed);
}

namespace {

RelayResult upstream_cut(Exchange& exchange, Errc error) noexcept {
  note_upstream_cut(exchange, error);
  return RelayResult::upstream_failed;
}

RelayResult client_cut(Exchange& exchange) noexcept {
  note_client_cut(exchange);
  return RelayResult::client_failed;
}

}  // namespace

Task<RelayResult> relay_answer(ServerStream& stream, upstream::UpstreamConnection& from, BodyReader& body,
                               std::string_view beginning, const std::string& trailers) {
  Exchange& exchange = stream.exchange;
  const auto timeout = exchange.route->config->timeout.value_or(exchange.settings->timeouts.response);
  std::array<std::string_view, max_pieces> pieces;
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::size_t since_yield = 0;
  const auto add = [&](std::string_view piece) {
    pieces[count++] = piece;
    bytes += piece.size();
  };
  if (!beginning.empty()) add(beginning);
  for (;;) {
    bool ended = false;
    BodyReader::Status status = BodyReader::Status::piece;
    while (count < max_pieces && !ended) {
      const BodyReader::Result result = body.next();
      status = result.status;
      if (status == BodyReader::Status::piece)
        add(result.data);
      else if (status == BodyReader::Status::end)
        ended = true;
      else
        break;
    }
    if (ended && !trailers.empty()) stream.set_trailers(trailers_to_pass_on(trailers));
    // The head waits for the first piece when that can be had at once: one record, one system call.
    const bool head_alone = count == 0 && !ended && !exchange.response_started;
    const bool read_first = head_alone && status == BodyReader::Status::need_read &&
                            from.stream.descriptor().readable && stream.window() > 0;
    if ((count > 0 || ended || head_alone) && !read_first) {
      since_yield += bytes;
      const Errc error = co_await stream.write({pieces.data(), count}, ended);
      exchange.response_body_bytes += bytes;
      count = bytes = 0;
      if (error != Errc::ok) co_return client_cut(exchange);
    }
    if (ended) co_return RelayResult::complete;
    if (status == BodyReader::Status::malformed) co_return upstream_cut(exchange, Errc::malformed);
    if (status == BodyReader::Status::truncated) co_return upstream_cut(exchange, Errc::end_of_stream);
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await exchange.worker.loop.yield_bulk();
    }
    if (status != BodyReader::Status::need_read) continue;
    const std::size_t window = stream.window();
    if (window == 0) {
      // Nothing is read that the client does not take, and nothing is held for it.
      from.stream.expires_never();
      body.release_if_empty();
      const Errc error = co_await stream.await_window();
      if (error != Errc::ok) co_return client_cut(exchange);
      continue;
    }
    from.stream.expires_after(timeout);
    const std::span<char> room = body.room();
    auto got = from.stream.read_now(room.first(std::min(room.size(), window)));
    if (got && *got == 0) {
      if (read_first) {
        // It would block after all: the head goes out alone.
        const Errc error = co_await stream.write({}, false);
        if (error != Errc::ok) co_return client_cut(exchange);
        continue;
      }
      // Who is waited for keeps no buffer meanwhile: most of the clients of an event stream are silent most of the time.
      body.release_if_empty();
      const Errc ready = co_await from.stream.readable();
      if (ready == Errc::ok) continue;
      got = std::unexpected(ready);
    }
    if (got) {
      body.filled(*got);
    } else {
      // An answer that ends with its connection must end in an orderly way: a reset is not an end.
      if (got.error() != Errc::end_of_stream) co_return upstream_cut(exchange, got.error());
      body.closed();
    }
  }
}

namespace {

// The directions of a tunnel. The tunnel ends with the second that ends.
struct Tunnel {
  ServerStream& client;
  upstream::UpstreamConnection& upstream;
  runtime::Duration idle;
  int open = 0;
  bool settled = false;  // a direction has ended: what becomes of the other says nothing
  std::coroutine_handle<> joiner;

  // Either direction keeps the tunnel alive.
  void keep_alive() {
    client.keep_tunnel_alive(idle);
    upstream.stream.expires_after(idle);
  }
  std::exception_ptr failure;  // for who joins them

  // A direction failed on the upstream's side or on the client's. To leave TLS without a word is how many end a tunnel.
  void fail(Errc error, bool at_upstream) noexcept {
    Exchange& exchange = client.exchange;
    if (exchange.worker.ending)
      note_client_cut(exchange);
    else if (exchange.cut == filter::Cut::none && error == Errc::timed_out)
      exchange.cut = filter::Cut::idle;
    else if (!settled && !at_upstream)
      note_client_cut(exchange);
    else if (!settled && error != Errc::truncated)
      note_upstream_cut(exchange, error);
    settled = true;
    client.cancel();
    upstream.stream.cancel(Errc::cancelled);
  }
  // Want of memory ends both.
  void fail_with(std::exception_ptr thrown) noexcept {
    if (failure == nullptr) failure = std::move(thrown);
    fail(Errc::cancelled, false);
  }
  void leave() {
    if (--open == 0 && joiner) client.exchange.worker.loop.schedule(joiner);
  }
};

Task<void> pump_up(Tunnel& tunnel) {
  Exchange& exchange = tunnel.client.exchange;
  std::size_t since_yield = 0;
  for (;;) {
    const BodyReader::Result result = tunnel.client.next_body();
    Errc error = Errc::ok;
    bool at_upstream = false;
    if (result.status == BodyReader::Status::piece) {
      error = co_await tunnel.upstream.stream.write(result.data);
      at_upstream = true;
      exchange.request_body_bytes += result.data.size();
      since_yield += result.data.size();
    } else if (result.status == BodyReader::Status::end) {
      tunnel.upstream.stream.shutdown_send();  // the other direction may go on
      tunnel.settled = true;
      break;
    } else if (result.status == BodyReader::Status::need_read) {
      tunnel.keep_alive();
      error = co_await tunnel.client.await_body();
    } else {
      error = Errc::reset;
    }
    if (error != Errc::ok) {
      tunnel.fail(error, at_upstream);
      break;
    }
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await exchange.worker.loop.yield_bulk();
    }
  }
}

Task<void> pump_down(Tunnel& tunnel) {
  Exchange& exchange = tunnel.client.exchange;
  BodyReader body;
  body.start({http::BodyKind::until_close, 0}, tunnel.upstream.buffer, exchange.worker.body_buffers);
  std::size_t since_yield = 0;
  for (;;) {
    const BodyReader::Result result = body.next();
    Errc error = Errc::ok;
    bool at_upstream = false;
    if (result.status == BodyReader::Status::piece) {
      error = co_await tunnel.client.write({&result.data, 1}, false);
      exchange.response_body_bytes += result.data.size();
      since_yield += result.data.size();
    } else if (result.status == BodyReader::Status::end) {
      error = co_await tunnel.client.write({}, true);
      if (error == Errc::ok) {
        tunnel.settled = true;
        break;
      }
    } else {
      tunnel.keep_alive();
      const std::size_t window = tunnel.client.window();
      if (window == 0) {
        body.release_if_empty();
        error = co_await tunnel.client.await_window();
      } else {
        const std::span<char> room = body.room();
        const auto got = tunnel.upstream.stream.read_now(room.first(std::min(room.size(), window)));
        if (got && *got > 0) {
          body.filled(*got);
        } else if (got) {
          body.release_if_empty();
          error = co_await tunnel.upstream.stream.readable();
          at_upstream = true;
        } else if (got.error() == Errc::end_of_stream) {
          body.closed();
        } else {
          error = got.error();
          at_upstream = true;
        }
      }
    }
    if (error != Errc::ok) {
      tunnel.fail(error, at_upstream);
      break;
    }
    if (since_yield >= yield_after_bytes) {
      since_yield = 0;
      co_await exchange.worker.loop.yield_bulk();
    }
  }
}

Task<void> run_direction(Tunnel& tunnel, Task<void> pump) {
  ++tunnel.open;
  try {
    co_await std::move(pump);
  } catch (...) {
    tunnel.fail_with(std::current_exception());
  }
  tunnel.leave();
}

struct JoinTunnel {
  Tunnel& tunnel;
  bool await_ready() const noexcept { return tunnel.open == 0; }
  void await_suspend(std::coroutine_handle<> awaiting) noexcept { tunnel.joiner = awaiting; }
  void await_resume() const noexcept {}
};

}  // namespace

Task<void> run_tunnel(ServerStream& stream, upstream::UpstreamConnection& upstream) {
  Tunnel tunnel{stream, upstream, stream.exchange.settings->timeouts.tunnel_idle};
  runtime::Loop& loop = stream.exchange.worker.loop;
  upstream.stream.writes_within(runtime::Duration::zero());
  try {
    loop.spawn(run_direction(tunnel, pump_up(tunnel)));
    loop.spawn(run_direction(tunnel, pump_down(tunnel)));
  } catch (...) {
    tunnel.fail_with(std::current_exception());
  }
  co_await JoinTunnel{tunnel};
  if (tunnel.failure != nullptr) std::rethrow_exception(tunnel.failure);
}

}  // namespace gatehouse::proxy
