// What one coroutine waits for until another one, or a callback on the same loop, says that it has happened.
#pragma once

#include <coroutine>
#include <utility>

#include "gateway/runtime/loop.hpp"

namespace gatehouse::runtime {

/// Set before it is awaited, it does not suspend; each await takes one setting. One waiter at a time.
class Event {
 public:
  explicit Event(Loop& loop) noexcept : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set() {
    if (waiting_)
      loop_.schedule(std::exchange(waiting_, {}));
    else
      set_ = true;
  }
  void clear() noexcept { set_ = false; }
  [[nodiscard]] bool is_awaited() const noexcept { return static_cast<bool>(waiting_); }

  auto operator co_await() noexcept {
    struct Awaiter {
      Event& event;
      bool await_ready() const noexcept { return std::exchange(event.set_, false); }
      void await_suspend(std::coroutine_handle<> awaiting) const noexcept { event.waiting_ = awaiting; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  Loop& loop_;
  std::coroutine_handle<> waiting_;
  bool set_ = false;
};

}  // namespace gatehouse::runtime
