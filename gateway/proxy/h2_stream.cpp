// One request over HTTP/2; see h2_stream.hpp.
#include "gateway/proxy/h2_stream.hpp"

#include <openssl/evp.h>

#include <algorithm>

#include "gateway/proxy/answers.hpp"
#include "gateway/proxy/h2_connection.hpp"
#include "gateway/runtime/memory.hpp"

namespace gatehouse::proxy {

using filter::Reason;
using http::BodyKind;
using http::BodyReader;
using http::H2Error;
using http::H2HeadFault;
using runtime::Errc;
using runtime::Task;

namespace {

constexpr std::size_t kept_piece = 16 * 1024;

std::string base64(const unsigned char* bytes, std::size_t size) {
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

// What Sec-WebSocket-Accept has to say for a key (RFC 6455 section 4.2.2).
std::string websocket_accept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr);
  return base64(digest, size);
}

http::H2Fields& empty_fields() {
  thread_local http::H2Fields fields;
  fields.clear();
  return fields;
}

}  // namespace

H2ServerStream::H2ServerStream(filter::WorkerContext& worker)
    : ServerStream(worker), body_event_(worker.loop), output_event_(worker.loop) {
  protocol.server = this;
  protocol.head = &exchange.head;
}

void H2ServerStream::open(H2Connection& connection) {
  connection_ = &connection;
  connection.connection().introduce(exchange);
  std::string random;
  exchange.worker.ids.append_short(random);
  protocol.websocket_key = base64(reinterpret_cast<const unsigned char*>(random.data()), random.size());
}

void H2ServerStream::begin(const SnapshotRef& current) {
  snapshot = current;
  exchange.settings = snapshot->config.get();
  exchange.waf_engine = snapshot->waf.get();
  exchange.started = runtime::Clock::now();
}

Task<void> H2ServerStream::refuse() {
  switch (protocol.fault) {
    case H2HeadFault::target_too_long:
      exchange.answer(414, Reason::too_large, "The request target is too long.");
      break;
    case H2HeadFault::too_large:
      exchange.answer(431, Reason::too_large, "The request's header fields are too large.");
      break;
    case H2HeadFault::protocol_unknown:
      exchange.answer(501, Reason::malformed, "This protocol is not spoken here.");
      break;
    default: exchange.answer(400, Reason::malformed, "The request is malformed."); break;
  }
  name_request();
  (void)co_await reply();
  complete(exchange);
}

void H2ServerStream::note_gone() {
  name_request();
  exchange.status = 499;
  complete(exchange);
}

void H2ServerStream::name_request() {
  exchange.worker.ids.append(exchange.request_id);
  exchange.worker.ids.append(exchange.trace_id);
  exchange.client = exchange.peer.ip;
  exchange.client_text = exchange.client.to_string();
}

void H2ServerStream::conclude() {
  http::H2Session& session = connection_->session();
  // Nothing in the stream may say that this was the whole answer.
  if (!protocol.end_sent) session.reset(protocol, late_ != Errc::ok ? H2Error::cancel : H2Error::internal_error);
  give_back_pieces();
  session.release(protocol);
  connection_->flush();
  connection_ = nullptr;
  protocol.clear();
  exchange.reset();
  exchange.head.is_http2 = false;
  snapshot = {};
  body_event_.clear();
  output_event_.clear();
  input_pace_ = output_pace_ = {};
  late_ = Errc::ok;
  for (std::string& piece : pieces_)
    if (piece.capacity() > kept_piece) runtime::free_memory(piece);
  taken_ = 0;
  trailers_.clear();
  watcher_ = nullptr;
  tunnel_end_ = runtime::TimePoint::max();
  sent_continue_ = stopped_ = is_tunnel_ = false;
}

ConnectionFacts H2ServerStream::connection_facts() noexcept { return connection_->connection().facts(); }

void H2ServerStream::on_closed() {
  body_event_.set();
  output_event_.set();
  if (watcher_ != nullptr && !protocol.end_sent) watcher_->client_left();
}

void H2ServerStream::on_tick(runtime::TimePoint now) {
  const auto fail = [this](Errc error) {
    late_ = error;
    body_event_.set();
    output_event_.set();
  };
  if (is_tunnel_) {
    if (now >= tunnel_end_) fail(Errc::timed_out);
    return;
  }
  const auto look = [&](net::Pace& pace, std::uint64_t moved, bool waited_for) {
    pace.moved_to(moved);
    if (waited_for != pace.is_waiting()) waited_for ? pace.begin_wait(now) : pace.end_wait(now);
    return pace.look(now);
  };
  // Who may not send, or cannot be written to, is not what is waited for. Once the answer has begun, the request may be
  // one half of a conversation, and as slow as that is.
  const Errc input =
      look(input_pace_, protocol.received,
           body_event_.is_awaited() && connection_->session().may_receive() && !exchange.response_started);
  const Errc output =
      look(output_pace_, protocol.sent, output_event_.is_awaited() && connection_->session().is_blocked(protocol));
  if (late_ != Errc::ok) return;
  if (input != Errc::ok) fail(input);
  if (output != Errc::ok) fail(output);
}

