// The HTTP/2 session over nghttp2; see h2_session.hpp.
#include "gateway/http/h2_session.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>

#include "gateway/http/characters.hpp"

namespace gatehouse::http {

namespace {

constexpr std::size_t preface_bytes = NGHTTP2_CLIENT_MAGIC_LEN;
constexpr std::uint16_t no_rfc7540_priorities = 9;  // SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218 section 2.1)
constexpr std::size_t kept_body = 16 * 1024;        // memory of a stream that is used again

std::string_view view(const std::uint8_t* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

std::uint8_t* bytes_of(std::string_view text) noexcept {
  // nghttp2 takes pointers to what it does not change.
  return reinterpret_cast<std::uint8_t*>(
      const_cast<char*>(text.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

// Resets that answer a mistake of the client's.
bool is_clients_fault(std::uint32_t error) noexcept {
  switch (static_cast<H2Error>(error)) {
    case H2Error::protocol_error:
    case H2Error::flow_control_error:
    case H2Error::stream_closed:
    case H2Error::frame_size_error:
    case H2Error::refused_stream:
    case H2Error::enhance_your_calm: return true;
    default: return false;
  }
}

std::int64_t announced_length(const RequestHead& head) noexcept {
  const Field* const field = head.fields.find(FieldId::content_length);
  if (field == nullptr) return -1;
  std::int64_t length = -1;
  const char* const end = field->value.data() + field->value.size();
  const auto [stopped, error] = std::from_chars(field->value.data(), end, length);
  return error == std::errc() && stopped == end ? length : -1;  // what is no number is refused by request_framing
}

}  // namespace

// --- fields

void H2Fields::add(std::string_view name, std::string_view value) {
  const std::size_t at = names_.size();
  names_.resize(at + name.size());
  std::ranges::transform(name, names_.begin() + static_cast<std::ptrdiff_t>(at), detail::lower);
  entries_.push_back({at, name.size(), value});
}

void H2Fields::add_lines(std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && detail::is(value.front(), detail::blank)) value.remove_prefix(1);
    while (!value.empty() && detail::is(value.back(), detail::blank)) value.remove_suffix(1);
    add(line.substr(0, colon), value);
  }
}

void H2Fields::add_number(std::string_view name, std::uint64_t number) {
  char text[20];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  add(name, {});
  entries_.back().number_size = static_cast<std::size_t>(end - text);
  names_.append(text, entries_.back().number_size);
}

void H2Stream::clear() noexcept {
  id = 0;
  section.clear();
  websocket_key.clear();
  if (incoming.capacity() > kept_body) incoming = {};
  incoming.clear();
  unconsumed = 0;
  received = 0;
  announced = -1;
  fault = H2HeadFault::none;
  head_complete = request_ended = malformed = closed = false;
  pending = {};
  pending_bytes = 0;
  sent = 0;
  trailers = {};
  answered = end_pending = end_sent = false;
}

// --- what nghttp2 calls

struct H2Session::Callbacks {
  static H2Session& self(void* user) noexcept { return *static_cast<H2Session*>(user); }
  static H2Stream* find(nghttp2_session* session, std::int32_t id) noexcept {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Session& me = self(user);
    me.decoding_ = nullptr;
    me.in_trailers_ = false;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
      me.decoding_ = find(session, frame->hd.stream_id);
      me.in_trailers_ = true;
      me.trailers_.clear();
      return 0;
    }
    try {
      H2Stream* const stream = me.terminated_ ? nullptr : me.owner_.open_stream();
      if (stream == nullptr) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
      }
      stream->id = frame->hd.stream_id;
      nghttp2_session_set_stream_user_data(session, stream->id, stream);
      me.decoding_ = stream;
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    H2Session& me = self(user);
    H2Head* const section = me.in_trailers_           ? &me.trailers_
                            : me.decoding_ != nullptr ? &me.decoding_->section
                                                      : nullptr;
    if (section == nullptr) return 0;
    try {
      section->add(view(name, name_size), view(value, value_size), me.limits_);
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (section->size() > me.limits_.header_bytes * me.limits_.header_excess && me.abuse_ == H2Abuse::none)
      me.terminate(H2Error::enhance_your_calm, H2Abuse::header_list);
    return 0;
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Session& me = self(user);
    try {
      switch (frame->hd.type) {
        case NGHTTP2_HEADERS: {
          H2Stream* const stream = me.decoding_;
          me.decoding_ = nullptr;
          if (stream == nullptr || stream->closed) break;
          const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
          if (!me.in_trailers_)
            me.request_complete(*stream, end);
          else if (!end || !me.trailers_.finish_trailers())  // RFC 9113 section 8.1
            me.fail_request(*stream);
          else
            me.body_ended(*stream);
          break;
        }
        case NGHTTP2_DATA:
          if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            if (H2Stream* const stream = find(session, frame->hd.stream_id)) me.body_ended(*stream);
          break;
        case NGHTTP2_WINDOW_UPDATE:
          me.push(H2Event::Kind::window, frame->hd.stream_id == 0 ? nullptr : find(session, frame->hd.stream_id));
          break;
        case NGHTTP2_SETTINGS:
          if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) me.push(H2Event::Kind::window, nullptr);
          break;
        case NGHTTP2_PING:
          if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) me.push(H2Event::Kind::pong, nullptr);
          break;
        default: break;
      }
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                        std::size_t size, void* user) {
    H2Session& me = self(user);
    H2Stream* const stream = find(session, id);
    if (stream == nullptr || stream->closed) {
      nghttp2_session_consume_connection(session, size);
      return 0;
    }
    try {
      stream->unconsumed += size;
      me.count_buffered(size, 0);
      stream->received += size;
      if (stream->announced >= 0 && stream->received > static_cast<std::uint64_t>(stream->announced)) {
        me.fail_request(*stream);  // RFC 9113 section 8.1.1
        return 0;
      }
      stream->incoming.append(reinterpret_cast<const char*>(data), size);
      me.push(H2Event::Kind::body, stream);
      me.grow_window();
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user) {
    H2Session& me = self(user);
    me.guard_.closed(static_cast<std::uint32_t>(id), false);
    H2Stream* const stream = find(session, id);
    if (stream == nullptr) return 0;
    if (me.decoding_ == stream) me.decoding_ = nullptr;
    me.forget_pending(*stream);
    stream->closed = true;
    try {
      me.push(H2Event::Kind::closed, stream);
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Session& me = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_RST_STREAM:
        me.guard_.closed(static_cast<std::uint32_t>(frame->hd.stream_id), true);
        if (is_clients_fault(frame->rst_stream.error_code) && !me.guard_.made_to_reset(me.now_))
          me.made_to_reset_ = true;
        break;
      case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR) me.terminated_ = true;
        // Its answer says that the client has seen the notice, so it must not overtake that, as pings do in the queue.
        if (std::exchange(me.announced_, false)) nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, nullptr);
        break;
      case NGHTTP2_DATA: me.guard_.data_sent(); [[fallthrough]];
      case NGHTTP2_HEADERS:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
        if (H2Stream* const stream = find(session, frame->hd.stream_id)) {
          stream->end_sent = true;
          try {
            me.push(H2Event::Kind::sent, stream);
          } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
          }
        }
        break;
      default: break;
    }
    return 0;
  }

