// Certificates kept in a folder of this machine, for gateways that share no Redis. An item is a file of mode 0600 that is
// replaced as a whole; locks of the kernel tell who is there and who holds the lease, and end with the process that has
// them. Several processes of one machine may share a folder; a network file system will not do.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "acme/storage.hpp"

namespace gatehouse::server {

class FileStorage final : public acme::Storage {
 public:
  /// `folder` is made when it is not there, with mode 0700. `member` names this process among those that use it.
  FileStorage(std::string folder, std::string member);
  ~FileStorage() override;

  acme::Flow<acme::StorageResult<acme::SyncAnswer>> sync(acme::SyncRequest request) override;
  acme::Flow<acme::StorageResult<std::uint64_t>> put(std::string name, std::string value, std::uint64_t expected,
                                                     std::uint64_t fence) override;
  [[nodiscard]] acme::Seconds lease_time() const noexcept override { return acme::Seconds(3600); }

  /// The file's name for an item: letters, digits, "-" and "_" as they are, everything else as "%" and two hex digits.
  [[nodiscard]] static std::string file_name(std::string_view item);
  [[nodiscard]] static std::string item_name(std::string_view file);

 private:
  class Lock;
  struct State {  // of the folder
    std::string epoch;
    std::uint64_t version = 0, fence = 0;
  };
  struct Known {  // of a file that has been read
    std::uint64_t inode = 0, version = 0;
    std::int64_t changed_ns = 0;
  };

  struct Scan {
    std::int64_t folder_changed_ns = 0;  // 0: the folder is to be looked at again
    std::chrono::system_clock::time_point at;
  };

  void scan_items();
  [[nodiscard]] acme::StorageResult<acme::SyncAnswer> sync_now(const acme::SyncRequest& request);
  [[nodiscard]] acme::StorageResult<std::uint64_t> put_now(const std::string& name, const std::string& value,
                                                           std::uint64_t expected, std::uint64_t fence);
  [[nodiscard]] acme::StorageResult<State> read_state();
  [[nodiscard]] acme::StorageResult<State> new_state(std::uint64_t fence);
  [[nodiscard]] bool holds_lease() const noexcept;
  [[nodiscard]] acme::StorageResult<acme::Done> write_state(const State& state);
  [[nodiscard]] acme::StorageResult<acme::Done> write_file(const std::string& name, std::string_view text);
  [[nodiscard]] acme::StorageResult<acme::Done> note_seen(std::uint64_t seen);
  [[nodiscard]] bool take_lease(State& state);
  void drop_lease() noexcept;

  const std::string folder_;  // "/"-terminated
  const std::string member_;
  int member_fd_ = -1;  // locked while this process lives
  int lease_fd_ = -1;  // locked while it holds the lease
  std::uint64_t fence_ = 0;
  std::uint64_t told_ = ~std::uint64_t{0};  // what the member's file says of `seen`
  std::map<std::string, Known> known_;  // by file
  std::set<std::string> gone_;  // files, until it has been told
  std::map<std::string, std::uint64_t> damaged_;  // versions by file, until it has been told
  Scan scanned_;
};

}  // namespace gatehouse::server
