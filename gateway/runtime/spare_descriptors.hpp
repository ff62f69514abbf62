// Descriptors that are kept for what must go on when the process has no others: the admin listener, health checks, reloads
// and rotated logs. From any thread.
#pragma once

namespace gatehouse::runtime {

/// Opens the spare ones; to be called once, before there are threads. With fewer than there should be it goes on.
void keep_spare_descriptors() noexcept;

/// After a call that has failed: whether `error` says that there are no descriptors, and one was there to spare. Then the
/// call may be made again.
[[nodiscard]] bool gave_spare_descriptor(int error) noexcept;

/// Whether all spare ones are there. Where one was given, it is looked for again first; as long as it cannot be had, who
/// could wait for a descriptor should.
[[nodiscard]] bool has_all_spare_descriptors() noexcept;

/// Makes room for some files while it lives, if there is none.
class DescriptorRoom {
 public:
  DescriptorRoom() noexcept;
  ~DescriptorRoom() { static_cast<void>(has_all_spare_descriptors()); }
  DescriptorRoom(const DescriptorRoom&) = delete;
  DescriptorRoom& operator=(const DescriptorRoom&) = delete;
};

}  // namespace gatehouse::runtime
