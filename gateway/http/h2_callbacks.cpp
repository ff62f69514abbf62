// What nghttp2 calls; see h2_callbacks.hpp. Nothing may be thrown through it.
#include "gateway/http/h2_callbacks.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

namespace gatehouse::http {

namespace {

constexpr std::size_t most_answer_head = 4 * 1024 * 1024;  // limits.header_bytes is 1 MiB at most, and some is added

std::string_view view(const std::uint8_t* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

std::uint8_t* bytes_of(std::string_view text) noexcept {
  // nghttp2 takes pointers to what it does not change.
  return reinterpret_cast<std::uint8_t*>(
      const_cast<char*>(text.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

void append_pairs(std::vector<nghttp2_nv>& pairs, const H2Fields& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto [name, value] = fields.at(i);
    pairs.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
}

}  // namespace

int H2Session::Callbacks::begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  H2Session& me = self(user);
  me.decoding_ = nullptr;
  me.in_trailers_ = false;
  me.section_.clear();
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
    me.decoding_ = find(session, frame->hd.stream_id);
    me.in_trailers_ = true;
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
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

int H2Session::Callbacks::header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name,
                                 std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                                 void* user) {
  H2Session& me = self(user);
  if (!me.in_trailers_ && me.decoding_ == nullptr) return 0;
  try {
    me.section_.add(view(name, name_size), view(value, value_size), me.limits_);
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (me.section_.size() > me.limits_.header_bytes * me.limits_.header_excess && me.abuse_ == H2Abuse::none)
    me.terminate(H2Error::enhance_your_calm, H2Abuse::header_list);
  return 0;
}

int H2Session::Callbacks::frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
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
        else if (!end || !me.section_.finish_trailers())  // RFC 9113 section 8.1
          me.fail_request(*stream);
        else
          me.body_ended(*stream);
        me.section_.clear();
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
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
          me.push(H2Event::Kind::window, nullptr);
        else if (me.last_uninformed_ == max_stream)
          me.last_uninformed_ = me.guard_.last_stream();
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) me.push(H2Event::Kind::pong, nullptr);
        break;
      default: break;
    }
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

int H2Session::Callbacks::data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
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
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

int H2Session::Callbacks::stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user) {
  H2Session& me = self(user);
  me.guard_.closed(static_cast<std::uint32_t>(id), false);
  H2Stream* const stream = find(session, id);
  if (stream == nullptr) return 0;
  if (me.decoding_ == stream) me.decoding_ = nullptr;
  me.forget_pending(*stream);
  stream->closed = true;
  try {
    me.push(H2Event::Kind::closed, stream);
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

int H2Session::Callbacks::frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  H2Session& me = self(user);
  switch (frame->hd.type) {
    case NGHTTP2_RST_STREAM:
      me.guard_.closed(static_cast<std::uint32_t>(frame->hd.stream_id), true);
      if (me.is_clients_fault(static_cast<std::uint32_t>(frame->hd.stream_id), frame->rst_stream.error_code) &&
          !me.guard_.made_to_reset(me.now_))
        me.made_to_reset_ = true;
      break;
    case NGHTTP2_GOAWAY:
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR) me.terminated_ = true;
      // Its answer says that the client has seen the notice, so it must not overtake that, as pings do in the queue.
      if (std::exchange(me.announced_, false)) nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, nullptr);
      break;
    case NGHTTP2_DATA: me.guard_.data_sent(frame->hd.length); [[fallthrough]];
    case NGHTTP2_HEADERS: {
      H2Stream* const stream = find(session, frame->hd.stream_id);
      if (stream == nullptr) break;
      me.claim(*stream);
      const bool is_interim = frame->hd.type == NGHTTP2_HEADERS && std::exchange(stream->interim_pending, false);
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        if (!is_interim) break;
      } else {
        stream->end_sent = true;
      }
      try {
        me.push(H2Event::Kind::sent, stream);
      } catch (const std::exception&) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      break;
    }
    default: break;
  }
  return 0;
}

// An answer that cannot be framed ends its stream, or whoever serves it would wait for ever.
int H2Session::Callbacks::frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int, void*) {
  if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
      find(session, frame->hd.stream_id) != nullptr)
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
  return 0;
}

ssize_t H2Session::Callbacks::read_body(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t most,
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

int H2Session::Callbacks::send_data(nghttp2_session* session, nghttp2_frame* frame, const std::uint8_t* head,
                                    std::size_t size, nghttp2_data_source*, void* user) {
  H2Session& me = self(user);
  if (me.out_ == nullptr || me.out_->size() >= me.enough_) return NGHTTP2_ERR_WOULDBLOCK;
  H2Stream* const stream = find(session, frame->hd.stream_id);
  if (stream == nullptr || stream->pending_bytes < size) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  try {
    me.out_->append(reinterpret_cast<const char*>(head), H2FrameHead::size);
    stream->pending_bytes -= size;
    stream->sent += size;
    me.sent_bytes_ += size;
    for (std::string_view& piece : stream->pending) {
      const std::size_t taken = std::min(size, piece.size());
      me.out_->append(piece.substr(0, taken));
      piece.remove_prefix(taken);
      size -= taken;
    }
    if (stream->pending_bytes == 0 && !stream->end_pending) me.push(H2Event::Kind::sent, stream);
  } catch (const std::exception&) {
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

std::vector<nghttp2_nv>& H2Session::Callbacks::pairs_of(int status, char (&text)[4], const H2Fields& fields) {
  thread_local std::vector<nghttp2_nv> pairs;
  pairs.clear();
  text[0] = static_cast<char>('0' + status / 100);
  text[1] = static_cast<char>('0' + status / 10 % 10);
  text[2] = static_cast<char>('0' + status % 10);
  pairs.push_back({bytes_of(":status"), bytes_of({text, 3}), 7, 3, NGHTTP2_NV_FLAG_NONE});
  append_pairs(pairs, fields);
  return pairs;
}

H2Session::Callbacks::Shared::Shared() {
  if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0) throw std::bad_alloc();
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frame_not_sent);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_http_messaging(options, 1);  // h2_head.cpp is stricter, and the same for every version
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_outbound_ack(options, 1000);
  nghttp2_option_set_max_continuations(options, 10'000);  // the guard counts them
  nghttp2_option_set_max_send_header_block_length(options, most_answer_head);
}

}  // namespace gatehouse::http
