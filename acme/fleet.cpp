// The fleet's common storage as one gateway follows it; see fleet.hpp.
#include "acme/fleet.hpp"

#include <algorithm>
#include <exception>

namespace gatehouse::acme {

// What fails in one part, or with one item, is no reason for the rest to stop, nor for this one to be left out later.

Flow<Done> Fleet::run() {
  while (!stopping_) {
    try {
      co_await sync();
    } catch (const std::exception& failure) {
      note_trouble(failure.what());
    }
    if (is_leading() && trouble_.empty())
      for (Part* const part : parts_) {
        std::string fault;
        try {
          co_await part->lead();
        } catch (const std::exception& failure) {
          fault = failure.what();
        }
        note_fault(prefix_of(*part), std::move(fault));
      }
    co_await environment_.sleep(hasty_ != 0 ? options_.busy_pause : options_.pause);
  }
  static_cast<void>(co_await storage_.sync({.epoch = epoch_, .seen = seen_, .wants_lease = false}));
  fence_ = 0;
  co_return Done{};
}

Flow<Done> Fleet::sync() {
  for (bool has_more = true; has_more && !stopping_;) {
    const Time asked = environment_.now();
    auto answer = co_await storage_.sync({.epoch = epoch_, .seen = seen_, .wants_lease = true});
    if (!answer) {
      note_trouble(std::move(answer.error().reason));
      break;
    }
    note_trouble({});
    if (answer->epoch != epoch_) {
      const bool is_first = epoch_.empty();
      epoch_ = answer->epoch;
      if (!is_first) {
        environment_.report(
            "the certificates' storage has been emptied or is another one: what this gateway knows is served, and "
            "stored again",
            {}, true);
        for (Part* const part : parts_) part->forgotten();
      }
    }
    for (StoredItem& item : answer->changed) {
      Part* const part = part_of(item.name);
      if (part == nullptr) continue;
      const std::string name = item.name;
      std::string fault;
      try {
        co_await part->changed(std::move(item));
      } catch (const std::exception& failure) {
        fault = failure.what();
      }
      note_fault(name, std::move(fault));
    }
    for (const StoredItem& item : answer->damaged) {
      environment_.report(
          "an item of the certificates' storage cannot be read; it is replaced when its certificate is known or "
          "obtained",
          item.name, true);
      if (Part* const part = part_of(item.name)) part->damaged(item.name, item.version);
    }
    seen_ = answer->version;
    seen_by_all_ = answer->seen_by_all;
    members_ = answer->members;
    fence_ = answer->fence;
    leading_until_ = asked + storage_.lease_time() - Seconds(1);  // the clock's seconds are whole
    has_more = answer->has_more;
    if (!has_more) has_synced_ = true;
  }
  ++syncs_;
  co_return Done{};
}

Flow<StorageResult<std::uint64_t>> Fleet::put(std::string name, std::string value, std::uint64_t expected,
                                              std::uint64_t fence) {
  if (fence != 0 && (fence != fence_ || !is_leading()))
    co_return std::unexpected(StorageError{StorageError::Kind::fenced, "another gateway does this by now"});
  auto stored = co_await storage_.put(std::move(name), std::move(value), expected, fence);
  if (!stored && stored.error().kind == StorageError::Kind::fenced) fence_ = 0;
  co_return stored;
}

Flow<Done> Fleet::next_sync() {
  const Haste haste(*this);
  for (const std::uint64_t before = syncs_; syncs_ == before && !stopping_;)
    co_await environment_.sleep(options_.busy_pause);
  co_return Done{};
}

Fleet::Part* Fleet::part_of(std::string_view name) const noexcept {
  const auto found =
      std::ranges::find_if(prefixes_, [&](const auto& prefix) { return name.starts_with(prefix.first); });
  return found == prefixes_.end() ? nullptr : found->second;
}

std::string Fleet::prefix_of(const Part& part) const {
  return std::string(std::ranges::find(prefixes_, &part, &std::pair<std::string, Part*>::second)->first);
}

void Fleet::note_fault(const std::string& of, std::string reason) {
  const auto known = faults_.find(of);
  if (reason.empty()) {
    if (known != faults_.end()) faults_.erase(known);
    return;
  }
  std::string fault = of + " cannot be acted by: " + reason;
  if (known != faults_.end() && known->second == fault) return;
  environment_.report("a part of what is kept for the certificates has failed; the rest goes on", fault, true);
  faults_[of] = std::move(fault);
}

void Fleet::note_trouble(std::string reason) {
  if (reason.empty() != trouble_.empty())
    environment_.report(reason.empty()
                            ? "the certificates' storage answers again"
                            : "the certificates' storage does not answer: what is known is served, and nothing renewed",
                        reason, !reason.empty());
  trouble_ = std::move(reason);
}

}  // namespace gatehouse::acme
