// The memory in which bodies wait to be inspected: bounded for the process, shared fairly by its tenants.
#pragma once

#include <atomic>
#include <cstddef>

namespace gatehouse::filter {

/// What is held, counted in bytes; one for the process, and one in each tenant's TenantLoad.
using ByteCount = std::atomic<std::size_t>;

/// One exchange's part. A tenant may hold as much as is still free, so that each of n tenants that want all of it gets
/// 1/(n+1) and the next one always finds something (A. K. Choudhury, E. L. Hahne: Dynamic queue length thresholds for
/// shared-memory packet switches, IEEE/ACM Transactions on Networking 6(2), 1998; their alpha is 1 here). A tenant's
/// only request may go up to the limit.
class HeldBytes {
 public:
  HeldBytes() = default;
  ~HeldBytes() { release(); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  /// Holds `bytes` in all; false: too much with what others hold, and nothing has changed. `process` and `tenant` are
  /// the same at each call until release().
  [[nodiscard]] bool grow(ByteCount& process, ByteCount& tenant, std::size_t limit, std::size_t bytes) noexcept;
  void release() noexcept;
  [[nodiscard]] std::size_t held() const noexcept { return held_; }

 private:
  ByteCount* process_ = nullptr;
  ByteCount* tenant_ = nullptr;
  std::size_t held_ = 0;
};

}  // namespace gatehouse::filter
