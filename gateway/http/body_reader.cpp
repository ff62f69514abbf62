// Bodies out of bytes; see body_reader.hpp.
#include "gateway/http/body_reader.hpp"

#include <algorithm>
#include <cstring>

namespace gatehouse::http {

namespace {
constexpr std::size_t first_buffer_bytes = 16 * 1024;
constexpr std::size_t large_buffer_bytes = 64 * 1024 - ReadBuffer::large_lead;
}  // namespace

BodyReader::Result BodyReader::next() {
  if (handed_ > 0) {
    source().consume(handed_);
    handed_ = 0;
  }
  for (;;) {
    if (ended_) return {Status::end, {}};
    const std::string_view bytes = source().unread();
    if (bytes.empty()) {
      if (!peer_closed_) return {Status::need_read, {}};
      if (framing_.kind != BodyKind::until_close) return {Status::truncated, {}};
      ended_ = true;
      continue;
    }
    switch (framing_.kind) {
      case BodyKind::none: ended_ = true; continue;
      case BodyKind::length: {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
        left_ -= size;
        received_ += size;
        handed_ = size;
        if (left_ == 0) ended_ = true;
        return {Status::piece, bytes.substr(0, size)};
      }
      case BodyKind::until_close:
        received_ += bytes.size();
        handed_ = bytes.size();
        return {Status::piece, bytes};
      case BodyKind::chunked: {
        const ChunkedDecoder::Result result = chunks_.next(bytes);
        switch (result.status) {
          case ChunkedDecoder::Status::malformed: return {Status::malformed, {}};
          case ChunkedDecoder::Status::need_more: source().consume(result.consumed); continue;
          case ChunkedDecoder::Status::done:
            source().consume(result.consumed);
            ended_ = true;
            continue;
          case ChunkedDecoder::Status::data:
            received_ += result.data.size();
            handed_ = result.consumed;
            return {Status::piece, result.data};
        }
        return {Status::malformed, {}};
      }
    }
  }
}

std::span<char> BodyReader::room() {
  // The first read is small: most bodies are. One that fills it goes on with large reads.
  const std::size_t before = buffer_.capacity();
  const bool large =
      received_ >= first_buffer_bytes || (framing_.kind == BodyKind::length && left_ > first_buffer_bytes);
  buffer_.make_room(large && buffers_->has_room_for(large_buffer_bytes) ? large_buffer_bytes : first_buffer_bytes);
  buffers_->change(before, buffer_.capacity());
  std::span<char> room = buffer_.room();
  if (framing_.kind == BodyKind::length && left_ < room.size()) room = room.first(static_cast<std::size_t>(left_));
  return room;
}

void BodyReader::release_if_empty() noexcept {
  const std::size_t before = buffer_.capacity();
  if (before == 0) return;
  buffer_.release_if_empty();
  buffers_->change(before, buffer_.capacity());
}

void BodyReader::finish() noexcept {
  if (handed_ > 0) {
    source().consume(handed_);
    handed_ = 0;
  }
  release_if_empty();
}

bool BodyReader::has_excess() const noexcept {
  if (!ended_ || head_buffer_ == nullptr) return false;
  return buffer_.unread().size() > (head_buffer_->empty() ? handed_ : 0);
}

void BodyReader::give_back() {
  finish();
  const std::string_view rest = buffer_.unread();
  if (!rest.empty()) {
    // Only a chunked body is read ahead of its end, and only after the head buffer was used up.
    head_buffer_->unpin();
    head_buffer_->make_room(std::max(rest.size() + 1, first_buffer_bytes));
    std::memcpy(head_buffer_->room().data(), rest.data(), rest.size());
    head_buffer_->filled(rest.size());
  }
  release();
}

}  // namespace gatehouse::http
