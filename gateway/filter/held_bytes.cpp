#include "gateway/filter/held_bytes.hpp"

#include <algorithm>

namespace gatehouse::filter {

namespace {

// What is held grows in steps, so that a body in small pieces costs few of them and a small one little memory.
std::size_t stepped(std::size_t bytes) noexcept {
  const std::size_t step = bytes < 64 * 1024 ? 4 * 1024 : 64 * 1024;
  return (bytes + step - 1) / step * step;
}

}  // namespace

bool HeldBytes::grow(std::size_t limit, std::size_t bytes) noexcept {
  if (bytes <= held_) return true;
  const std::size_t wanted = std::max(bytes, std::min(stepped(bytes), limit));
  const std::size_t more = wanted - held_;
  const auto add = [more](ByteCount& count) { return count.fetch_add(more, std::memory_order_relaxed) + more; };
  const std::size_t of_all = add(*process_);
  const std::size_t of_tenant = add(*tenant_);
  const std::size_t of_client = add(*client_);
  // Who holds nothing else may have it all.
  const auto too_much = [&](std::size_t part) { return part != wanted && part > limit - of_all; };
  held_ = wanted;
  if (of_all > limit || too_much(of_tenant) || too_much(of_client)) {
    shrink(wanted - more);
    return false;
  }
  return true;
}

void HeldBytes::shrink(std::size_t bytes) noexcept {
  if (bytes >= held_) return;
  for (ByteCount* const count : {process_, tenant_, client_.get()})
    count->fetch_sub(held_ - bytes, std::memory_order_relaxed);
  held_ = bytes;
}

void HeldBytes::release() noexcept {
  shrink(0);
  process_ = tenant_ = nullptr;
  client_.reset();
}

}  // namespace gatehouse::filter
