// Takes a message's body out of a stream's bytes, whatever its framing. The caller does the reading: bytes in, pieces
// out. Used for requests and for responses.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "gateway/http/chunked.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/http/validate.hpp"

namespace gatehouse::http {

/// The reading buffers of one worker's bodies. Large ones are given out while all of them together stay below a limit;
/// who comes then reads in smaller steps. Changed by the worker's thread alone, read by any.
class BodyBuffers {
 public:
  explicit BodyBuffers(std::size_t limit) noexcept : limit_(limit) {}
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool has_room_for(std::size_t more) const noexcept { return bytes() + more <= limit_; }
  void change(std::size_t before, std::size_t after) noexcept {
    bytes_.store(bytes() - before + after, std::memory_order_relaxed);
  }

 private:
  std::size_t limit_;
  std::atomic<std::size_t> bytes_ = 0;
};

class BodyReader {
 public:
  BodyReader() = default;
  ~BodyReader() { release(); }
  BodyReader(const BodyReader&) = delete;
  BodyReader& operator=(const BodyReader&) = delete;

  enum class Status {
    piece,      // `data` is the next part, valid until the next call
    need_read,  // read into room(), call filled(), ask again
    end,        // the body is complete
    malformed,  // bad chunk framing
    truncated,  // the peer closed before the end
  };
  struct Result {
    Status status;
    std::string_view data;
  };

  /// `head_buffer` holds what came with the head; it must outlive the reader. So must `buffers`, in which the reader's
  /// own buffer counts.
  void start(const BodyFraming& framing, ReadBuffer& head_buffer, BodyBuffers& buffers) noexcept {
    buffers_ = &buffers;
    framing_ = framing;
    left_ = framing.length;
    head_buffer_ = &head_buffer;
    chunks_ = ChunkedDecoder();
    ended_ = framing.kind == BodyKind::none || (framing.kind == BodyKind::length && framing.length == 0);
    peer_closed_ = false;
    handed_ = 0;
    received_ = 0;
  }

  [[nodiscard]] Result next();

  /// Where to read to. Never more than the body needs when its length is known.
  [[nodiscard]] std::span<char> room();
  void filled(std::size_t bytes) noexcept { buffer_.filled(bytes); }
  /// The peer has closed its side.
  void closed() noexcept { peer_closed_ = true; }

  /// Keeps trailer fields, as lines, in `lines`, which outlives the reading; after start(). Others drop them.
  void collect_trailers(std::string& lines) noexcept { chunks_.collect_trailers(lines); }

  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// Body bytes handed out so far, without framing.
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

  /// After the end, when the last piece is no longer used: frees the reading buffer unless there is an excess.
  void finish() noexcept;
  /// The body has ended, and bytes were read beyond its end: of the next message, if there may be one. They stay here
  /// while the message is used, since its head is in the head buffer.
  [[nodiscard]] bool has_excess() const noexcept;
  /// Moves the excess to the head buffer. Views into the message's head are of no use from then on.
  void give_back();
  /// Frees the reading buffer, and what is in it.
  void release() noexcept {
    handed_ = 0;
    buffer_.consume(buffer_.unread().size());
    release_if_empty();
  }
  /// After need_read: frees the reading buffer until room() is called, as there may be nothing to read for long.
  void release_if_empty() noexcept;

 private:
  [[nodiscard]] ReadBuffer& source() noexcept { return head_buffer_->empty() ? buffer_ : *head_buffer_; }

  BodyFraming framing_;
  std::uint64_t left_ = 0;
  std::uint64_t received_ = 0;
  ReadBuffer* head_buffer_ = nullptr;
  ReadBuffer buffer_;
  BodyBuffers* buffers_ = nullptr;
  ChunkedDecoder chunks_;
  std::size_t handed_ = 0;  // bytes of the source behind the piece handed out last
  bool ended_ = true;
  bool peer_closed_ = false;
};

}  // namespace gatehouse::http
