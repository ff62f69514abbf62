// The memory in which bodies wait to be inspected: bounded for the process, shared fairly by its tenants and by clients.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace gatehouse::filter {

/// What is held, counted in bytes; one for the process, one in each tenant's TenantLoad, one for each client.
using ByteCount = std::atomic<std::size_t>;

/// One exchange's part. A tenant may hold as much as is still free, so that each of n tenants that want all of it gets
/// 1/(n+1) and the next one always finds something (A. K. Choudhury, E. L. Hahne: Dynamic queue length thresholds for
/// shared-memory packet switches, IEEE/ACM Transactions on Networking 6(2), 1998; their alpha is 1 here); and so may a
/// client. A tenant's or client's only request may go up to the limit.
class HeldBytes {
 public:
  HeldBytes() = default;
  ~HeldBytes() { release(); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  /// Whose memory it is, until release().
  struct Accounts {
    ByteCount& process;
    ByteCount& tenant;
    std::shared_ptr<ByteCount> client;
  };
  /// Opens the accounts, which must not be open.
  void open(const Accounts& accounts) noexcept {
    process_ = &accounts.process;
    tenant_ = &accounts.tenant;
    client_ = accounts.client;
  }
  [[nodiscard]] bool is_open() const noexcept { return process_ != nullptr; }
  /// Holds `bytes` in all; false: too much with what others hold, and nothing has changed.
  [[nodiscard]] bool grow(std::size_t limit, std::size_t bytes) noexcept;
  /// Holds no more than `bytes`.
  void shrink(std::size_t bytes) noexcept;
  /// Holds nothing, and closes the accounts.
  void release() noexcept;
  [[nodiscard]] std::size_t held() const noexcept { return held_; }

 private:
  ByteCount* process_ = nullptr;
  ByteCount* tenant_ = nullptr;
  std::shared_ptr<ByteCount> client_;
  std::size_t held_ = 0;
};

}  // namespace gatehouse::filter
