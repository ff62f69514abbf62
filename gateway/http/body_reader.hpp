// Takes a message's body out of a stream's bytes, whatever its framing. The caller does the reading: bytes in, pieces
// out. Used for requests and for responses.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "gateway/http/chunked.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/http/validate.hpp"

namespace gatehouse::http {

class BodyReader {
 public:
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

  /// `head_buffer` holds what came with the head; it must outlive the reader.
  void start(const BodyFraming& framing, ReadBuffer& head_buffer) noexcept {
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

  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// Body bytes handed out so far, without framing.
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

  /// After the end: bytes that were read beyond it belong to the next message; moves them to the head buffer.
  void give_back();
  /// Frees the reading buffer.
  void release() noexcept {
    handed_ = 0;
    buffer_.consume(buffer_.unread().size());
    buffer_.release_if_empty();
  }

 private:
  [[nodiscard]] ReadBuffer& source() noexcept { return head_buffer_->empty() ? buffer_ : *head_buffer_; }

  BodyFraming framing_;
  std::uint64_t left_ = 0;
  std::uint64_t received_ = 0;
  ReadBuffer* head_buffer_ = nullptr;
  ReadBuffer buffer_;
  ChunkedDecoder chunks_;
  std::size_t handed_ = 0;  // bytes of the source behind the piece handed out last
  bool ended_ = true;
  bool peer_closed_ = false;
};

}  // namespace gatehouse::http
