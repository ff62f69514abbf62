// Chunked transfer coding (RFC 9112 section 7.1), as a state machine over bytes. Called by the relay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gatehouse::http {

/// Decodes a chunked body in place of arrival.
///
/// Strict: CRLF only, hex sizes of at most 15 digits without sign or blank, chunk extensions that follow the grammar,
/// bounded to 256 bytes a chunk and 16 KiB a body, trailer section of field lines bounded to `max_trailer_bytes`; both
/// are dropped unless collect_trailers() says otherwise (RFC 9110 section 6.5.1 lets a recipient drop trailers; an
/// upstream must not merge what the WAF never saw).
class ChunkedDecoder {
 public:
  enum class Status { need_more, data, done, malformed };

  struct Result {
    Status status = Status::need_more;
    std::size_t consumed = 0;  // bytes of the input that are dealt with, `data` included
    std::string_view data;     // Status::data: a piece of the body, a view into the input; never empty
  };

  static constexpr std::size_t max_size_digits = 15;             // 2^60 - 1 bytes a chunk: no overflow
  static constexpr std::size_t max_extension_bytes = 256;        // of one chunk, with its ";"
  static constexpr std::size_t max_extension_total = 16 * 1024;  // of a body

  explicit ChunkedDecoder(std::size_t max_trailer_bytes = 8 * 1024) noexcept : max_trailer_bytes_(max_trailer_bytes) {}

  /// Keeps the trailer section's lines, each with its CRLF, in `lines`, which outlives the body.
  void collect_trailers(std::string& lines) noexcept { trailers_ = &lines; }

  /// Looks at the start of `input`. Call again with the rest until need_more (all is consumed), done or malformed.
  /// After done nothing is consumed any more: the rest belongs to the next message. After malformed all is malformed.
  [[nodiscard]] Result next(std::string_view input);

  [[nodiscard]] bool done() const noexcept { return state_ == State::done; }

 private:
  // clang-format off
  enum class State : std::uint8_t {
    size_first, size, size_lf,
    extension_start, extension_name, extension_after_name, extension_value_start, extension_value,
    extension_quoted, extension_escape, extension_after_quoted, extension_blank,
    data, data_cr, data_lf,
    trailer_start, trailer_name, trailer_value, trailer_lf, end_lf,
    done, failed
  };
  // clang-format on
  [[nodiscard]] State step(char byte) noexcept;  // what follows `byte` in the present state
  [[nodiscard]] State extension_step(char byte) noexcept;
  [[nodiscard]] State trailer_step(char byte) noexcept;

  State state_ = State::size_first;
  std::uint64_t left_ = 0;  // of the chunk: while its size is read, and then while its data is
  unsigned digits_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t extension_total_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t max_trailer_bytes_;
  std::string* trailers_ = nullptr;
};

/// Writes "SIZE CRLF" for a chunk of `size` bytes (> 0) into `out`; returns the length. The data is followed by CRLF.
std::size_t write_chunk_head(std::size_t size, char (&out)[20]) noexcept;

inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace gatehouse::http
