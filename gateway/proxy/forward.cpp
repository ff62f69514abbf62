// From the filters' consent to the client's last byte: an endpoint, the request to it, its answer back; see relay.hpp.
#include <algorithm>
#include <exception>

#include "gateway/filter/filter.hpp"
#include "gateway/http/h1_parser.hpp"
#include "gateway/proxy/answer_inspection.hpp"
#include "gateway/proxy/answers.hpp"
#include "gateway/proxy/failure.hpp"
#include "gateway/proxy/relay.hpp"
#include "gateway/runtime/memory.hpp"

namespace gatehouse::proxy {

using filter::Exchange;
using filter::Reason;
using filter::Step;
using filter::UpstreamError;
using http::BodyKind;
using http::BodyReader;
using http::FieldId;
using runtime::Errc;
using runtime::Task;
using upstream::Service;
using upstream::UpstreamConnection;

namespace {

constexpr std::size_t first_head_bytes = 16 * 1024;
constexpr std::size_t kept_head_bytes = 512;         // of a request's head that has been sent, for the next
constexpr std::size_t first_body_bytes = 16 * 1024;  // of a body at hand, in one write with the head

// Counts a request on its endpoint while it is there.
class InFlight {
 public:
  explicit InFlight(std::uint32_t& count) noexcept : count_(count) { ++count_; }
  ~InFlight() { --count_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  std::uint32_t& count_;
};

// While the upstream is waited for: notices that the client leaves, and gives the upstream up then.
class ClientWatch final : public ClientWatcher {
 public:
  ClientWatch(ServerStream& stream, UpstreamConnection& upstream) : stream_(stream), upstream_(upstream) {
    stream_.watch(this);
  }
  ~ClientWatch() { stream_.watch(nullptr); }
  ClientWatch(const ClientWatch&) = delete;
  ClientWatch& operator=(const ClientWatch&) = delete;
  [[nodiscard]] bool gone() const noexcept { return gone_; }

  void client_left() noexcept override {
    gone_ = true;
    upstream_.stream.cancel(Errc::cancelled);
  }

