// The guard in front of nghttp2; see h2_guard.hpp.
#include "gateway/http/h2_guard.hpp"

#include <algorithm>

namespace gatehouse::http {

const char* abuse_name(H2Abuse abuse) noexcept {
  static constexpr const char* names[] = {
      "-",       "resets",      "own_resets",     "continuations", "header_list",    "settings",
      "pings",   "priorities",  "window_updates", "empty_frames",  "unknown_frames", "unread_output",
      "stalled", "slow_reader", "slow_headers"};
  static_assert(std::size(names) == static_cast<std::size_t>(H2Abuse::count_));
  return names[static_cast<std::size_t>(abuse)];
}

H2FrameHead H2FrameHead::parse(const unsigned char* bytes) noexcept {
  H2FrameHead head;
  head.length = static_cast<std::uint32_t>(bytes[0]) << 16 | static_cast<std::uint32_t>(bytes[1]) << 8 | bytes[2];
  head.type = bytes[3];
  head.flags = bytes[4];
  head.stream = (static_cast<std::uint32_t>(bytes[5]) << 24 | static_cast<std::uint32_t>(bytes[6]) << 16 |
                 static_cast<std::uint32_t>(bytes[7]) << 8 | bytes[8]) &
                0x7FFFFFFF;
  return head;
}

std::size_t H2FrameHead::wanted_payload() const noexcept {
  std::size_t wanted = 0;
  if (is(H2FrameType::priority)) wanted = 4;
  if (is(H2FrameType::data) && (flags & padded) != 0) wanted = 1;
  if (is(H2FrameType::headers) && (flags & has_priority) != 0) wanted = (flags & padded) != 0 ? 5 : 4;
  return std::min<std::size_t>(wanted, length);
}

bool H2Guard::Allowance::take(runtime::TimePoint now) noexcept {
  if (last_ != runtime::TimePoint{})
    left_ = std::min(rate_.burst, left_ + std::chrono::duration<double>(now - last_).count() * rate_.per_second);
  last_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

void H2Guard::Allowance::give(double more) noexcept { left_ = std::min(rate_.burst, left_ + more); }

void H2Guard::closed(std::uint32_t stream, bool by_us) noexcept {
  // A reset of ours is noted when it is sent, the end of its stream right behind it.
  const Closed& newest = closed_[(closed_next_ + closed_.size() - 1) % closed_.size()];
  if (newest.stream == stream) return;
  closed_[closed_next_] = {stream, by_us};
  closed_next_ = (closed_next_ + 1) % closed_.size();
}

H2Guard::Past H2Guard::past_of(std::uint32_t stream) const noexcept {
  for (const Closed& entry : closed_)
    if (entry.stream == stream) return entry.by_us ? Past::reset_by_us : Past::ended;
  return Past::unknown;
}

// Which streams a frame may name, and when.
H2Guard::Verdict H2Guard::check_order(const H2FrameHead& head, bool is_live) noexcept {
  // Between the frames of a block nothing else may come (RFC 9113 section 6.2).
  if (in_block_ != head.is(H2FrameType::continuation) || (in_block_ && head.stream != block_stream_))
    return {H2Error::protocol_error};
  if (head.is(H2FrameType::data) && !is_live && head.stream <= std::min(last_stream_, last_served_) &&
      head.stream % 2 == 1 && past_of(head.stream) != Past::reset_by_us)
    return {H2Error::stream_closed};  // RFC 9113 section 5.1, "closed"
  if (!head.is(H2FrameType::headers)) return {};
  if (head.stream % 2 == 0) return {H2Error::protocol_error};
  if (head.stream > last_stream_) {
    last_stream_ = head.stream;
    ++opened_;
    priorities_.give(h2_priorities_a_request);
    window_updates_.give(h2_window_updates_a_request);
    return {};
  }
  if (is_live) return {};  // trailers, or a mistake that nghttp2 sees
  if (head.stream > last_served_) return {};
  switch (past_of(head.stream)) {
    case Past::reset_by_us: return {};  // it was under way
    case Past::ended: return {H2Error::stream_closed};
    case Past::unknown: break;
  }
  // Ids only grow (RFC 9113 section 5.1.1). Where none was ever left out, each that is not known any more has ended.
  const bool left_none_out = opened_ == (static_cast<std::uint64_t>(last_stream_) + 1) / 2;
  return {left_none_out ? H2Error::stream_closed : H2Error::protocol_error};
}

H2Guard::Verdict H2Guard::frame(const H2FrameHead& head, bool is_live, const unsigned char* payload,
                                runtime::TimePoint now) noexcept {
  const auto calm = [](H2Abuse abuse) { return Verdict{H2Error::enhance_your_calm, abuse}; };
  if (const Verdict order = check_order(head, is_live); !order.fine()) return order;
  if (const std::size_t wanted = head.wanted_payload(); wanted >= 4) {
    const unsigned char* const at = payload + wanted - 4;
    const std::uint32_t depends_on =
        (static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3]) &
        0x7FFFFFFF;
    if (depends_on == head.stream) return {H2Error::protocol_error};  // RFC 7540 section 5.3.1
  }
  switch (head.type) {
    case static_cast<std::uint8_t>(H2FrameType::data): {
      // Of padding alone is empty as well (RFC 9113 section 6.1).
      const bool is_padded = (head.flags & H2FrameHead::padded) != 0 && head.length > 0;
      const bool is_empty = head.length == 0 || (is_padded && payload[0] + 1U >= head.length);
      if (is_empty && (head.flags & H2FrameHead::end_stream) == 0 && !empty_frames_.take(now))
        return calm(H2Abuse::empty_frames);
      break;
    }
    case static_cast<std::uint8_t>(H2FrameType::headers):
      in_block_ = (head.flags & H2FrameHead::end_headers) == 0;
      block_stream_ = head.stream;
      continuations_ = 0;
      break;
    case static_cast<std::uint8_t>(H2FrameType::continuation):
      in_block_ = (head.flags & H2FrameHead::end_headers) == 0;
      if (++continuations_ > limits_.continuations) return calm(H2Abuse::continuations);
      if (head.length == 0 && !empty_frames_.take(now)) return calm(H2Abuse::empty_frames);
      break;
    case static_cast<std::uint8_t>(H2FrameType::priority):
    case static_cast<std::uint8_t>(H2FrameType::priority_update):
      if (!priorities_.take(now)) return calm(H2Abuse::priorities);
      break;
    case static_cast<std::uint8_t>(H2FrameType::rst_stream):
      if (!resets_.take(now)) return calm(H2Abuse::resets);
      break;
    case static_cast<std::uint8_t>(H2FrameType::settings):
      if ((head.flags & H2FrameHead::ack) == 0 && !settings_.take(now)) return calm(H2Abuse::settings);
      break;
    case static_cast<std::uint8_t>(H2FrameType::ping):
      if (!pings_.take(now)) return calm(H2Abuse::pings);
      break;
    case static_cast<std::uint8_t>(H2FrameType::window_update):
      if (!window_updates_.take(now)) return calm(H2Abuse::window_updates);
      break;
    case static_cast<std::uint8_t>(H2FrameType::push_promise): break;  // nghttp2 ends the connection
    case static_cast<std::uint8_t>(H2FrameType::goaway):  // one or two have a meaning
    default:
      if (!unknown_frames_.take(now)) return calm(H2Abuse::unknown_frames);
      break;
  }
  return {};
}

}  // namespace gatehouse::http
