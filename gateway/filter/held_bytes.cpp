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

bool HeldBytes::grow(ByteCount& process, ByteCount& tenant, std::size_t limit, std::size_t bytes) noexcept {
  if (bytes <= held_) return true;
  const std::size_t wanted = std::max(bytes, std::min(stepped(bytes), limit));
  const std::size_t more = wanted - held_;
  const std::size_t of_all = process.fetch_add(more, std::memory_order_relaxed) + more;
  const std::size_t of_tenant = tenant.fetch_add(more, std::memory_order_relaxed) + more;
  const bool alone = of_tenant == wanted;
  if (of_all > limit || (!alone && of_tenant > limit - of_all)) {
    process.fetch_sub(more, std::memory_order_relaxed);
    tenant.fetch_sub(more, std::memory_order_relaxed);
    return false;
  }
  process_ = &process;
  tenant_ = &tenant;
  held_ = wanted;
  return true;
}

void HeldBytes::release() noexcept {
  if (held_ == 0) return;
  process_->fetch_sub(held_, std::memory_order_relaxed);
  tenant_->fetch_sub(held_, std::memory_order_relaxed);
  held_ = 0;
}

}  // namespace gatehouse::filter
