// One HTTP/2 connection as a protocol: bytes in, events and bytes out. nghttp2 does framing, HPACK and flow control; what
// it is too lenient about is checked before it (h2_guard.hpp) and behind it (h2_head.hpp). No sockets, no clock: fuzzed
// and tested as it stands. Owned by proxy/h2_connection.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/http/body_reader.hpp"
#include "gateway/http/h2_fields.hpp"
#include "gateway/http/h2_guard.hpp"
#include "gateway/http/h2_head.hpp"
#include "gateway/http/h2_limits.hpp"

struct nghttp2_session;

namespace gatehouse::http {

/// One request and its answer as the session sees them. Owned by whoever serves it; the session refers to it between
/// H2Owner::open_stream() and H2Session::release().
struct H2Stream {
  std::int32_t id = 0;
  void* server = nullptr;  // whoever serves it

  // --- the request
  RequestHead* head = nullptr;  // where the request is to be written
  std::string head_text;  // what it refers to
  std::string websocket_key;  // for an extended CONNECT
  std::string incoming;  // of the body: what nobody has taken yet
  std::size_t unconsumed = 0;  // bytes that the client's window lacks on their account
  std::uint64_t received = 0;  // of the body, in all
  std::int64_t announced = -1;  // Content-Length; -1: none
  H2HeadFault fault = H2HeadFault::none;
  bool head_complete = false;
  bool is_websocket = false;  // an extended CONNECT
  bool request_ended = false;
  bool malformed = false;  // it turned out so after its head: the stream has been reset
  bool closed = false;  // nothing is sent or received any more

  // --- the answer
  std::array<std::string_view, 2> pending;  // of the body, not framed yet
  std::size_t pending_bytes = 0;
  std::size_t claimed = 0;  // what of that will be taken from the connection's window next
  std::uint64_t sent = 0;  // of the body, in all
  std::string_view trailers;  // lines
  bool interim_pending = false;  // the head of an interim answer has not been framed yet
  bool answered = false;  // the final head has been submitted
  bool end_pending = false;  // the body ends behind what is pending
  bool end_sent = false;

  /// As new, with memory kept.
  void clear() noexcept;
};

struct H2Event {
  enum class Kind : std::uint8_t {
    request,  // the head is complete; `stream->fault` says whether it is one
    body,  // more of the body has come, or its end, or it is malformed
    sent,  // what was pending has been framed, or an interim answer
    closed,  // the stream has ended, from whatever side
    window,  // a window was opened, of a stream or (stream is null) of the connection
    pong,  // our ping was answered
    none,
  };
  Kind kind;
  H2Stream* stream = nullptr;
};

/// Provides the streams. Called within H2Session::receive(): it must not call the session.
class H2Owner {
 public:
  /// A request begins; null: no more are served now, the stream is refused.
  [[nodiscard]] virtual H2Stream* open_stream() = 0;

 protected:
  ~H2Owner() = default;
};

class H2Session {
 public:
  /// `scheme`: what :scheme must say. `buffers` counts what waits for its reader. All outlive the session. Throws
  /// std::bad_alloc.
  H2Session(const H2Limits& limits, std::string_view scheme, BodyBuffers& buffers, H2Owner& owner);
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  /// Takes what the client has sent. Look at events() and output afterwards; is_over() says whether more is of interest.
  void receive(std::string_view bytes, runtime::TimePoint now);
  [[nodiscard]] std::vector<H2Event>& events() noexcept { return events_; }

  /// Appends frames to `out` until it has at least `enough` bytes or there is nothing more to send. `out` may end within
  /// no frame.
  void fill(std::string& out, std::size_t enough, runtime::TimePoint now);
  [[nodiscard]] bool has_output() const noexcept;

  /// The client has nothing more to say that matters: the connection ends once all output is written.
  [[nodiscard]] bool is_over() const noexcept;
  /// Why the connection was ended for abuse, if it was.
  [[nodiscard]] H2Abuse abuse() const noexcept { return abuse_; }
  /// Whether the client has sent an error or we have: what is left of its input is to be read before closing.
  [[nodiscard]] bool is_terminated() const noexcept { return terminated_; }

  // --- requests

  /// The reader of the body has taken `bytes`: the client may send as many more.
  void consume(H2Stream& stream, std::size_t bytes);

  // --- answers

