// See spare_descriptors.hpp.
#include "gateway/runtime/spare_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>

namespace gatehouse::runtime {

namespace {

constexpr std::size_t most = 16;

struct Spare {
  std::mutex mutex;
  std::array<int, most> descriptors{};
  std::size_t count = 0;
  std::size_t wanted = 0;  // what there was at the beginning: where the limit is low, nobody waits for more
  std::atomic<bool> is_complete = true;

  void fill() noexcept {
    while (count < wanted) {
      const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (fd < 0) break;
      descriptors[count++] = fd;
    }
    is_complete.store(count == wanted, std::memory_order_release);
  }
  bool give() noexcept {
    if (count == 0) return false;
    ::close(descriptors[--count]);
    is_complete.store(false, std::memory_order_release);
    return true;
  }
};

Spare& spare() noexcept {
  static Spare one;
  return one;
}

}  // namespace

void keep_spare_descriptors() noexcept {
  const std::lock_guard lock(spare().mutex);
  spare().wanted = most;
  spare().fill();
  spare().wanted = spare().count;
  spare().is_complete.store(true, std::memory_order_release);
}

bool gave_spare_descriptor(int error) noexcept {
  if (error != EMFILE && error != ENFILE) return false;
  const std::lock_guard lock(spare().mutex);
  return spare().give();
}

bool has_all_spare_descriptors() noexcept {
  if (spare().is_complete.load(std::memory_order_acquire)) return true;
  const std::lock_guard lock(spare().mutex);
  spare().fill();
  return spare().is_complete.load(std::memory_order_acquire);
}

DescriptorRoom::DescriptorRoom() noexcept {
  constexpr std::size_t enough = most / 2;
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    return;
  }
  const std::lock_guard lock(spare().mutex);
  for (std::size_t i = 0; i < enough && spare().give(); ++i) {
  }
}

}  // namespace gatehouse::runtime
