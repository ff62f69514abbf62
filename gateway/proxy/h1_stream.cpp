// HTTP/1 towards clients; see h1_stream.hpp.
#include "gateway/proxy/h1_stream.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/http/chunked.hpp"

namespace gatehouse::proxy {

using http::BodyKind;
using http::BodyReader;
using http::FieldId;
using http::ParseStatus;
using runtime::Errc;
using runtime::Task;

namespace {

constexpr std::size_t head_buffer_bytes = 16 * 1024;  // one TLS record; grows to limits.header_bytes
constexpr auto linger_time = std::chrono::seconds(2);
constexpr auto first_request_time = std::chrono::seconds(2);  // of a connection that was just made, when stopping
constexpr std::size_t linger_bytes = 1024 * 1024;
constexpr unsigned requests_a_turn = 16;  // that came in one piece: then other connections have their turn

// Of a head that was refused, the fields Accept of what has come of it: in which form the client wants the answer.
void add_accept(std::string_view head, http::Fields& fields) {
  constexpr std::string_view name = "accept";
  constexpr std::size_t most = 8;
  for (std::size_t at = head.find('\n'); at != std::string_view::npos && fields.size() < most; at = head.find('\n')) {
    head.remove_prefix(at + 1);
    if (head.starts_with("\r\n") || head.starts_with('\n')) return;
    if (head.size() <= name.size() || head[name.size()] != ':' ||
        !http::equals_ignore_case(head.substr(0, name.size()), name))
      continue;
    const std::string_view line = head.substr(0, head.find_first_of("\r\n"));
    fields.push({.id = FieldId::accept, .name = line.substr(0, name.size()), .value = line.substr(name.size() + 1)});
  }
}

bool is_lateness(Errc error) noexcept { return error == Errc::timed_out || error == Errc::too_slow; }

}  // namespace

Task<void> run_h1(Connection& connection) {
  H1Stream stream(connection);
  connection.protocol = &stream;
  co_await stream.run();
  connection.protocol = nullptr;
}

H1Stream::H1Stream(Connection& connection) : ServerStream(connection.worker.context), connection_(connection) {
  connection_.introduce(exchange);
}

Task<void> H1Stream::run() {
  unsigned in_this_turn = 0;
  for (bool first = true;; first = false) {
    if (buffer_.empty()) {
      in_this_turn = 0;
    } else if (++in_this_turn == requests_a_turn) {
      in_this_turn = 0;
      co_await exchange.worker.loop.yield();
    }
    const bool got = co_await read_head(first);
    if (!got) break;
    keep_open_ = lingers_ = false;
    co_await serve_request(*this);
    // After an early answer the client may still be sending: to close now could take the answer from it (RFC 9112
    // section 9.6).
    const bool early = !keep_open_ && !lingers_ && exchange.reply.status == 0 && exchange.response_started &&
                       exchange.status != 499 && !body_.ended() && connection_.stream.descriptor().is_open();
    if (lingers_ || early) co_await linger();
    if (early) connection_.stream.expires_never();  // a slow reader still gets what the kernel holds for it
    exchange.reset();
    connection_.stream.let_reads_rest(false);
    sent_continue_ = false;
    buffer_.unpin();
    if (!keep_open_) break;
    body_.give_back();  // nobody looks at the request's head any more
  }
}

void H1Stream::drain() noexcept {
  if (!idle_ || connection_.stream.has_input()) return;
  // Who has just connected is about to ask; who was answered before knows that a connection may end.
  if (fresh_)
    connection_.stream.expires_after(first_request_time);
  else
    connection_.stream.cancel(Errc::cancelled);
}

void H1Stream::end() noexcept {
  // A connection that waits for its upstream learns of it as of a client that left.
  if (watcher_ != nullptr) watcher_->client_left();
}

// --- the request

Task<bool> H1Stream::read_head(bool first) {
  net::Stream& stream = connection_.stream;
  Worker& worker = connection_.worker;
  const config::Timeouts early = worker.snapshot->config->timeouts;
  if (buffer_.empty()) {
    // Nothing has come yet: hold neither memory nor a configuration while waiting.
    buffer_.release_if_empty();
    body_.release();
    const bool hurried = first && worker.context.draining;
    stream.expires_after(hurried ? std::min<runtime::Duration>(first_request_time, early.request_header)
                         : first ? early.request_header
                                 : early.idle);
    snapshot = {};
    idle_ = true;
    fresh_ = first;
    if (worker.context.draining && !first) co_return false;
    const Errc error = co_await stream.readable();
    idle_ = false;
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
  bool started = !buffer_.empty();
  exchange.started = runtime::Clock::now();
  for (;;) {
    if (!buffer_.empty()) {
      const http::ParseResult result = http::parse_request_head(buffer_.unread(), limits, scanned, exchange.head);
      if (result.status == ParseStatus::complete) {
        buffer_.pin();
        buffer_.consume(result.head_bytes);
        stream.expires_never();
        co_return true;
      }
      if (result.status != ParseStatus::need_more) {
        co_await refuse_head(result);
        co_return false;
      }
    }
    const std::size_t held = buffer_.unread().size();
    const bool room = buffer_.make_room(held < head_buffer_bytes ? head_buffer_bytes : limits.header_bytes + 1);
    if (!room) {
      co_await refuse_head({ParseStatus::head_too_large, 0, nullptr});
      co_return false;
    }
    const auto got = co_await stream.read(buffer_.room());
    if (!got) {
      // Silence after the first byte of a head is a request that never came; before it, an idle client that left.
      if (got.error() == Errc::timed_out && started) {
        exchange.answer(408, filter::Reason::timeout, "The request did not arrive in time.");
        co_await answer_without_head();
      }
      co_return false;
    }
    buffer_.filled(*got);
    if (!started) {
      started = true;
      exchange.started = runtime::Clock::now();
    }
  }
}

Task<void> H1Stream::refuse_head(const http::ParseResult& result) {
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
  co_await answer_without_head();
}

// The last answer of a connection, to a request of which nothing is known but whom the bytes came from.
Task<void> H1Stream::answer_without_head() {
  exchange.reply.close = true;
  exchange.head = {};
  if (buffer_.unread().starts_with("HEAD ")) exchange.head.method = http::Method::head;  // no content (RFC 9110 9.3.2)
  add_accept(buffer_.unread(), exchange.head.fields);
  filter::WorkerContext& worker = connection_.worker.context;
  worker.ids.append(exchange.request_id);
  worker.ids.append(exchange.trace_id);
  exchange.client = exchange.peer.ip;
  exchange.client_text = exchange.client.to_string();
  const bool sent = co_await send_reply(true);
  complete(exchange);
  if (sent) co_await linger();
}

std::expected<http::BodyFraming, http::Refusal> H1Stream::framing() const noexcept {
  return http::request_framing(exchange.head);
}

void H1Stream::start_body() { body_.start(exchange.framing, buffer_, exchange.worker.body_buffers); }

void H1Stream::start_reading() {
  const config::GatewayConfig& settings = *exchange.settings;
  connection_.stream.expires_when_idle(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
}

Task<Errc> H1Stream::await_body() {
  net::Stream& stream = connection_.stream;
  if (!sent_continue_ && http::expects_continue(exchange.head)) {
    co_await turn_.take();
    Errc error = Errc::ok;
    if (!std::exchange(sent_continue_, true) && buffer_.empty())  // else the body is coming already, or the answer
      error = co_await stream.write("HTTP/1.1 100 Continue\r\n\r\n");
    turn_.give(exchange.worker.loop);
    if (error != Errc::ok) co_return Errc::reset;
  }
  auto got = stream.read_now(body_.room());
  if (got && *got == 0) {
    // Who is waited for keeps no buffer meanwhile: most of the clients of an event stream are silent most of the time.
    body_.release_if_empty();
    const Errc ready = co_await stream.readable();
    if (ready == Errc::ok)
      got = co_await stream.read(body_.room());
    else
      got = std::unexpected(ready);
  }
  if (got)
    body_.filled(*got);
  else if (is_lateness(got.error()) || (is_tunnel_ && got.error() == Errc::reset))
    co_return got.error();
  else
    body_.closed();
  co_return Errc::ok;
}

void H1Stream::stop_reading() noexcept { connection_.stream.descriptor().fail_waiters(Errc::cancelled); }

// True if the rest of the request is at hand, so that the next one can be found after it.
bool H1Stream::skip_rest_of_body() {
  for (;;) {
    const BodyReader::Result result = body_.next();
    if (result.status == BodyReader::Status::end) {
      body_.finish();
      return true;
    }
    if (result.status != BodyReader::Status::piece) return false;
  }
}

// --- the answer

Task<Errc> H1Stream::send_interim() {
  if (exchange.head.minor_version == 0) co_return Errc::ok;
  out.clear();
  append_interim_head(out, exchange.response);
  co_await turn_.take();
  start_reading();  // it has to take this at the pace at which it has to send
  const Errc error = co_await connection_.stream.write(out);
  if (body_.ended()) connection_.stream.expires_never();
  turn_.give(exchange.worker.loop);
  co_return error;
}

Task<void> H1Stream::end_interim() {
  co_await turn_.take();
  sent_continue_ = true;
  turn_.give(exchange.worker.loop);
}

void H1Stream::begin_answer(const http::BodyFraming& framing) {
  const bool old_client = exchange.head.minor_version == 0;
  switch (framing.kind) {
    case BodyKind::none: answer_framing_ = ClientFraming::none; break;
    case BodyKind::length: answer_framing_ = ClientFraming::length; break;
    case BodyKind::chunked:
    case BodyKind::until_close:
      answer_framing_ = old_client ? ClientFraming::until_close : ClientFraming::chunked;
      break;
  }
  close_ = answer_framing_ == ClientFraming::until_close || exchange.worker.draining || !body_.ended() ||
           http::wants_close(exchange.head.fields, exchange.head.minor_version);
  out.clear();
  trailers_.clear();
  append_client_head(out, exchange, answer_framing_, framing.length, close_);
  // From now on the request may be one half of a conversation, and as slow as that is.
  connection_.stream.let_reads_rest(true);
  const config::GatewayConfig& settings = *exchange.settings;
  connection_.stream.expires_when_idle(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
}

Task<Errc> H1Stream::await_window() { co_return Errc::ok; }

// A trailer section is for clients that ask for it (RFC 9110 section 6.5.1).
void H1Stream::set_trailers(std::string_view lines) {
  const http::Field* const te = exchange.head.fields.find(FieldId::te);
  if (te != nullptr && http::list_contains(te->value, "trailers")) trailers_ = lines;
}

Task<Errc> H1Stream::write(std::span<const std::string_view> pieces, bool end) {
  // Head, two pieces with their chunk's size and line end, the last chunk: 8 slices, all that one write takes.
  std::array<std::string_view, 8> slices;
  char sizes[2][20];
  std::size_t count = 0;
  if (!exchange.response_started) slices[count++] = out;
  const bool chunked = answer_framing_ == ClientFraming::chunked && !is_tunnel_;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (chunked) slices[count++] = {sizes[i], http::write_chunk_head(pieces[i].size(), sizes[i])};
    slices[count++] = pieces[i];
    if (chunked) slices[count++] = "\r\n";
  }
  std::string last;
  if (chunked && end && trailers_.empty()) {
    slices[count++] = http::last_chunk;
  } else if (chunked && end) {
    last = "0\r\n" + trailers_ + "\r\n";
    slices[count++] = last;
  }
  exchange.response_started = true;
  Errc error = Errc::ok;
  if (count > 0) error = co_await connection_.stream.write(std::span<const std::string_view>(slices.data(), count));
  if (end && error == Errc::ok) {
    if (is_tunnel_)
      connection_.stream.shutdown_send();  // the other direction may go on
    else
      keep_open_ = !close_;
  }
  co_return error;
}

Task<bool> H1Stream::send_reply(bool close) {
  out.clear();
  exchange.status = exchange.reply.status;
  exchange.response_body_bytes = append_reply(out, exchange, close);
  exchange.response_started = true;
  connection_.stream.expires_when_idle(exchange.settings->timeouts.request_body_idle,
                                       exchange.settings->limits.min_rate_bytes_per_second);
  const Errc error = co_await connection_.stream.write(out);
  co_return error == Errc::ok;
}

Task<bool> H1Stream::reply() {
  const bool skipped =
      !exchange.reply.close && !(exchange.head.fields.has(FieldId::expect) && !sent_continue_) && skip_rest_of_body();
  const bool close =
      !skipped || exchange.worker.draining || http::wants_close(exchange.head.fields, exchange.head.minor_version);
  const bool sent = co_await send_reply(close);
  keep_open_ = sent && !close;
  lingers_ = sent && close;
  co_return sent;
}

// Reads on for a moment after the last answer: closing with unread bytes in the socket sends a reset, which can destroy
// the answer before the client has seen it (RFC 9112 section 9.6).
Task<void> H1Stream::linger() {
  net::Stream& stream = connection_.stream;
  stream.shutdown_send();
  stream.expires_after(linger_time);
  std::size_t total = 0;
  buffer_.unpin();
  buffer_.consume(buffer_.unread().size());
  buffer_.make_room(head_buffer_bytes);
  while (total < linger_bytes) {
    const auto got = co_await stream.read(buffer_.room());
    if (!got) break;
    total += *got;
  }
}

// --- WebSockets

Task<Errc> H1Stream::switch_protocols() {
  out.clear();
  append_upgrade_head(out, exchange);
  const Errc error = co_await connection_.stream.write(out);
  // What came behind the request's head belongs to the tunnel; the head itself is still needed for the access record.
  body_.start({BodyKind::until_close, 0}, buffer_, exchange.worker.body_buffers);
  is_tunnel_ = true;
  sent_continue_ = true;
  co_return error;
}

// --- both

void H1Stream::watch(ClientWatcher* watcher) noexcept {
  watcher_ = watcher;
  auto& descriptor = connection_.stream.descriptor();
  if (watcher == nullptr) {
    descriptor.on_hangup = nullptr;
    return;
  }
  descriptor.hangup_context = this;
  descriptor.on_hangup = [](void* self) { static_cast<H1Stream*>(self)->look_after_client(); };
  if (descriptor.hung_up || exchange.worker.ending) look_after_client();
}

void H1Stream::look_after_client() noexcept {
  // In a tunnel the two ends say when they have sent all; the other direction may go on.
  if (is_tunnel_ && !exchange.worker.ending) return;
  // Bytes behind the request are another request, of a client that may well be there.
  const bool asked_more = !buffer_.empty() || body_.has_excess();
  const bool left = exchange.worker.ending || (!asked_more && connection_.stream.peer_is_gone());
  if (left && watcher_ != nullptr) watcher_->client_left();
}

}  // namespace gatehouse::proxy