  /// An interim answer, 100 or 103.
  void submit_interim(H2Stream& stream, int status, const H2Fields& fields);
  /// The answer's head. `has_body`: write() follows.
  void submit_answer(H2Stream& stream, int status, const H2Fields& fields, bool has_body);
  /// Body bytes, which must stay where they are until Kind::sent or the stream is released or closed; nothing may be
  /// pending. `end`: they are the last.
  void write(H2Stream& stream, std::span<const std::string_view> pieces, bool end);
  /// How many more bytes of the body the client takes now.
  [[nodiscard]] std::size_t window(const H2Stream& stream) const noexcept;
  /// The client has changed a window of the stream's.
  void window_changed(H2Stream& stream) noexcept;
  /// Whether a window of the client's is what stops the stream's output.
  [[nodiscard]] bool is_blocked(const H2Stream& stream) const noexcept;
  /// The connection is lost: nothing more is received or sent, nor said.
  void abandon(H2Stream& stream);
  /// Ends the stream (RFC 9113 section 6.4).
  void reset(H2Stream& stream, H2Error error);
  /// Whoever serves the stream is done with it. What is left of it is reset.
  void release(H2Stream& stream);

  // --- the connection

  /// GOAWAY with 2^31-1: the client opens no more streams once it has seen it; those that are under way to us are served
  /// (RFC 9113 section 6.8). A ping follows, whose answer says that it has.
  void announce_shutdown();
  /// GOAWAY with the last stream that is served.
  void shut_down();
  /// Ends the connection with an error, or none; `why` for abuse.
  void terminate(H2Error error, H2Abuse why = H2Abuse::none);

  /// When the header block, or preface, that has begun and not ended began; max(): none has.
  [[nodiscard]] runtime::TimePoint block_began() const noexcept { return block_began_; }
  /// Bytes of bodies that have been framed, of all streams that ever were.
  [[nodiscard]] std::uint64_t sent_bytes() const noexcept { return sent_bytes_; }
  [[nodiscard]] bool has_preface() const noexcept { return preface_left_ == 0; }
  /// Whether the client may send bodies at all: else others' readers are what it waits for.
  [[nodiscard]] bool may_receive() const noexcept;

 private:
  struct Callbacks;
  friend struct Callbacks;

  void feed(std::string_view bytes);
  void inspect(runtime::TimePoint now);
  void count_buffered(std::size_t more, std::size_t less) noexcept;
  void grow_window();
  void request_complete(H2Stream& stream, bool end_stream);
  void body_ended(H2Stream& stream);
  void fail_request(H2Stream& stream);
  void forget_pending(H2Stream& stream) noexcept;
  void tell_of_freed_window();
  [[nodiscard]] bool is_clients_fault(std::uint32_t stream, std::uint32_t error) noexcept;
  void claim(H2Stream& stream) noexcept;
  void push(H2Event::Kind kind, H2Stream* stream) { events_.push_back({kind, stream}); }

  const H2Limits& limits_;
  const std::string_view scheme_;
  BodyBuffers& buffers_;
  H2Owner& owner_;
  H2Guard guard_;
  nghttp2_session* session_ = nullptr;
  std::vector<H2Event> events_;

  // Input: where the present frame stands.
  std::size_t preface_left_;
  std::array<unsigned char, H2FrameHead::size + 5> frame_start_{};
  std::size_t start_have_ = 0;
  std::size_t start_wanted_ = H2FrameHead::size;
  std::size_t frame_left_ = 0;
  H2FrameHead frame_;
  runtime::TimePoint now_{};
  runtime::TimePoint block_began_ = runtime::TimePoint::max();
  H2Stream* decoding_ = nullptr;  // whose section is being decoded
  H2Head section_;  // one at a time (RFC 9113 section 4.3)
  bool in_trailers_ = false;

  // Output.
  std::string* out_ = nullptr;
  std::size_t enough_ = 0;
  std::size_t claimed_ = 0;  // by all streams
  std::uint64_t sent_bytes_ = 0;

  std::size_t reserved_ = 0;  // of the buffers' room, for the larger window
  bool window_grown_ = false;
  bool window_freed_ = false;  // of the connection's, for other streams
  bool announced_ = false;  // the first GOAWAY is on its way out
  static constexpr std::uint32_t max_stream = 0x7FFFFFFF;
  std::uint32_t last_uninformed_ = max_stream;  // the last stream that it opened before it acknowledged our settings
  unsigned refused_before_ = 0;  // streams, of those
  bool made_to_reset_ = false;  // too often
  bool terminated_ = false;
  bool dead_ = false;  // nghttp2 has given up
  H2Abuse abuse_ = H2Abuse::none;
};

}  // namespace gatehouse::http
