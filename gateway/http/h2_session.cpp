// The HTTP/2 session over nghttp2; see h2_session.hpp.
#include "gateway/http/h2_session.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>

#include "gateway/http/h2_callbacks.hpp"
#include "gateway/runtime/memory.hpp"

namespace gatehouse::http {

namespace {

constexpr std::size_t preface_bytes = NGHTTP2_CLIENT_MAGIC_LEN;
constexpr std::uint16_t no_rfc7540_priorities = 9;  // SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218 section 2.1)
constexpr std::size_t kept_body = 16 * 1024;        // memory of a stream that is used again
constexpr std::size_t kept_head = 8 * 1024;         // the same
constexpr unsigned most_refused_before = 1000;      // streams, before our settings are acknowledged
constexpr std::size_t most_claimed = 32 * 1024;     // of the connection's window, by one stream

std::int64_t announced_length(const RequestHead& head) noexcept {
  const Field* const field = head.fields.find(FieldId::content_length);
  if (field == nullptr) return -1;
  std::int64_t length = -1;
  const char* const end = field->value.data() + field->value.size();
  const auto [stopped, error] = std::from_chars(field->value.data(), end, length);
  return error == std::errc() && stopped == end ? length : -1;  // what is no number is refused by request_framing
}

}  // namespace

void H2Stream::clear() noexcept {
  id = 0;
  if (head_text.capacity() > kept_head) runtime::free_memory(head_text);
  head_text.clear();
  websocket_key.clear();
  if (incoming.capacity() > kept_body) runtime::free_memory(incoming);
  incoming.clear();
  unconsumed = 0;
  claimed = 0;
  received = 0;
  announced = -1;
  fault = H2HeadFault::none;
  head_complete = is_websocket = request_ended = malformed = closed = false;
  pending = {};
  pending_bytes = 0;
  sent = 0;
  trailers = {};
  interim_pending = answered = end_pending = end_sent = false;
}

H2Session::H2Session(const H2Limits& limits, std::string_view scheme, BodyBuffers& buffers, H2Owner& owner)
    : limits_(limits), scheme_(scheme), buffers_(buffers), owner_(owner), guard_(limits), preface_left_(preface_bytes) {
  static const Callbacks::Shared shared;
  if (nghttp2_session_server_new2(&session_, shared.callbacks, this, shared.options) != 0) throw std::bad_alloc();
  const std::array<nghttp2_settings_entry, 5> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.header_bytes)},
       {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
       {no_rfc7540_priorities, 1}}};
  if (nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0) {
    nghttp2_session_del(session_);
    throw std::bad_alloc();
  }
}

H2Session::~H2Session() {
  count_buffered(0, reserved_);
  nghttp2_session_del(session_);
}

void H2Session::count_buffered(std::size_t more, std::size_t less) noexcept { buffers_.change(less, more); }

// Who sends bodies gets a larger window while there is memory for what it lets in.
void H2Session::grow_window() {
  if (window_grown_) return;
  const std::size_t more = limits_.large_connection_window - limits_.connection_window;
  if (more == 0 || !buffers_.has_room_for(more)) return;
  window_grown_ = true;
  reserved_ = more;
  count_buffered(more, 0);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits_.large_connection_window));
}

void H2Session::feed(std::string_view bytes) {
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) dead_ = true;
}

// The head of a frame, with what the guard wants to see of its payload, has come.
void H2Session::inspect(runtime::TimePoint now) {
  bool is_live = false;
  if (frame_.is(H2FrameType::data) || frame_.is(H2FrameType::headers)) {
    nghttp2_stream* const stream = nghttp2_session_find_stream(session_, static_cast<std::int32_t>(frame_.stream));
    is_live = stream != nullptr && frame_.stream != 0 &&
              nghttp2_stream_get_state(stream) != NGHTTP2_STREAM_STATE_IDLE &&
              nghttp2_stream_get_state(stream) != NGHTTP2_STREAM_STATE_CLOSED;
  }
  const H2Guard::Verdict verdict = guard_.frame(frame_, is_live, frame_start_.data() + H2FrameHead::size, now);
  if (!verdict.fine()) {
    terminate(verdict.error, verdict.abuse);
    return;
  }
  if (frame_.is(H2FrameType::headers)) block_began_ = now;
}

