// Bytes that came from a stream and are not used up yet. Owned by a connection; empty ones hold no memory.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace gatehouse::http {

class ReadBuffer {
 public:
  [[nodiscard]] std::string_view unread() const noexcept { return {data_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Room to read into; at least one byte after make_room().
  [[nodiscard]] std::span<char> room() noexcept { return {data_.get() + end_, capacity_ - end_}; }
  void filled(std::size_t bytes) noexcept { end_ += bytes; }
  void consume(std::size_t bytes) noexcept {
    begin_ += bytes;
    if (begin_ == end_ && !pinned_) begin_ = end_ = 0;
  }

  /// While pinned, bytes that were consumed stay where they are: views into a message's head remain valid, also when
  /// make_room() is called (it then only ever offers what is free behind).
  void pin() noexcept { pinned_ = true; }
  void unpin() noexcept {
    pinned_ = false;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  /// Makes the buffer at least `capacity` bytes large with room behind the unread bytes. Moves what is unread; not
  /// while pinned. False: it is full at that capacity.
  bool make_room(std::size_t capacity) {
    if (pinned_) return end_ < capacity_;
    if (capacity_ < capacity) {
      auto larger = std::make_unique_for_overwrite<char[]>(capacity);
      if (end_ > begin_) std::memcpy(larger.get(), data_.get() + begin_, end_ - begin_);
      data_ = std::move(larger);
      capacity_ = capacity;
      end_ -= begin_;
      begin_ = 0;
    } else if (begin_ > 0 && end_ == capacity_) {
      std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);  // the buffer is full, so it has memory
      end_ -= begin_;
      begin_ = 0;
    }
    return end_ < capacity_;
  }

  /// Gives the memory back if nothing is unread.
  void release_if_empty() noexcept {
    if (!empty()) return;
    data_.reset();
    capacity_ = begin_ = end_ = 0;
    pinned_ = false;
  }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool pinned_ = false;
};

}  // namespace gatehouse::http
