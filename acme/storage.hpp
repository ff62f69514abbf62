// What a fleet of gateways keeps in common for its certificates: small items under names, changed by compare-and-swap, who
// takes part, and one leased lock. Implemented by gateway/upstream/redis_storage and gateway/server/file_storage.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "acme/flow.hpp"

namespace gatehouse::acme {

struct StoredItem {
  std::string name;
  std::string value;  // empty: it has been removed
  std::uint64_t version = 0;  // grows with every change of any item; 0: it is gone without one
};

struct StorageError {
  enum class Kind : unsigned char {
    away,  // cannot be reached, or has no room; nothing is known to be stored
    conflict,  // somebody else has changed the item: sync, and decide anew
    fenced,  // the lease is somebody else's by now
    damaged,  // what is stored cannot be read: not ours, or under another key
  };
  Kind kind = Kind::away;
  std::string reason;  // for the operator; without secrets
};

template <class T>
using StorageResult = std::expected<T, StorageError>;

struct SyncRequest {
  std::string epoch;  // of the last answer; empty: none
  std::uint64_t seen = 0;  // this member acts by all changes up to here
  bool wants_lease = true;  // to get it, or to keep it
};

struct SyncAnswer {
  std::string
      epoch;  // another than before: the storage is another, or was emptied, and its items follow from the first
  std::vector<StoredItem> changed;  // behind `seen`, by version; perhaps not all of them
  std::uint64_t version = 0;  // of the last one in `changed`, or `seen`
  bool has_more = false;
  std::uint64_t seen_by_all = 0;  // what all members that live have told of themselves
  std::size_t members = 1;
  std::uint64_t fence = 0;  // not 0: this member holds the lease, for lease_time from the question on
  std::vector<StoredItem> damaged;  // what cannot be read, or is older than it was, without values
};

class Storage {
 public:
  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  virtual ~Storage() = default;

  /// What has changed, and that this member lives. To be called every few seconds at least.
  [[nodiscard]] virtual Flow<StorageResult<SyncAnswer>> sync(SyncRequest request) = 0;

  /// Stores `value` if the item is of the version `expected` (0: there is none) and, unless `fence` is 0, that lease still
  /// holds. Gives the item's new version. An empty value removes it.
  [[nodiscard]] virtual Flow<StorageResult<std::uint64_t>> put(std::string name, std::string value,
                                                               std::uint64_t expected, std::uint64_t fence) = 0;

  /// How long a lease holds without a sync.
  [[nodiscard]] virtual Seconds lease_time() const noexcept = 0;
};

}  // namespace gatehouse::acme