void H2Session::receive(std::string_view bytes, runtime::TimePoint now) {
  now_ = now;
  while (!bytes.empty() && !dead_ && !terminated_) {
    if (preface_left_ > 0) {
      const std::size_t size = std::min(preface_left_, bytes.size());
      feed(bytes.substr(0, size));
      preface_left_ -= size;
      bytes.remove_prefix(size);
      continue;
    }
    if (frame_left_ > 0) {
      const std::size_t size = std::min(frame_left_, bytes.size());
      feed(bytes.substr(0, size));
      frame_left_ -= size;
      bytes.remove_prefix(size);
    } else {
      const std::size_t size = std::min(start_wanted_ - start_have_, bytes.size());
      std::memcpy(frame_start_.data() + start_have_, bytes.data(), size);
      start_have_ += size;
      bytes.remove_prefix(size);
      if (start_have_ < start_wanted_) break;
      if (start_wanted_ == H2FrameHead::size) {
        frame_ = H2FrameHead::parse(frame_start_.data());
        start_wanted_ += frame_.wanted_payload();
        if (start_wanted_ > H2FrameHead::size) continue;
      }
      inspect(now);
      if (terminated_) break;
      feed({reinterpret_cast<const char*>(frame_start_.data()), start_have_});
      frame_left_ = H2FrameHead::size + frame_.length - start_have_;
      start_have_ = 0;
      start_wanted_ = H2FrameHead::size;
    }
    if (frame_left_ == 0 && !guard_.in_block()) block_began_ = runtime::TimePoint::max();
  }
  if (!dead_ && !terminated_ && nghttp2_session_get_outbound_queue_size(session_) > limits_.queued_frames)
    terminate(H2Error::enhance_your_calm, H2Abuse::unread_output);
  tell_of_freed_window();
}

// What streams that are gone had claimed: others may be waiting for it, and nothing need be left to be written.
void H2Session::tell_of_freed_window() {
  if (std::exchange(window_freed_, false)) push(H2Event::Kind::window, nullptr);
}

// Resets that answer a mistake of the client's. Before it knows our settings it may open more streams than these allow;
// their resets may be written only after it has acknowledged them. Later it is refused a stream for those that it has
// reset and that still end.
bool H2Session::is_clients_fault(std::uint32_t stream, std::uint32_t error) noexcept {
  switch (static_cast<H2Error>(error)) {
    case H2Error::refused_stream: return stream > last_uninformed_ || ++refused_before_ > most_refused_before;
    case H2Error::protocol_error:
    case H2Error::flow_control_error:
    case H2Error::stream_closed:
    case H2Error::frame_size_error:
    case H2Error::enhance_your_calm: return true;
    default: return false;
  }
}

void H2Session::request_complete(H2Stream& stream, bool end_stream) {
  stream.fault = section_.finish(*stream.head, stream.head_text, scheme_, stream.websocket_key);
  stream.is_websocket = section_.is_websocket();
  stream.head_complete = true;
  stream.request_ended = end_stream;
  if (stream.fault == H2HeadFault::none) {
    stream.announced = announced_length(*stream.head);
    if (end_stream && stream.announced > 0) stream.fault = H2HeadFault::malformed;  // RFC 9113 section 8.1.1
  }
  push(H2Event::Kind::request, &stream);
  if (stream.fault == H2HeadFault::malformed) reset(stream, H2Error::protocol_error);
}

void H2Session::body_ended(H2Stream& stream) {
  if (stream.closed) return;
  if (stream.announced >= 0 && stream.received != static_cast<std::uint64_t>(stream.announced))
    return fail_request(stream);
  stream.request_ended = true;
  push(H2Event::Kind::body, &stream);
}

void H2Session::fail_request(H2Stream& stream) {
  stream.malformed = true;
  push(H2Event::Kind::body, &stream);
  reset(stream, H2Error::protocol_error);
}

void H2Session::fill(std::string& out, std::size_t enough, runtime::TimePoint now) {
  now_ = now;
  out_ = &out;
  enough_ = enough;
  while (!dead_ && out.size() < enough) {
    const std::uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) dead_ = true;
    if (size <= 0) break;
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    if (std::exchange(made_to_reset_, false)) terminate(H2Error::enhance_your_calm, H2Abuse::own_resets);
  }
  out_ = nullptr;
  tell_of_freed_window();
}

bool H2Session::has_output() const noexcept { return !dead_ && nghttp2_session_want_write(session_) != 0; }

bool H2Session::is_over() const noexcept { return dead_ || nghttp2_session_want_read(session_) == 0; }

bool H2Session::may_receive() const noexcept { return nghttp2_session_get_local_window_size(session_) > 0; }

void H2Session::consume(H2Stream& stream, std::size_t bytes) {
  stream.unconsumed -= bytes;
  count_buffered(0, bytes);
  if (dead_) return;
  if (stream.closed)
    nghttp2_session_consume_connection(session_, bytes);
  else
    nghttp2_session_consume(session_, stream.id, bytes);
}