 private:
  ServerStream& stream_;
  UpstreamConnection& upstream_;
  bool gone_ = false;
};

struct JoinUpload {
  Upload& upload;
  bool await_ready() const noexcept { return upload.finished(); }
  void await_suspend(std::coroutine_handle<> awaiting) noexcept { upload.joiner = awaiting; }
  void await_resume() const noexcept {}
};

// What became of one attempt.
enum class Attempt {
  done,           // the client has what it gets
  answered,       // exchange.reply is set
  client_gone,
  stale,          // a kept connection turned out dead before a byte of the answer
  refused,        // no connection
  reset,          // the connection broke before a byte of the answer
  bad_status,     // 502 or 503 that another endpoint may do better
};

// Which answers another endpoint would be asked to better.
struct AttemptPlan {
  bool may_retry_502 = false;
  bool may_retry_503 = false;
};

// Sets the reply for an upload that failed on the client's side.
Attempt answer_upload(Exchange& exchange, Upload::State state) {
  exchange.reply.close = true;
  switch (state) {
    case Upload::State::too_large: exchange.answer(413, Reason::too_large, "The request's body is too large."); break;
    case Upload::State::client_malformed:
      exchange.answer(400, Reason::malformed, "The request's body is malformed.");
      break;
    case Upload::State::client_late:
      exchange.answer(408, Reason::timeout, "The request's body did not arrive in time.");
      break;
    default: return Attempt::client_gone;
  }
  exchange.reply.close = true;
  return Attempt::answered;
}

// Reads one head of the upstream's; interim answers included.
Task<Errc> read_response_head(UpstreamConnection& upstream, http::ResponseHead& head, std::size_t max_bytes,
                              runtime::Duration timeout, std::size_t min_rate) {
  http::HeadLimits limits;
  limits.header_bytes = max_bytes;
  limits.header_count = 256;
  limits.underscores_allowed = true;
  std::size_t scanned = 0;
  head.fields.clear();
  for (;;) {
    if (!upstream.buffer.empty()) {
      const http::ParseResult result = http::parse_response_head(upstream.buffer.unread(), limits, scanned, head);
      if (result.status == http::ParseStatus::complete) {
        upstream.buffer.pin();
        upstream.buffer.consume(result.head_bytes);
        co_return Errc::ok;
      }
      if (result.status == http::ParseStatus::head_too_large) co_return Errc::too_large;
      if (result.status != http::ParseStatus::need_more) co_return Errc::malformed;
    }
    if (upstream.buffer.empty()) {
      // Who is waited for keeps no buffer meanwhile: some services take their time, for thousands of requests at once.
      upstream.buffer.release_if_empty();
      const Errc ready = co_await upstream.stream.readable();
      if (ready != Errc::ok) co_return ready;
    }
    if (!upstream.buffer.make_room(upstream.buffer.unread().size() < first_head_bytes ? first_head_bytes
                                                                                      : max_bytes + 1))
      co_return Errc::too_large;
    auto got = upstream.stream.read_now(upstream.buffer.room());
    if (got && *got == 0) {
      if (upstream.buffer.empty()) continue;
      got = co_await upstream.stream.read(upstream.buffer.room());
    }
    if (!got) co_return got.error();
    // The time-out is for the first byte, then for each silence; who drips all the same is ended by the least rate.
    if (upstream.buffer.empty()) upstream.stream.expires_when_idle(timeout, min_rate);
    upstream.buffer.filled(*got);
  }
}

// The answer's own journey, once its final head is known. `upload` may still run.
Task<Attempt> bring_back(ServerStream& stream, UpstreamConnection& upstream, bool& reusable) {
  Exchange& exchange = stream.exchange;
  const http::ResponseHead& head = exchange.response;
  reusable = false;

  if (head.status == 101) {
    exchange.status = 101;
    exchange.response_started = true;
    const Errc error = co_await stream.switch_protocols();
    if (error == Errc::ok) {
      co_await run_tunnel(stream, upstream);
    } else if (error == Errc::malformed) {  // the client of an HTTP/2 connection is told by a reset
      exchange.upstream_error = UpstreamError::malformed;
      exchange.reply.reason = Reason::upstream;
    } else {
      note_client_cut(exchange);
    }
    co_return Attempt::done;
  }

  if (exchange.wants_websocket && exchange.head.is_http2 && head.status / 100 == 2) {
    // To an extended CONNECT this would say that the tunnel is open (RFC 8441 section 5).
    answer_failure(exchange, UpstreamError::malformed);
    exchange.reply.detail = "The service did not open the WebSocket.";
    co_return Attempt::answered;
  }
  const auto framing = http::response_framing(head, exchange.head.method);
  if (!framing) {
    answer_failure(exchange, UpstreamError::malformed);
    co_return Attempt::answered;
  }
  for (const filter::Filter& filter : filter::builtin_filters()) {
    if (filter.on_response == nullptr) continue;
    Step step = filter.on_response(exchange);
    if (step == Step::wait) step = co_await filter.on_response_wait(exchange);
    if (step == Step::answer) co_return Attempt::answered;
  }

  BodyReader body;
  body.start(*framing, upstream.buffer, exchange.worker.body_buffers);
  // No rule sees trailers, so there are none where answers are inspected.
  std::string trailers;
  if (!exchange.plain_answer && framing->kind == BodyKind::chunked) body.collect_trailers(trailers);
  std::string inspected;
  if (exchange.plain_answer && framing->kind != BodyKind::none) {
    const bool passed = co_await inspect_answer(exchange, upstream, body, inspected);
    if (!passed) co_return exchange.reply.status != 0 ? Attempt::answered : Attempt::client_gone;
  }

  exchange.status = head.status;
  const bool kept = framing->kind != BodyKind::until_close && !http::wants_close(head.fields, head.minor_version);
  stream.begin_answer(*framing);
  const RelayResult result = co_await relay_answer(stream, upstream, body, inspected, trailers);
  switch (result) {
    case RelayResult::client_failed: co_return Attempt::done;
    case RelayResult::upstream_failed:
      // Nothing in the client's framing may say that this was the whole answer.
      stream.abort_answer();
      co_return Attempt::done;
    case RelayResult::complete: break;
  }
  reusable = kept && !body.has_excess();  // what stands behind an answer is an answer to nobody
  body.release();
  upstream.buffer.unpin();
  co_return Attempt::done;
}

// Interim answers on the way to the final head. ok: exchange.response is it.
Task<Errc> await_answer(ServerStream& stream, UpstreamConnection& upstream, const Upload& upload) {
  Exchange& exchange = stream.exchange;
  constexpr int max_interim = 16;
  const auto timeout = exchange.route->config->timeout.value_or(exchange.settings->timeouts.response);
  for (int interim = 0; interim < max_interim; ++interim) {
    const Errc error = co_await read_response_head(upstream, exchange.response, exchange.settings->limits.header_bytes,
                                                   timeout, exchange.settings->limits.min_rate_bytes_per_second);
    if (error != Errc::ok) co_return error;
    const int status = exchange.response.status;
    if (status >= 200) {
      if (!stream.body_ended()) co_await stream.end_interim();
      co_return Errc::ok;
    }
    if (status == 101) {
      const bool switched = exchange.wants_websocket && http::is_websocket_switch(exchange.response);
      co_return switched ? Errc::ok : Errc::malformed;
    }
    // One that announces a body may be read as having one (RFC 9110 section 8.6).
    if (!http::response_framing(exchange.response, exchange.head.method)) co_return Errc::malformed;
    // 100 Continue is the gateway's own business.
    if (status != 100) {
      const Errc sent = co_await stream.send_interim();
      if (sent != Errc::ok) co_return Errc::cancelled;
    }
    upstream.buffer.unpin();
    // The next head has the whole time again; while the request is being sent, the upstream may take its time.
    if (upload.finished())
      upstream.stream.expires_after(timeout);
    else
      upstream.stream.expires_never();
  }
  co_return Errc::malformed;
}

// How long the endpoint took: to the head of its answer, or to where it was given up. `counts`: it was the endpoint that
// took so long.
void note_time(Exchange& exchange, runtime::TimePoint began, bool counts) {
  exchange.upstream_nanoseconds = static_cast<std::uint64_t>((runtime::Clock::now() - began).count());
  if (counts)
    exchange.route->service->sites[exchange.choice.site].duration->observe_nanoseconds(exchange.upstream_nanoseconds);
}

bool failed_at_client(const Upload& upload) noexcept {
  switch (upload.state) {
    case Upload::State::client_failed:
    case Upload::State::client_malformed:
    case Upload::State::client_late:
    case Upload::State::too_large: return true;
    default: return false;
  }
}

// The answer, from its first byte to its last, while `upload` may run.
Task<Attempt> take_answer(ServerStream& stream, UpstreamConnection& upstream, const ClientWatch& watch,
                          const AttemptPlan& plan, Upload& upload, runtime::TimePoint began, bool& reusable) {
  Exchange& exchange = stream.exchange;
  const Errc error = co_await await_answer(stream, upstream, upload);
  upload.is_answered = true;
  upstream.stream.writes_within(runtime::Duration::zero());  // who answers need not take the rest

  Attempt result = Attempt::answered;
  if (error == Errc::ok) {
    note_time(exchange, began, true);
    const int status = exchange.response.status;
    if ((status == 502 && plan.may_retry_502) || (status == 503 && plan.may_retry_503))
      result = Attempt::bad_status;
    else
      result = co_await bring_back(stream, upstream, reusable);
    if (result == Attempt::client_gone && !watch.gone() && failed_at_client(upload))
      result = answer_upload(exchange, upload.state);
  } else if (watch.gone()) {
    result = Attempt::client_gone;
  } else if (failed_at_client(upload)) {
    result = answer_upload(exchange, upload.state);
  } else if (error == Errc::cancelled) {
    result = Attempt::client_gone;
  } else {
    const bool broke = error != Errc::malformed && error != Errc::too_large && error != Errc::timed_out;
    if (broke && upstream.buffer.empty()) result = upstream.reused ? Attempt::stale : Attempt::reset;
    answer_failure(exchange, upstream_error(error, false));
  }
  if (error != Errc::ok)
    note_time(exchange, began, result != Attempt::stale && exchange.upstream_error != UpstreamError::none);
  co_return result;
}

Task<Attempt> attempt_once(ServerStream& stream, UpstreamConnection& upstream, const ClientWatch& watch,
                           const AttemptPlan& plan, runtime::TimePoint began, bool& reusable) {
  Exchange& exchange = stream.exchange;
  const config::GatewayConfig& settings = *exchange.settings;
  const auto timeout = exchange.route->config->timeout.value_or(settings.timeouts.response);
  const bool has_body = exchange.framing.kind != BodyKind::none;
  const bool streaming = has_body && !exchange.body_buffered;

  stream.out.clear();
  if (!has_body)
    append_upstream_head(stream.out, exchange, BodyKind::none, 0);
  else if (!streaming)
    append_upstream_head(stream.out, exchange, BodyKind::length, exchange.body.size());
  else
    append_upstream_head(stream.out, exchange, exchange.framing.kind, exchange.framing.length);
  const bool chunked = streaming && exchange.framing.kind == BodyKind::chunked;
  if (chunked && !exchange.body.empty()) {
    char size[20];
    stream.out.append(size, http::write_chunk_head(exchange.body.size(), size));
    stream.out.append(exchange.body).append("\r\n");
  }
  const std::string_view body = chunked ? std::string_view() : std::string_view(exchange.body);
  const std::string_view rest = body.substr(std::min(body.size(), first_body_bytes));
  const std::array<std::string_view, 2> message{stream.out, body.substr(0, body.size() - rest.size())};
  // What is written has its own time, in which something of it must be taken; the answer's begins with the request's end.
  upstream.stream.expires_never();
  upstream.stream.writes_within(timeout);
  const Errc error = co_await upstream.stream.write(message);
  if (error == Errc::timed_out) {
    answer_failure(exchange, UpstreamError::timeout);
    note_time(exchange, began, true);
    co_return Attempt::answered;
  }
  // Nothing large is held while the answer is awaited.
  if (stream.out.capacity() > kept_head_bytes) runtime::free_memory(stream.out);
  // A failed write is not yet a failed request: an answer may have been sent before the connection was closed.
  Upload upload;
  if (error == Errc::ok && (streaming || !rest.empty())) {
    upload.state = Upload::State::running;
    if (streaming)
      exchange.worker.loop.spawn(run_upload(stream, upstream, chunked, upload));
    else
      exchange.worker.loop.spawn(run_upload_of(exchange, rest, upstream, upload));
  } else {
    upstream.stream.expires_after(timeout);
  }
  // Whatever is thrown meanwhile, the upload ends first: it uses this frame, the connections and the stream.
  Attempt result = Attempt::client_gone;
  std::exception_ptr failure;
  try {
    result = co_await take_answer(stream, upstream, watch, plan, upload, began, reusable);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!upload.finished()) {
    // The answer is there before the request's end: the rest of the request is of no use to anybody.
    upload.stop = true;
    if (streaming) stream.stop_reading();
    upstream.stream.descriptor().fail_waiters(Errc::cancelled);
    co_await JoinUpload{upload};
  }
  if (failure == nullptr) failure = upload.failure;
  if (failure != nullptr) std::rethrow_exception(failure);
  if (upload.state != Upload::State::done) reusable = false;
  if (streaming && upload.state != Upload::State::done) {
    if (stream.body_ended()) {  // at hand as a whole, though not sent on
      stream.finish_body();
    } else {
      exchange.reply.close = true;
      stream.must_close();
    }
  }
  co_return result;
}

Task<Errc> open(UpstreamConnection& upstream, const Service& service, const upstream::PoolKey& key,
                const config::Timeouts& timeouts) {
  upstream.stream.expires_after(timeouts.upstream_connect);
  Errc error = co_await upstream.stream.connect(key.endpoint);
  if (error == Errc::ok && service.tls) error = co_await upstream.stream.connect_tls(*service.tls, key.server_name);
  co_return error;
}

// The endpoint's pool on this worker.
std::shared_ptr<upstream::ConnectionPool> pool_of(Exchange& exchange, const Service& service,
                                                  upstream::ServiceLoad::Site& load) {
  const Service::Choice choice = exchange.choice;
  const upstream::Endpoint& endpoint = service.sites[choice.site].endpoints[choice.endpoint];
  upstream::PoolKey key{endpoint.address, service.tls, {}};
  if (service.tls) {
    key.server_name = service.tls_name(endpoint, exchange.target.host);
    return exchange.worker.pools.pool(key);
  }
  std::shared_ptr<upstream::ConnectionPool>& known = load.pools[choice.endpoint];
  if (known == nullptr) known = exchange.worker.pools.pool(key);
  return known;
}

// One attempt at the endpoint that exchange.choice names, over a kept connection or (`fresh`) a new one.
Task<Attempt> try_endpoint(ServerStream& stream, const AttemptPlan& plan, bool fresh) {
  Exchange& exchange = stream.exchange;
  const Service& service = *exchange.route->service;
  upstream::ServiceLoad::Site& load = service.load[exchange.worker.id].sites[exchange.choice.site];
  const InFlight in_flight(load.in_flight[exchange.choice.endpoint]);
  const runtime::TimePoint began = runtime::Clock::now();

  const std::shared_ptr<upstream::ConnectionPool> held = pool_of(exchange, service, load);
  upstream::ConnectionPool& pool = *held;
  auto upstream = fresh ? nullptr : pool.take_idle();
  const bool is_new = upstream == nullptr;
  if (is_new) upstream = pool.make();
  const ClientWatch watch(stream, *upstream);
  if (watch.gone()) co_return Attempt::client_gone;
  if (is_new) {
    const Errc error = co_await open(*upstream, service, pool.key(), exchange.settings->timeouts);
    if (watch.gone()) {
      note_time(exchange, began, false);
      co_return Attempt::client_gone;
    }
    if (error != Errc::ok) {
      answer_failure(exchange, upstream_error(error, true));
      note_time(exchange, began, true);
      co_return Attempt::refused;
    }
  }
  bool reusable = false;
  const Attempt result = co_await attempt_once(stream, *upstream, watch, plan, began, reusable);
  if (reusable && upstream->buffer.empty()) pool.give_back(std::move(upstream));
  co_return result;
}

}  // namespace

Task<void> forward(ServerStream& stream) {
  Exchange& exchange = stream.exchange;
  const Service& service = *exchange.route->service;
  const config::Retry& retry = service.config.retry;
  const bool replayable = http::is_idempotent(exchange.head.method) &&
                          (exchange.framing.kind == BodyKind::none || exchange.body_buffered ||
                           (exchange.framing.kind == BodyKind::length && exchange.framing.length == 0));
  std::vector<Service::Choice> tried;
  bool fresh = false;
  for (unsigned attempt = 1;;) {
    const Service::Choice choice = service.choose(exchange.worker.id, tried);
    if (!choice.found()) {
      // After an attempt its failure stands, if it was one: a 502 or 503 that was to be bettered has been dropped.
      if (exchange.reply.status == 0)
        exchange.answer_unavailable(Reason::no_endpoint, "No endpoint of the service is available.");
      co_return;
    }
    exchange.choice = choice;
    exchange.reply = {};
    exchange.upstream_error = UpstreamError::none;
    const bool another = attempt < retry.attempts && service.has_alternative(tried, choice);
    const AttemptPlan plan{another && replayable && retry.on_502, another && replayable && retry.on_503};
    const Attempt result = co_await try_endpoint(stream, plan, fresh);
    fresh = false;
    bool again = false;
    switch (result) {
      case Attempt::done:
      case Attempt::answered: co_return;
      case Attempt::client_gone:
        if (!exchange.response_started) exchange.status = 499;
        co_return;
      case Attempt::stale:
        // The peer closed a kept connection at the moment of its reuse (RFC 9112 section 9.3.1): no fault of the endpoint, so the
        // same one is asked over a new connection.
        if (!replayable) co_return;
        fresh = true;
        continue;
      case Attempt::refused: again = another && retry.on_connect; break;  // nothing was sent: safe for every method
      case Attempt::reset: again = another && replayable && retry.on_reset; break;
      case Attempt::bad_status: again = true; break;
    }
    if (!again) co_return;
    tried.push_back(choice);
    ++attempt;
  }
}

}  // namespace gatehouse::proxy
