// Resolves a name on a thread of its own: the system's resolver blocks for seconds when a name server is gone, and a
// worker must not. Called by upstream/redis_client.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/address.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::upstream {

/// One look-up at a time: however often it is asked while the name server is gone, one thread waits for it.
/// Of one loop's thread; may be destroyed at any time, the loop must outlive it.
class NameLookup {
 public:
  /// `on_done` is called on the loop's thread.
  NameLookup(runtime::Loop& loop, std::function<void()> on_done) : loop_(loop), on_done_(std::move(on_done)) {}
  ~NameLookup() { forget(); }
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  /// Starts to resolve, unless that is under way or done for this very name. Throws std::system_error when there is no
  /// thread to be had.
  void begin(const std::string& host);
  /// The addresses of the last begin(), once: the next begin() asks anew. Empty: there are none. std::nullopt: not yet.
  [[nodiscard]] std::optional<std::vector<IpAddress>> take();

 private:
  struct Query;
  void forget() noexcept;

  runtime::Loop& loop_;
  std::function<void()> on_done_;
  std::shared_ptr<Query> query_;
};

}  // namespace gatehouse::upstream
