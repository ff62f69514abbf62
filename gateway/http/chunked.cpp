// The chunked coding's decoder and the one line of its encoder. Called by the relay.
#include "gateway/http/chunked.hpp"

#include <algorithm>
#include <bit>

#include "gateway/http/characters.hpp"

namespace gatehouse::http {

using detail::is;

// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), RFC 9112 section 7.1.1. Servers differ in
// what ends an extension (a bare LF, CRLF within quotes), so nothing but the grammar passes.
ChunkedDecoder::State ChunkedDecoder::extension_step(char byte) noexcept {
  if (++extension_bytes_ > max_extension_bytes || ++extension_total_ > max_extension_total) return State::failed;
  const bool blank = is(byte, detail::blank);
  switch (state_) {
    case State::extension_start:
      if (blank) return state_;
      return is(byte, detail::token) ? State::extension_name : State::failed;
    case State::extension_name:
    case State::extension_after_name:
      if (blank) return State::extension_after_name;
      if (byte == '=') return State::extension_value_start;
      if (byte == ';') return State::extension_start;
      if (state_ == State::extension_name && byte == '\r') return State::size_lf;
      return state_ == State::extension_name && is(byte, detail::token) ? state_ : State::failed;
    case State::extension_value_start:
      if (blank) return state_;
      if (byte == '"') return State::extension_quoted;
      return is(byte, detail::token) ? State::extension_value : State::failed;
    case State::extension_value:
      if (is(byte, detail::token)) return state_;
      if (byte == '\r') return State::size_lf;
      if (byte == ';') return State::extension_start;
      return blank ? State::extension_blank : State::failed;
    case State::extension_quoted:
      if (byte == '"') return State::extension_after_quoted;
      if (byte == '\\') return State::extension_escape;
      return is(byte, detail::quoted_text) ? state_ : State::failed;
    case State::extension_escape: return is(byte, detail::field_value) ? State::extension_quoted : State::failed;
    case State::extension_after_quoted:
      if (byte == '\r') return State::size_lf;
      [[fallthrough]];
    case State::extension_blank:
      if (blank) return State::extension_blank;
      return byte == ';' ? State::extension_start : State::failed;
    default: return State::failed;
  }
}

ChunkedDecoder::State ChunkedDecoder::trailer_step(char byte) noexcept {
  if (++trailer_bytes_ > max_trailer_bytes_) return State::failed;
  switch (state_) {
    case State::trailer_start: return is(byte, detail::token) ? State::trailer_name : State::failed;
    case State::trailer_name:
      if (byte == ':') return State::trailer_value;
      return is(byte, detail::token) ? state_ : State::failed;
    case State::trailer_value:
      if (byte == '\r') return State::trailer_lf;
      return is(byte, detail::field_value) ? state_ : State::failed;
    case State::trailer_lf: return byte == '\n' ? State::trailer_start : State::failed;
    default: return State::failed;
  }
}

ChunkedDecoder::State ChunkedDecoder::step(char byte) noexcept {
  switch (state_) {
    case State::size_first:
    case State::size: {
      const unsigned digit = detail::hex_value(byte);
      if (digit <= 15) {
        if (++digits_ > max_size_digits) return State::failed;
        left_ = left_ << 4 | digit;
        return State::size;
      }
      if (state_ == State::size_first) return State::failed;
      if (byte == '\r') return State::size_lf;
      extension_bytes_ = 1;
      return byte == ';' && ++extension_total_ <= max_extension_total ? State::extension_start : State::failed;
    }
    case State::size_lf:
      if (byte != '\n') return State::failed;
      return left_ != 0 ? State::data : State::trailer_start;
    case State::data_cr: return byte == '\r' ? State::data_lf : State::failed;
    case State::data_lf:
      digits_ = 0;  // left_ is 0 here
      return byte == '\n' ? State::size_first : State::failed;
    case State::trailer_start:
      if (byte == '\r') return State::end_lf;
      return trailer_step(byte);
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf: return trailer_step(byte);
    case State::end_lf: return byte == '\n' ? State::done : State::failed;
    case State::data:
    case State::done:
    case State::failed: return State::failed;
    default: return extension_step(byte);
  }
}

ChunkedDecoder::Result ChunkedDecoder::next(std::string_view input) {
  std::size_t at = 0;
  while (state_ != State::done && state_ != State::failed) {
    if (at == input.size()) return {Status::need_more, at, {}};
    if (state_ == State::data) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - at));
      left_ -= piece;
      if (left_ == 0) state_ = State::data_cr;
      return {Status::data, at + piece, input.substr(at, piece)};
    }
    const char byte = input[at++];
    const State before = state_;
    state_ = step(byte);
    if (trailers_ != nullptr && before >= State::trailer_start && before <= State::trailer_lf &&
        state_ != State::end_lf)
      trailers_->push_back(byte);
  }
  return {state_ == State::done ? Status::done : Status::malformed, at, {}};
}

std::size_t write_chunk_head(std::size_t size, char (&out)[20]) noexcept {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto count = static_cast<std::size_t>(std::max(1, (static_cast<int>(std::bit_width(size)) + 3) / 4));
  for (std::size_t i = count; i != 0; --i, size >>= 4) out[i - 1] = digits[size & 15];
  out[count] = '\r';
  out[count + 1] = '\n';
  return count + 2;
}

}  // namespace gatehouse::http