// --- the request's body

std::expected<http::BodyFraming, http::Refusal> H2ServerStream::framing() const noexcept {
  auto framing = http::request_framing(exchange.head);
  // A body of unknown length goes to the upstream in chunks; the tunnel of a WebSocket is none (RFC 8441 section 5).
  // So does one that says it is empty but has not ended: with its length it would be complete at the upstream before it
  // is known to be well-formed.
  const bool comes = !protocol.request_ended || !protocol.incoming.empty();  // it may all be here by now
  const bool may_have_body = comes && !protocol.is_websocket;
  if (framing && may_have_body && framing->length == 0) framing->kind = BodyKind::chunked;
  return framing;
}

void H2ServerStream::give_back(std::string& piece) {
  if (piece.empty()) return;
  connection_->session().consume(protocol, piece.size());
  piece.clear();
  connection_->flush();
}

void H2ServerStream::give_back_pieces() {
  for (std::string& piece : pieces_) give_back(piece);
}

// The last of a body whose length is known waits for the stream's end: what comes behind it makes the request malformed,
// and such a request is not forwarded (RFC 9113 section 8.1.1).
bool H2ServerStream::has_piece() const noexcept {
  const bool is_last = protocol.announced >= 0 && protocol.received == static_cast<std::uint64_t>(protocol.announced);
  return !protocol.incoming.empty() && (!is_last || protocol.request_ended);
}

BodyReader::Result H2ServerStream::next_body() {
  std::string& piece = pieces_[turn_ ^= 1];
  give_back(piece);
  if (protocol.malformed) return {BodyReader::Status::malformed, {}};
  if (has_piece()) {
    piece.swap(protocol.incoming);
    taken_ += piece.size();
    return {BodyReader::Status::piece, piece};
  }
  if (protocol.request_ended) return {BodyReader::Status::end, {}};
  if (protocol.closed) return {BodyReader::Status::truncated, {}};
  return {BodyReader::Status::need_read, {}};
}

bool H2ServerStream::body_ended() const noexcept { return protocol.request_ended && protocol.incoming.empty(); }

