// What nghttp2 calls for an HTTP/2 session. Of h2_session.cpp alone.
#pragma once

#include <nghttp2/nghttp2.h>

#include <vector>

#include "gateway/http/h2_session.hpp"

namespace gatehouse::http {

struct H2Session::Callbacks {
  /// Made once: sessions copy both. Throws std::bad_alloc.
  struct Shared {
    Shared();
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
  };

  static H2Session& self(void* user) noexcept { return *static_cast<H2Session*>(user); }
  static H2Stream* find(nghttp2_session* session, std::int32_t id) noexcept {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  /// The answer's head as nghttp2 takes it: good until the next call on this thread, while `text` and `fields` live.
  static std::vector<nghttp2_nv>& pairs_of(int status, char (&text)[4], const H2Fields& fields);
  /// How much of a body goes into the next frame; the bytes are taken by send_data.
  static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t most,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user);

 private:
  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t flags,
                    void* user);
  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int data_chunk(nghttp2_session* session, std::uint8_t flags, std::int32_t id, const std::uint8_t* data,
                        std::size_t size, void* user);
  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t error, void* user);
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user);
  static int send_data(nghttp2_session* session, nghttp2_frame* frame, const std::uint8_t* head, std::size_t size,
                       nghttp2_data_source* source, void* user);
};

}  // namespace gatehouse::http
