// A timer that jumps; see match_timer.hpp.
#include "waf/match_timer.hpp"

#include <csignal>
#include <ctime>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace gatehouse::waf {

namespace {

// The armed timer of this thread; what the handler may touch. A store to it is seen by a signal on the same thread.
thread_local MatchTimer* volatile armed = nullptr;

int timer_signal() noexcept { return SIGRTMIN + 4; }

void on_timer(int) {
  MatchTimer* const timer = armed;
  if (timer == nullptr) return;  // it was disarmed while the signal was on its way
  armed = nullptr;
  siglongjmp(timer->landing, 1);
}

}  // namespace

void install_match_timer() {
  struct sigaction action{};
  action.sa_handler = on_timer;
  // NODEFER: the handler is left by a jump, which restores no signal mask.
  action.sa_flags = SA_NODEFER | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(timer_signal(), &action, nullptr);
}

MatchTimer::MatchTimer() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = timer_signal();
  event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
  usable_ = ::timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
}

MatchTimer::~MatchTimer() {
  if (usable_) ::timer_delete(timer_);
}

void MatchTimer::arm(std::chrono::nanoseconds cpu) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t left = std::max<std::int64_t>(cpu.count(), 1);
  const itimerspec when{{0, 0}, {left / second, left % second}};
  armed = this;
  ::timer_settime(timer_, 0, &when, nullptr);
}

void MatchTimer::disarm() noexcept {
  armed = nullptr;
  const itimerspec never{};
  ::timer_settime(timer_, 0, &never, nullptr);
}

}  // namespace gatehouse::waf