void H2Session::submit_interim(H2Stream& stream, int status, const H2Fields& fields) {
  if (stream.closed || dead_) return;
  char text[4];
  const auto& pairs = Callbacks::pairs_of(status, text, fields);
  if (nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, pairs.data(), pairs.size(), nullptr) == 0)
    stream.interim_pending = true;
}

void H2Session::submit_answer(H2Stream& stream, int status, const H2Fields& fields, bool has_body) {
  if (stream.closed || dead_) return;
  char text[4];
  const auto& pairs = Callbacks::pairs_of(status, text, fields);
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::read_body;
  if (nghttp2_submit_response(session_, stream.id, pairs.data(), pairs.size(), has_body ? &provider : nullptr) != 0) {
    reset(stream, H2Error::internal_error);
    return;
  }
  stream.answered = true;
}

void H2Session::write(H2Stream& stream, std::span<const std::string_view> pieces, bool end) {
  if (stream.closed || dead_) return;
  for (std::size_t i = 0; i < stream.pending.size(); ++i) {
    stream.pending[i] = i < pieces.size() ? pieces[i] : std::string_view();
    stream.pending_bytes += stream.pending[i].size();
  }
  stream.end_pending = end;
  claim(stream);
  nghttp2_session_resume_data(session_, stream.id);  // fails where the head is not sent yet: then it needs none
}

std::size_t H2Session::window(const H2Stream& stream) const noexcept {
  if (stream.closed || dead_) return 0;
  const std::int64_t of_stream = nghttp2_session_get_stream_remote_window_size(session_, stream.id);
  const std::int64_t of_all = nghttp2_session_get_remote_window_size(session_) - static_cast<std::int64_t>(claimed_);
  return static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(of_stream, of_all)));
}

bool H2Session::is_blocked(const H2Stream& stream) const noexcept {
  if (stream.closed || dead_) return false;
  return nghttp2_session_get_stream_remote_window_size(session_, stream.id) <= 0 ||
         nghttp2_session_get_remote_window_size(session_) <= 0;
}

void H2Session::abandon(H2Stream& stream) {
  if (stream.closed) return;
  forget_pending(stream);
  stream.closed = true;
  if (!dead_) nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
}

void H2Session::forget_pending(H2Stream& stream) noexcept {
  window_freed_ = window_freed_ || stream.claimed > 0;
  stream.pending_bytes = 0;
  stream.pending = {};
  claim(stream);
}

// What is pending takes from the connection's window as much as its own lets through, but not all of it at once: streams
// that the client has paused leave the window to the others, and one with much to say its share.
void H2Session::claim(H2Stream& stream) noexcept {
  claimed_ -= stream.claimed;
  stream.claimed = 0;
  if (stream.pending_bytes == 0 || stream.closed || dead_) return;
  const std::int32_t window = nghttp2_session_get_stream_remote_window_size(session_, stream.id);
  stream.claimed = std::min({stream.pending_bytes, static_cast<std::size_t>(std::max(window, 0)), most_claimed});
  claimed_ += stream.claimed;
}

void H2Session::window_changed(H2Stream& stream) noexcept { claim(stream); }

void H2Session::reset(H2Stream& stream, H2Error error) {
  if (stream.closed) return;
  stream.closed = true;
  forget_pending(stream);
  if (dead_) return;
  nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, static_cast<std::uint32_t>(error));
}

void H2Session::release(H2Stream& stream) {
  if (!stream.closed) {
    if (!stream.end_sent)
      reset(stream, H2Error::internal_error);
    else if (!stream.request_ended)
      reset(stream, H2Error::no_error);  // the rest of the request is of no use (RFC 9113 section 8.1)
    else if (!dead_)
      nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
    stream.closed = true;
  }
  if (stream.unconsumed > 0) consume(stream, stream.unconsumed);
  for (H2Event& event : events_)
    if (event.stream == &stream) event = {H2Event::Kind::none, nullptr};
  if (decoding_ == &stream) decoding_ = nullptr;
}

void H2Session::announce_shutdown() {
  if (dead_ || terminated_) return;
  nghttp2_submit_shutdown_notice(session_);
  announced_ = true;
}

void H2Session::shut_down() {
  if (dead_ || terminated_) return;
  const std::int32_t last = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  guard_.serve_up_to(static_cast<std::uint32_t>(last));
}

void H2Session::terminate(H2Error error, H2Abuse why) {
  if (abuse_ == H2Abuse::none) abuse_ = why;
  if (dead_ || terminated_) return;
  terminated_ = true;
  nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(error));
}

}  // namespace gatehouse::http
