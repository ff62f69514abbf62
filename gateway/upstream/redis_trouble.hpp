// What the log says of Redis: once for all workers that a trouble began, why, and that it is over.
// Owned by the server, told by the workers' Redis clients; may be called from any thread.
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "gateway/runtime/loop.hpp"

namespace gatehouse::upstream {

class RedisTrouble {
 public:
  /// A trouble that begins anew within this time after its end was told is the old one, which is not over yet: a Redis
  /// that serves now and then does not fill the log.
  static constexpr runtime::Duration calm = std::chrono::seconds(10);

  /// `who` cannot ask Redis. `code`: of the error by which Redis refused, or empty. Told when it is the first of a trouble
  /// or another error than before. What is to be told, or empty.
  [[nodiscard]] std::string_view lost(const void* who, std::string_view url, std::string_view code);
  /// `who` is served. What is to be told, when all are; null: it is too early for that, `who` is to say it again later.
  [[nodiscard]] std::optional<std::string_view> serves(const void* who, runtime::TimePoint now);
  /// `who` has no Redis to be in trouble with any more.
  void forget(const void* who);

 private:
  static constexpr std::size_t most_codes = 16;  // of one trouble that are told

  std::mutex mutex_;
  std::set<const void*> lost_;
  std::set<const void*> waiting_;  // to say again that they are served
  bool is_told_ = false;
  std::string url_;
  std::set<std::string, std::less<>> codes_;  // that were told
  runtime::TimePoint end_told_ = runtime::TimePoint::min();
};

}  // namespace gatehouse::upstream
