// Ends a regular expression's JIT code that runs for too long. PCRE2's match limit does not: it does not count the
// steps of tight loops and counts anew for each start offset, so that one call can run for minutes. Called by
// waf/interpose.cpp.
#pragma once

#include <chrono>
#include <csetjmp>

namespace gatehouse::waf {

/// Prepares the process: installs the signal handler. Once, before the first MatchTimer.
void install_match_timer();

/// The calling thread's timer of CPU time. While it is armed, its end jumps to `landing` out of whatever runs; that must
/// therefore be code that holds no lock and owns no memory, as PCRE2's JIT code does (it works on the subject, the JIT
/// stack and the match data, all of which the caller owns).
class MatchTimer {
 public:
  MatchTimer();
  ~MatchTimer();
  MatchTimer(const MatchTimer&) = delete;
  MatchTimer& operator=(const MatchTimer&) = delete;

  [[nodiscard]] bool usable() const noexcept { return usable_; }
  void arm(std::chrono::nanoseconds cpu) noexcept;
  void disarm() noexcept;

  sigjmp_buf landing;

 private:
  bool usable_ = false;
  timer_t timer_{};
};

}  // namespace gatehouse::waf