  // How much of a body goes into the next frame; the bytes are taken by send_data.
  static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t most,
                           std::uint32_t* flags, nghttp2_data_source*, void*) {
    const H2Stream* const stream = find(session, id);
    if (stream == nullptr || stream->closed) return NGHTTP2_ERR_DEFERRED;
    const std::size_t size = std::min(most, stream->pending_bytes);
    if (size == 0 && !stream->end_pending) return NGHTTP2_ERR_DEFERRED;
    if (size == stream->pending_bytes && stream->end_pending) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream->trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        H2Fields fields;
        fields.add_lines(stream->trailers);
        std::vector<nghttp2_nv> pairs;
        append_pairs(pairs, fields);
        if (nghttp2_submit_trailer(session, id, pairs.data(), pairs.size()) != 0)
          return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
    if (size > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return static_cast<ssize_t>(size);
  }

  static int send_data(nghttp2_session* session, nghttp2_frame* frame, const std::uint8_t* head, std::size_t size,
                       nghttp2_data_source*, void* user) {
    H2Session& me = self(user);
    if (me.out_ == nullptr || me.out_->size() >= me.enough_) return NGHTTP2_ERR_WOULDBLOCK;
    H2Stream* const stream = find(session, frame->hd.stream_id);
    if (stream == nullptr || stream->pending_bytes < size) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    try {
      me.out_->append(reinterpret_cast<const char*>(head), H2FrameHead::size);
      stream->pending_bytes -= size;
      me.pending_ -= size;
      stream->sent += size;
      me.sent_bytes_ += size;
      for (std::string_view& piece : stream->pending) {
        const std::size_t taken = std::min(size, piece.size());
        me.out_->append(piece.substr(0, taken));
        piece.remove_prefix(taken);
        size -= taken;
      }
      if (stream->pending_bytes == 0 && !stream->end_pending) me.push(H2Event::Kind::sent, stream);
    } catch (const std::bad_alloc&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static void append_pairs(std::vector<nghttp2_nv>& pairs, const H2Fields& fields) {
    for (const H2Fields::Entry& entry : fields.entries_) {
      const std::string_view names = fields.names_;
      const std::string_view name = names.substr(entry.name_at, entry.name_size);
      const std::string_view value =
          entry.number_size != 0 ? names.substr(entry.name_at + entry.name_size, entry.number_size) : entry.value;
      pairs.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
  }

  static std::vector<nghttp2_nv>& pairs_of(int status, char (&text)[4], const H2Fields& fields) {
    thread_local std::vector<nghttp2_nv> pairs;
    pairs.clear();
    text[0] = static_cast<char>('0' + status / 100);
    text[1] = static_cast<char>('0' + status / 10 % 10);
    text[2] = static_cast<char>('0' + status % 10);
    pairs.push_back({bytes_of(":status"), bytes_of({text, 3}), 7, 3, NGHTTP2_NV_FLAG_NONE});
    append_pairs(pairs, fields);
    return pairs;
  }

  // Made once: sessions copy both.
  struct Shared {
    Shared() {
      if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0) throw std::bad_alloc();
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
      nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
      nghttp2_option_set_no_auto_window_update(options, 1);
      nghttp2_option_set_no_http_messaging(options, 1);  // h2_head.cpp is stricter, and the same for every version
      nghttp2_option_set_no_closed_streams(options, 1);
      nghttp2_option_set_max_outbound_ack(options, 1000);
      nghttp2_option_set_max_continuations(options, 10'000);  // the guard counts them
    }
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
  };
};

// --- the session

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
}

void H2Session::request_complete(H2Stream& stream, bool end_stream) {
  stream.fault = stream.section.finish(*stream.head, scheme_, stream.websocket_key);
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
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, pairs.data(), pairs.size(), nullptr);
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
  if (!has_body) stream.end_sent = true;  // it goes out with the head
}

void H2Session::write(H2Stream& stream, std::span<const std::string_view> pieces, bool end) {
  if (stream.closed || dead_) return;
  for (std::size_t i = 0; i < stream.pending.size(); ++i) {
    stream.pending[i] = i < pieces.size() ? pieces[i] : std::string_view();
    stream.pending_bytes += stream.pending[i].size();
  }
  pending_ += stream.pending_bytes;
  stream.end_pending = end;
  nghttp2_session_resume_data(session_, stream.id);  // fails where the head is not sent yet: then it needs none
}

std::size_t H2Session::window(const H2Stream& stream) const noexcept {
  if (stream.closed || dead_) return 0;
  const std::int64_t of_stream = nghttp2_session_get_stream_remote_window_size(session_, stream.id);
  const std::int64_t of_all = nghttp2_session_get_remote_window_size(session_) - static_cast<std::int64_t>(pending_);
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
  pending_ -= stream.pending_bytes;
  stream.pending_bytes = 0;
  stream.pending = {};
}

void H2Session::reset(H2Stream& stream, H2Error error) {
  if (stream.closed) return;
  forget_pending(stream);
  stream.closed = true;
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
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

void H2Session::terminate(H2Error error, H2Abuse why) {
  if (abuse_ == H2Abuse::none) abuse_ = why;
  if (dead_ || terminated_) return;
  terminated_ = true;
  nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(error));
}

}  // namespace gatehouse::http