void H2ServerStream::start_reading() {
  const config::GatewayConfig& settings = *exchange.settings;
  input_pace_.start(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
}

Task<Errc> H2ServerStream::await_body() {
  give_back_pieces();
  const auto has_news = [this] {
    return has_piece() || protocol.request_ended || protocol.malformed || protocol.closed;
  };
  if (!sent_continue_ && http::expects_continue(exchange.head)) {
    sent_continue_ = true;
    if (!has_news()) {
      connection_->session().submit_interim(protocol, 100, empty_fields());
      connection_->flush();
    }
  }
  if (!has_news()) {
    // Who is waited for holds no pieces meanwhile: thousands of requests may wait for the rest of their bodies.
    for (std::string& piece : pieces_) runtime::free_memory(piece);
  }
  while (!has_news() && late_ == Errc::ok && !stopped_) co_await body_event_;
  if (stopped_) co_return Errc::cancelled;
  co_return late_;
}

void H2ServerStream::stop_reading() noexcept {
  stopped_ = true;
  body_event_.set();
}

// --- the answer

Task<Errc> H2ServerStream::send_interim() {
  if (protocol.closed) co_return Errc::reset;
  http::H2Fields& fields = empty_fields();
  collect_interim_head(fields, exchange.response);
  connection_->session().submit_interim(protocol, exchange.response.status, fields);
  connection_->flush();
  // The next is not read before this one is on its way, or those that nobody reads would pile up.
  while (!protocol.closed && late_ == Errc::ok && protocol.interim_pending) co_await output_event_;
  co_return protocol.closed ? Errc::reset : late_;
}

Task<void> H2ServerStream::end_interim() {
  sent_continue_ = true;
  co_return;
}

void H2ServerStream::begin_answer(const http::BodyFraming& framing) {
  answer_framing_ = framing;
  const config::GatewayConfig& settings = *exchange.settings;
  output_pace_.start(settings.timeouts.request_body_idle, settings.limits.min_rate_bytes_per_second);
}

std::size_t H2ServerStream::window() noexcept { return connection_->session().window(protocol); }

Task<Errc> H2ServerStream::await_window() {
  while (!protocol.closed && late_ == Errc::ok && window() == 0) co_await output_event_;
  co_return protocol.closed ? Errc::reset : late_;
}

// Frames pieces, and waits until they are on their way.
Task<Errc> H2ServerStream::send(std::span<const std::string_view> pieces, bool end) {
  if (protocol.closed || late_ != Errc::ok) co_return Errc::reset;
  connection_->session().write(protocol, pieces, end);
  connection_->flush();
  while (!protocol.closed && late_ == Errc::ok && (end ? !protocol.end_sent : protocol.pending_bytes > 0))
    co_await output_event_;
  if (end ? protocol.end_sent : !protocol.closed && late_ == Errc::ok) co_return Errc::ok;
  // What is pending is the caller's, and nobody is to look at it any more.
  connection_->session().reset(protocol, H2Error::cancel);
  co_return Errc::reset;
}

// Waits until a head that is the whole answer is on its way: what is reset before is not sent.
Task<Errc> H2ServerStream::await_end() {
  connection_->flush();
  while (!protocol.closed && late_ == Errc::ok && !protocol.end_sent) co_await output_event_;
  co_return protocol.end_sent ? Errc::ok : Errc::reset;
}

Task<Errc> H2ServerStream::write(std::span<const std::string_view> pieces, bool end) {
  if (protocol.closed || late_ != Errc::ok) co_return Errc::reset;
  if (!exchange.response_started) {
    exchange.response_started = true;
    const bool has_body = !end || !trailers_.empty() ||
                          std::ranges::any_of(pieces, [](std::string_view piece) { return !piece.empty(); });
    http::H2Fields& fields = empty_fields();
    collect_client_head(fields, exchange, answer_framing_);
    connection_->session().submit_answer(protocol, exchange.response.status, fields, has_body);
    if (!has_body) co_return co_await await_end();
  }
  if (end) protocol.trailers = trailers_;
  if (pieces.empty() && !end) {  // the head alone
    connection_->flush();
    co_return Errc::ok;
  }
  co_return co_await send(pieces, end);
}

void H2ServerStream::abort_answer() noexcept {
  connection_->session().reset(protocol, H2Error::internal_error);
  connection_->flush();
}

Task<bool> H2ServerStream::reply() {
  exchange.status = exchange.reply.status;
  if (protocol.closed) co_return false;
  http::H2Fields& fields = empty_fields();
  out.clear();
  collect_reply(fields, out, exchange);
  exchange.response_body_bytes = out.size();
  exchange.response_started = true;
  if (exchange.settings != nullptr)
    output_pace_.start(exchange.settings->timeouts.request_body_idle,
                       exchange.settings->limits.min_rate_bytes_per_second);
  connection_->session().submit_answer(protocol, exchange.reply.status, fields, !out.empty());
  late_ = Errc::ok;  // a body that came too late is what is answered
  if (out.empty()) {
    const Errc ended = co_await await_end();
    co_return ended == Errc::ok;
  }
  const std::string_view body = out;
  const Errc error = co_await send({&body, 1}, true);
  co_return error == Errc::ok;
}

// --- WebSockets

Task<Errc> H2ServerStream::switch_protocols() {
  const http::Field* const accept = exchange.response.fields.find("sec-websocket-accept");
  if (accept == nullptr || accept->value != websocket_accept(protocol.websocket_key)) {
    exchange.status = 502;
    co_return Errc::malformed;
  }
  exchange.status = 200;  // there is no 101 in HTTP/2 (RFC 8441 section 5)
  http::H2Fields& fields = empty_fields();
  collect_upgrade_head(fields, exchange);
  connection_->session().submit_answer(protocol, 200, fields, true);
  connection_->flush();
  is_tunnel_ = true;
  sent_continue_ = true;
  co_return protocol.closed ? Errc::reset : Errc::ok;
}

void H2ServerStream::keep_tunnel_alive(runtime::Duration idle) { tunnel_end_ = exchange.worker.loop.now() + idle; }

// --- both

void H2ServerStream::cancel() noexcept {
  connection_->session().reset(protocol, H2Error::cancel);
  connection_->flush();
  on_closed();
}

void H2ServerStream::watch(ClientWatcher* watcher) noexcept {
  watcher_ = watcher;
  if (watcher != nullptr && (protocol.closed || connection_->is_ending())) watcher->client_left();
}

}  // namespace gatehouse::proxy
