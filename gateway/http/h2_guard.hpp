// Looks at each frame before nghttp2 does: order of stream ids, frames on closed streams, and how often frames come that
// cost more than they bring. Pure: frame headers and a time in, a verdict out. Called by h2_session.cpp; tested alone.
#pragma once

#include <cstdint>
#include <vector>

#include "gateway/http/h2_limits.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::http {

/// RFC 9113 section 6.
enum class H2FrameType : std::uint8_t {
  data,
  headers,
  priority,
  rst_stream,
  settings,
  push_promise,
  ping,
  goaway,
  window_update,
  continuation,
  priority_update = 0x10  // RFC 9218 section 7.1
};

/// RFC 9113 section 7.
enum class H2Error : std::uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,
  flow_control_error = 3,
  settings_timeout = 4,
  stream_closed = 5,
  frame_size_error = 6,
  refused_stream = 7,
  cancel = 8,
  compression_error = 9,
  connect_error = 10,
  enhance_your_calm = 11,
  inadequate_security = 12,
  http_1_1_required = 13
};

struct H2FrameHead {
  static constexpr std::size_t size = 9;
  static constexpr std::uint8_t end_stream = 0x1, ack = 0x1, end_headers = 0x4, padded = 0x8, has_priority = 0x20;

  std::uint32_t length = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;

  /// Of 9 bytes (RFC 9113 section 4.1); the reserved bit is ignored.
  [[nodiscard]] static H2FrameHead parse(const unsigned char* bytes) noexcept;
  [[nodiscard]] bool is(H2FrameType wanted) const noexcept { return type == static_cast<std::uint8_t>(wanted); }
  /// Bytes of the payload that the guard wants to see along with the head: those of a dependency.
  [[nodiscard]] std::size_t wanted_payload() const noexcept;
};

class H2Guard {
 public:
  /// `limits` outlives it. Throws std::bad_alloc.
  explicit H2Guard(const H2Limits& limits) : limits_(limits), closed_(closed_a_stream * limits.streams + 1) {}

  /// What is to become of the connection.
  struct Verdict {
    H2Error error = H2Error::no_error;  // another one: a connection error
    H2Abuse abuse = H2Abuse::none;
    [[nodiscard]] bool fine() const noexcept { return error == H2Error::no_error; }
  };

  /// `is_live`: nghttp2 knows the stream as one that is not closed. `payload`: the first bytes, as wanted_payload() said.
  [[nodiscard]] Verdict frame(const H2FrameHead& head, bool is_live, const unsigned char* payload,
                              runtime::TimePoint now) noexcept;

  /// A stream has ended: by END_STREAM from both sides or a reset of the client's (`by_us` false), or by a reset of ours,
  /// behind which the client may have sent more.
  void closed(std::uint32_t stream, bool by_us) noexcept;
  /// A stream was reset by us for what the client did.
  [[nodiscard]] bool made_to_reset(runtime::TimePoint now) noexcept { return own_resets_.take(now); }
  /// The last GOAWAY names `stream`: what concerns later ones is ignored (RFC 9113 section 6.8).
  void serve_up_to(std::uint32_t stream) noexcept { last_served_ = stream; }
  void data_sent(std::size_t bytes) noexcept {
    window_updates_.give(h2_window_updates_a_frame + h2_window_updates_a_kib * static_cast<double>(bytes) / 1024);
  }

  /// Within a header block: HEADERS without END_HEADERS has come, its end has not.
  [[nodiscard]] bool in_block() const noexcept { return in_block_; }
  [[nodiscard]] std::uint32_t last_stream() const noexcept { return last_stream_; }

 private:
  class Allowance {
   public:
    explicit Allowance(H2Rate rate) noexcept : rate_(rate), left_(rate.burst) {}
    [[nodiscard]] bool take(runtime::TimePoint now) noexcept;
    void give(double more) noexcept;

   private:
    H2Rate rate_;
    double left_;
    runtime::TimePoint last_{};
  };

  enum class Past : std::uint8_t { unknown, ended, reset_by_us };
  [[nodiscard]] Past past_of(std::uint32_t stream) const noexcept;
  [[nodiscard]] Verdict check_order(const H2FrameHead& head, bool is_live) noexcept;

  const H2Limits& limits_;
  Allowance resets_{h2_resets}, own_resets_{h2_own_resets}, settings_{h2_settings}, pings_{h2_pings},
      priorities_{h2_priorities}, window_updates_{h2_window_updates}, empty_frames_{h2_empty_frames},
      unknown_frames_{h2_unknown_frames};
  std::uint32_t last_stream_ = 0;  // the highest that was opened
  std::uint32_t last_served_ = 0x7FFFFFFF;
  std::uint64_t opened_ = 0;
  bool in_block_ = false;
  std::uint32_t block_stream_ = 0;
  unsigned continuations_ = 0;

  struct Closed {
    std::uint32_t stream = 0;
    bool by_us = false;
  };
  // The last ones: some generations of streams may end early while the bodies of all are under way.
  static constexpr std::size_t closed_a_stream = 4;
  std::vector<Closed> closed_;
  std::size_t closed_next_ = 0;
};

}  // namespace gatehouse::http
