// HTTP/2 towards clients; see h2_connection.hpp.
#include "gateway/proxy/h2_connection.hpp"

#include <algorithm>
#include <new>

#include "gateway/runtime/metric_families.hpp"

namespace gatehouse::proxy {

using http::H2Abuse;
using http::H2Error;
using http::H2Event;
using runtime::Errc;
using runtime::Task;

namespace {

constexpr std::size_t input_bytes = 16 * 1024;   // one TLS record
constexpr std::size_t output_bytes = 48 * 1024;  // framed before the first of it is written
constexpr unsigned reads_a_turn = 4;
constexpr std::size_t requests_a_turn = 16;
constexpr std::size_t spare_streams = 64;  // kept by a worker, with their memory
constexpr auto longest_tick = std::chrono::seconds(1);
constexpr auto last_words_time = std::chrono::seconds(2);
constexpr auto shutdown_time = std::chrono::seconds(1);  // for the answer to the ping behind the first GOAWAY
constexpr std::size_t linger_bytes = 1024 * 1024;

http::H2Limits limits_of(const config::Limits& config) {
  http::H2Limits limits;
  limits.header_bytes = config.header_bytes;
  limits.header_count = config.header_count;
  limits.target_bytes = config.target_bytes;
  limits.continuations = static_cast<unsigned>(std::max<std::size_t>(16, 2 * config.header_bytes / (16 * 1024)));
  limits.streams = static_cast<std::uint32_t>(config.h2_streams);
  limits.underscores_allowed = config.underscores_allowed;
  return limits;
}

}  // namespace

Task<void> run_h2(Connection& connection) {
  H2Connection h2(connection);
  co_await h2.run();
}

H2Connection::H2Connection(Connection& connection)
    : connection_(connection),
      timeouts_(connection.worker.snapshot->config->timeouts),
      min_rate_(connection.worker.snapshot->config->limits.min_rate_bytes_per_second),
      limits_(limits_of(connection.worker.snapshot->config->limits)),
      session_(limits_, "https", connection.worker.context.body_buffers, *this),
      output_(loop()),
      ended_(loop()),
      deadline_(
          loop(), [](void* self) { static_cast<H2Connection*>(self)->on_deadline(); }, this),
      began_(loop().now()),
      idle_since_(began_),
      stalled_since_(began_) {}

H2Connection::~H2Connection() { connection_.protocol = nullptr; }

Task<void> H2Connection::run() {
  connection_.protocol = this;
  connection_.stream.expires_never();
  arm();
  loop().spawn(write_all());
  try {
    co_await read_all();
  } catch (const std::bad_alloc&) {  // the tasks of the connection are joined all the same
    broken_ = true;
  }
  ends_ = true;
  note_abuse();
  lose_streams();
  while (!waiting_.empty()) start_requests();  // they are gone, which is what is noted of them
  // Last words, an error as a rule; then the socket goes, whatever tasks are still under way.
  deadline_.set_after(last_words_time);
  if (session_.abuse() == H2Abuse::unread_output) broken_ = true;
  if (broken_) connection_.stream.cancel(Errc::cancelled);
  output_.set();
  while (!writer_ended_) co_await ended_;
  if (!broken_ && session_.is_terminated()) co_await linger();
  deadline_.cancel();
  connection_.stream.close();
  while (streams_ != nullptr) co_await ended_;
}

// --- input

Task<void> H2Connection::read_all() {
  net::Stream& stream = connection_.stream;
  Worker& worker = connection_.worker;
  if (worker.input == nullptr) worker.input = std::make_unique<char[]>(input_bytes);
  for (unsigned reads = 1;; ++reads) {
    const Errc ready = co_await stream.readable();
    if (ready != Errc::ok) break;
    const auto got = stream.read_now({worker.input.get(), input_bytes});
    if (!got) break;
    if (*got == 0) continue;  // or the rest of a TLS record is still to come
    session_.receive({worker.input.get(), *got}, loop().now());
    handle_events();
    note_abuse();
    flush();
    start_requests();
    while (!waiting_.empty()) {
      co_await loop().yield();
      start_requests();
    }
    arm();
    if (reads % reads_a_turn == 0) co_await loop().yield();  // others have their turn, and what was asked is answered
    if (session_.is_over()) break;
  }
}

http::H2Stream* H2Connection::open_stream() {
  // Tasks that end their requests count too: a reset does not make room for the next request at once.
  if (stream_count_ >= 2 * std::size_t{limits_.streams}) return nullptr;
  auto& spare = connection_.worker.spare_streams;
  std::unique_ptr<ServerStream> taken;
  if (!spare.empty()) {
    taken = std::move(spare.back());
    spare.pop_back();
  } else {
    taken = std::make_unique<H2ServerStream>(connection_.worker.context);
  }
  auto* const stream = static_cast<H2ServerStream*>(taken.get());
  stream->open(*this);
  (void)taken.release();  // belongs to the list until remove()
  stream->previous = nullptr;
  stream->next = streams_;
  if (streams_ != nullptr) streams_->previous = stream;
  streams_ = stream;
  ++stream_count_;
  return &stream->protocol;
}

void H2Connection::remove(H2ServerStream& stream) {
  stream.conclude();
  if (stream.next != nullptr) stream.next->previous = stream.previous;
  (stream.previous != nullptr ? stream.previous->next : streams_) = stream.next;
  --stream_count_;
  std::unique_ptr<ServerStream> done(&stream);
  auto& spare = connection_.worker.spare_streams;
  if (spare.size() < spare_streams) spare.push_back(std::move(done));
  if (stream_count_ > 0) return;
  idle_since_ = loop().now();
  if (ends_)
    ended_.set();
  else
    arm();
}

Task<void> H2Connection::serve(H2ServerStream& stream) {
  try {
    stream.begin(connection_.worker.snapshot);
    if (stream.protocol.closed && stream.protocol.fault != http::H2HeadFault::malformed)
      stream.note_gone();  // reset before anything was done for it
    else if (stream.protocol.fault == http::H2HeadFault::none)
      co_await serve_request(stream);
    else
      co_await stream.refuse();
  } catch (...) {
    // What could not be served is reset below; the loop tells of it.
    remove(stream);
    throw;
  }
  // Clients of a gateway that is about to go learn of it with their next answer.
  if (connection_.worker.context.draining && !drains_) drain();
  remove(stream);
}

void H2Connection::handle_events() {
  std::vector<H2Event>& events = session_.events();
  for (std::size_t i = 0; i < events.size(); ++i) {
    const H2Event event = events[i];
    auto* const stream = event.stream != nullptr ? static_cast<H2ServerStream*>(event.stream->server) : nullptr;
    switch (event.kind) {
      case H2Event::Kind::request: waiting_.push_back(stream); break;
      case H2Event::Kind::body: stream->on_body(); break;
      case H2Event::Kind::sent: stream->on_output(); break;
      case H2Event::Kind::closed:
        if (event.stream->head_complete)
          stream->on_closed();
        else
          remove(*stream);  // it was never served
        break;
      case H2Event::Kind::window: wake_for_window(event.stream); break;
      case H2Event::Kind::pong:
        if (drains_ && shutdown_at_ != runtime::TimePoint::max()) {
          shutdown_at_ = runtime::TimePoint::max();
          session_.shut_down();
        }
        break;
      case H2Event::Kind::none: break;
    }
  }
  events.clear();
}

// Some of the requests that have come. A client that asks for many at once does not keep others' waiting for all of them.
void H2Connection::start_requests() {
  const std::size_t count = std::min(waiting_.size(), requests_a_turn);
  for (std::size_t i = 0; i < count; ++i) loop().spawn(serve(*waiting_[i]));
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
}

void H2Connection::wake_for_window(http::H2Stream* stream) {
  if (stream != nullptr) {
    auto& one = *static_cast<H2ServerStream*>(stream->server);
    session_.window_changed(one.protocol);
    one.on_output();
    return;
  }
  for (H2ServerStream* each = streams_; each != nullptr; each = each->next) {
    session_.window_changed(each->protocol);
    each->on_output();
  }
}

void H2Connection::lose_streams() {
  for (H2ServerStream* stream = streams_; stream != nullptr;) {
    H2ServerStream* const next = stream->next;
    session_.abandon(stream->protocol);
    if (stream->protocol.head_complete)
      stream->on_closed();
    else
      remove(*stream);
    stream = next;
  }
}

// --- output

void H2Connection::flush() {
  if (output_.is_awaited() && session_.has_output()) output_.set();
}

Task<void> H2Connection::write_all() {
  try {
    co_await write_frames();
  } catch (const std::bad_alloc&) {
    broken_ = true;
  }
  if (broken_ && !ends_) connection_.stream.cancel(Errc::reset);
  writer_ended_ = true;
  ended_.set();
}

Task<void> H2Connection::write_frames() {
  net::Stream& stream = connection_.stream;
  std::string& spare = connection_.worker.spare_output;
  for (;;) {
    if (broken_) break;
    if (!session_.has_output()) {
      if (ends_) break;
      // All is said; the reader waits for a client that has nothing to add.
      if (session_.is_over()) stream.descriptor().fail_waiters(Errc::cancelled);
      co_await output_;
      if (stream_count_ > 1) co_await loop().yield();  // what others submit in this turn goes out with it
      continue;
    }
    std::string out = std::move(spare);
    out.clear();
    session_.fill(out, output_bytes, loop().now());
    handle_events();
    note_abuse();
    if (!out.empty()) {
      socket_moved_ = stream.delivered();
      socket_pace_.start(timeouts_.request_body_idle, min_rate_);
      socket_pace_.begin_wait(loop().now());
      arm();
      const Errc error = co_await stream.write(out);
      socket_pace_ = {};
      if (error != Errc::ok) broken_ = true;
    }
    spare = std::move(out);
  }
}

// Reads on for a moment after the last words: closing with unread bytes in the socket sends a reset, which can destroy
// them before the client has seen them (RFC 9113 section 5.4.1, RFC 9112 section 9.6).
Task<void> H2Connection::linger() {
  net::Stream& stream = connection_.stream;
  stream.shutdown_send();
  deadline_.set_after(last_words_time);
  char ignored[1024];
  std::size_t total = 0;
  while (total < linger_bytes) {
    const auto got = co_await stream.read(ignored);
    if (!got) break;
    total += *got;
  }
}

// --- the end

void H2Connection::drain() noexcept {
  if (drains_ || ends_) return;
  drains_ = true;
  shutdown_at_ = loop().now() + shutdown_time;
  session_.announce_shutdown();
  flush();
  arm();
}

void H2Connection::end() noexcept {
  for (H2ServerStream* stream = streams_; stream != nullptr;) {
    H2ServerStream* const next = stream->next;
    stream->on_closed();
    stream = next;
  }
}

void H2Connection::note_abuse() {
  if (abuse_noted_ || session_.abuse() == H2Abuse::none) return;
  abuse_noted_ = true;
  connection_.worker.context.metrics
      .counter(runtime::families::http2_abuse_total, {http::abuse_name(session_.abuse())})
      ->add();
}

// --- time

// Who connects while the gateway is about to go may still ask, if that is soon.
runtime::Duration H2Connection::idle_time() const noexcept {
  const runtime::Duration idle = timeouts_.idle;
  return connection_.worker.context.draining ? std::min<runtime::Duration>(idle, last_words_time) : idle;
}

void H2Connection::arm() {
  if (ends_) return;
  const bool is_idle = stream_count_ == 0 && session_.has_preface() && !socket_pace_.is_waiting() &&
                       session_.block_began() == runtime::TimePoint::max() && shutdown_at_ == runtime::TimePoint::max();
  const runtime::Duration tick =
      std::min<runtime::Duration>(longest_tick, std::min(timeouts_.request_body_idle, timeouts_.request_header) / 4);
  const runtime::TimePoint wanted = is_idle ? idle_since_ + idle_time() : loop().now() + tick;
  if (!deadline_.is_set() || deadline_.when() > wanted) deadline_.set(wanted);
}

void H2Connection::on_deadline() {
  const runtime::TimePoint now = loop().now();
  if (ends_) {
    broken_ = true;
    connection_.stream.cancel(Errc::timed_out);
    return;
  }
  const runtime::TimePoint block = session_.has_preface() ? session_.block_began() : began_;
  if (block != runtime::TimePoint::max() && now - block >= timeouts_.request_header)
    session_.terminate(H2Error::enhance_your_calm, H2Abuse::slow_headers);
  if (socket_pace_.is_waiting()) {
    socket_pace_.moved_to(connection_.stream.delivered() - socket_moved_);
    if (socket_pace_.look(now) != Errc::ok) {
      session_.terminate(H2Error::enhance_your_calm, H2Abuse::slow_reader);
      note_abuse();
      broken_ = true;
      connection_.stream.cancel(Errc::timed_out);
      return;
    }
  }
  look_at_streams(now);
  if (now >= shutdown_at_) {
    shutdown_at_ = runtime::TimePoint::max();
    session_.shut_down();
  }
  if (stream_count_ == 0 && now - idle_since_ >= idle_time() && session_.has_preface())
    session_.terminate(H2Error::no_error);
  note_abuse();
  flush();
  arm();
}

void H2Connection::look_at_streams(runtime::TimePoint now) {
  bool stalled = streams_ != nullptr;
  for (H2ServerStream* stream = streams_; stream != nullptr; stream = stream->next) {
    stalled = stalled && stream->is_stalled();
    stream->on_tick(now);
  }
  // A client that takes nothing at all of what it asked for is not worth its connection; of one that does anything else
  // besides, the late stream alone is ended.
  if (!stalled || session_.sent_bytes() != sent_before_) stalled_since_ = now;
  sent_before_ = session_.sent_bytes();
  if (now - stalled_since_ >= timeouts_.request_body_idle)
    session_.terminate(H2Error::enhance_your_calm, H2Abuse::stalled);
}

}  // namespace gatehouse::proxy
