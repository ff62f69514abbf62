// What the log says of Redis; see redis_trouble.hpp.
#include "gateway/upstream/redis_trouble.hpp"

namespace gatehouse::upstream {

std::string_view RedisTrouble::lost(const void* who, std::string_view url, std::string_view code) {
  const std::scoped_lock lock(mutex_);
  lost_.insert(who);
  waiting_.erase(who);
  if (url != url_) {
    is_told_ = false;
    url_ = url;
  }
  if (!is_told_) codes_.clear();
  const bool is_new_code = codes_.size() < most_codes && codes_.emplace(code).second;
  if (is_told_ && !is_new_code) return {};
  is_told_ = true;
  return code.empty() ? "Redis is unreachable: each rate limit follows its on_store_failure"
                      : "Redis refuses the rate limits: each follows its on_store_failure";
}

std::optional<std::string_view> RedisTrouble::serves(const void* who, runtime::TimePoint now) {
  const std::scoped_lock lock(mutex_);
  lost_.erase(who);
  waiting_.erase(who);
  if (!is_told_ || !lost_.empty()) return "";
  if (end_told_ != runtime::TimePoint::min() && now - end_told_ < calm) {
    waiting_.insert(who);
    return std::nullopt;
  }
  is_told_ = false;
  end_told_ = now;
  return "Redis serves the rate limits again";
}

void RedisTrouble::forget(const void* who) {
  const std::scoped_lock lock(mutex_);
  lost_.erase(who);
  waiting_.erase(who);
  if (lost_.empty() && waiting_.empty()) is_told_ = false;
}

}  // namespace gatehouse::upstream
