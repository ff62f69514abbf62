// This gateway among those that share a storage: follows what changes there, keeps or takes the lease, and tells the parts
// that act by it. Owned by whoever runs the gateway's certificates.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acme/environment.hpp"
#include "acme/storage.hpp"

namespace gatehouse::acme {

class Fleet {
 public:
  struct Options {
    std::chrono::milliseconds pause{500};  // from one sync to the next
    std::chrono::milliseconds busy_pause{100};  // while somebody waits for the others
  };

  /// Something that is kept in items whose names start alike.
  class Part {
   public:
    Part() = default;
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    virtual ~Part() = default;
    /// The item is so from now on; done once this gateway acts by it.
    [[nodiscard]] virtual Flow<Done> changed(StoredItem item) = 0;
    /// The item is there but cannot be read.
    virtual void damaged(const std::string& name, std::uint64_t version) = 0;
    /// The storage is another, or was emptied: nothing is stored of what was.
    virtual void forgotten() = 0;
    /// Called in each turn in which this gateway holds the lease, and has followed all changes.
    [[nodiscard]] virtual Flow<Done> lead() = 0;
  };

  Fleet(Environment& environment, Storage& storage) : Fleet(environment, storage, Options{}) {}
  Fleet(Environment& environment, Storage& storage, Options options)
      : environment_(environment), storage_(storage), options_(options) {}

  /// The items whose names start with one of the prefixes are the part's. Before run(); it lives as long as this.
  void add(std::initializer_list<std::string_view> prefixes, Part& part) {
    parts_.push_back(&part);
    for (const std::string_view prefix : prefixes) prefixes_.emplace_back(prefix, &part);
  }

  /// Until stop().
  [[nodiscard]] Flow<Done> run();
  /// The lease is given up and the others are told, with the next turn.
  void stop() noexcept { stopping_ = true; }
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_; }

  /// Whether the lease is this gateway's, as far as it can know without asking.
  [[nodiscard]] bool is_leading() { return fence_ != 0 && !stopping_ && environment_.now() < leading_until_; }
  /// Of the lease; another one means that it was lost in between.
  [[nodiscard]] std::uint64_t fence() const noexcept { return fence_; }

  /// Stores as the holder of the lease `fence`; see Storage::put(). 0: as anybody.
  [[nodiscard]] Flow<StorageResult<std::uint64_t>> put(std::string name, std::string value, std::uint64_t expected,
                                                       std::uint64_t fence);
  /// Done when another sync has ended.
  [[nodiscard]] Flow<Done> next_sync();
  /// Whether every gateway that lives acts by the change.
  [[nodiscard]] bool is_seen_by_all(std::uint64_t version) const noexcept { return seen_by_all_ >= version; }

  [[nodiscard]] std::size_t members() const noexcept { return members_; }
  /// Why the last sync failed, or what this gateway could not act by; empty: nothing.
  [[nodiscard]] const std::string& trouble() const noexcept {
    return trouble_.empty() && !faults_.empty() ? faults_.begin()->second : trouble_;
  }
  [[nodiscard]] bool has_synced() const noexcept { return has_synced_; }

  /// Counts those that wait for the others, so that the next sync comes sooner.
  class Haste {
   public:
    explicit Haste(Fleet& fleet) noexcept : fleet_(fleet) { ++fleet_.hasty_; }
    ~Haste() { --fleet_.hasty_; }
    Haste(const Haste&) = delete;
    Haste& operator=(const Haste&) = delete;

   private:
    Fleet& fleet_;
  };

 private:
  [[nodiscard]] Flow<Done> sync();
  [[nodiscard]] Part* part_of(std::string_view name) const noexcept;
  [[nodiscard]] std::string prefix_of(const Part& part) const;
  void note_trouble(std::string reason);
  void note_fault(const std::string& of, std::string reason);  // no reason: it is well again

  Environment& environment_;
  Storage& storage_;
  const Options options_;
  std::vector<Part*> parts_;
  std::vector<std::pair<std::string, Part*>> prefixes_;

  bool stopping_ = false;
  bool has_synced_ = false;
  std::string epoch_;
  std::uint64_t seen_ = 0;
  std::uint64_t seen_by_all_ = 0;
  std::uint64_t fence_ = 0;
  Time leading_until_{};
  std::size_t members_ = 1;
  std::uint64_t syncs_ = 0;
  unsigned hasty_ = 0;
  std::string trouble_;  // of the storage
  std::map<std::string, std::string> faults_;  // by item, or the first prefix of the part that failed as the leader
};

}  // namespace gatehouse::acme
