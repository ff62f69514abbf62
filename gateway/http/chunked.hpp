// Chunked transfer coding (RFC 9112 section 7.1), as a state machine over bytes. Called by the relay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gatehouse::http {

/// Decodes a chunked body in place of arrival.
///
/// Strict: CRLF only, hex sizes of at most 15 digits without sign or blank, chunk extensions bounded to 256 bytes a
/// chunk and 16 KiB a body, trailer section bounded to `max_trailer_bytes` and dropped (TRAPS: request trailers are dropped).
class ChunkedDecoder {
 public:
  enum class Status { need_more, data, done, malformed };

  struct Result {
    Status status = Status::need_more;
    std::size_t consumed = 0;      // bytes of the input that are dealt with, `data` included
    std::string_view data;         // Status::data: a piece of the body, a view into the input
  };

  explicit ChunkedDecoder(std::size_t max_trailer_bytes = 8 * 1024) noexcept;

  /// Looks at the start of `input`. Call again with the rest until need_more, done or malformed.
  [[nodiscard]] Result next(std::string_view input) noexcept;

 private:
  enum class State : std::uint8_t {
    size_first, size, extension, extension_quoted, extension_escape, size_lf, data, data_cr, data_lf, trailer_start, trailer_line, trailer_lf, end_lf, done, failed
  };
  State state_ = State::size_first;
  std::uint64_t left_ = 0;
  unsigned digits_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t extension_total_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t max_trailer_bytes_;
};

/// Writes "SIZE CRLF" for a chunk of `size` bytes (> 0) into `out`; returns the length. The chunk's data is followed by CRLF.
std::size_t write_chunk_head(std::size_t size, char (&out)[20]) noexcept;

inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace gatehouse::http
