// How fast a peer has to be: time without a byte, and a least rate. Arithmetic alone; called by HTTP/2 streams, which
// have no socket of their own.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "gateway/runtime/error.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::net {

/// The same rules as Stream::expires_when_idle: only time spent waiting for the peer counts; a byte earns the time that it
/// may take at the least rate, the first 10 s are free, and no more than 25 s are ever saved up.
class Pace {
 public:
  /// From now on; `min_rate` in bytes a second, 0: any.
  void start(runtime::Duration idle, std::size_t min_rate) noexcept {
    *this = Pace();
    idle_ = idle;
    min_rate_ = min_rate;
  }
  /// Bytes that the peer has moved since start().
  void moved_to(std::uint64_t bytes) noexcept { moved_ = bytes; }

  void begin_wait(runtime::TimePoint now) noexcept {
    waiting_ = true;
    since_ = now;
  }
  void end_wait(runtime::TimePoint now) noexcept {
    account(now);
    waiting_ = false;
  }
  [[nodiscard]] bool is_waiting() const noexcept { return waiting_; }

  /// Whether the peer that is waited for is late; called every now and then.
  [[nodiscard]] runtime::Errc look(runtime::TimePoint now) noexcept {
    if (waiting_) account(now);
    if (waiting_ && silent_ >= idle_) return runtime::Errc::timed_out;
    return waiting_ && min_rate_ > 0 && credit_ <= runtime::Duration::zero() ? runtime::Errc::too_slow
                                                                             : runtime::Errc::ok;
  }

 private:
  void account(runtime::TimePoint now) noexcept {
    const runtime::Duration waited = now - since_;
    since_ = now;
    if (moved_ != moved_before_) silent_ = runtime::Duration::zero();
    silent_ += waited;
    if (min_rate_ > 0) {
      const std::chrono::duration<double> earned(static_cast<double>(moved_ - moved_before_) /
                                                 static_cast<double>(min_rate_));
      const std::chrono::duration<double> most(most_credit);
      credit_ = std::chrono::duration_cast<runtime::Duration>(
          std::min(std::chrono::duration<double>(credit_) + earned, most));
      credit_ -= waited;
    }
    moved_before_ = moved_;
  }

  static constexpr auto grace = std::chrono::seconds(10);
  static constexpr auto most_credit = std::chrono::seconds(25);

  runtime::Duration idle_{0};
  std::size_t min_rate_ = 0;
  std::uint64_t moved_ = 0;
  std::uint64_t moved_before_ = 0;
  runtime::Duration silent_{0};
  runtime::Duration credit_{grace};
  runtime::TimePoint since_;
  bool waiting_ = false;
};

}  // namespace gatehouse::net
