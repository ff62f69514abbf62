// One thread's event loop: epoll in edge-triggered mode, a deadline wheel, posted work, counted tasks.
//
// Why not a general library: a proxy's cost is its system calls. Here a descriptor is registered once for its life,
// a read that came back short is known to have drained its socket, and a wait never re-arms anything, so that a
// proxied request needs one epoll_wait, one read and one write on each side.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "gateway/runtime/error.hpp"
#include "gateway/runtime/task.hpp"

namespace gatehouse::runtime {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

class Loop;

/// Something that waits for a descriptor to become ready. It tries its operation itself when the descriptor is ready, and
/// is resumed only when the operation is finished.
class IoWaiter {
 public:
  /// Tries to finish the operation; false: would block, keep waiting.
  virtual bool attempt() noexcept = 0;

  std::coroutine_handle<> coroutine;
  Errc failure = Errc::ok;  // set when the descriptor failed instead

 protected:
  ~IoWaiter() = default;
};

/// A file descriptor that is registered with a loop, or none. Owned by a stream or listener; closes it.
class Descriptor {
 public:
  explicit Descriptor(Loop& loop) noexcept : loop_(loop) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  /// Takes over `fd` (non-blocking) and registers it edge-triggered for both directions. False: the kernel refused
  /// (ENOSPC, ENOMEM); `fd` is closed then.
  [[nodiscard]] bool adopt(int fd) noexcept;
  void close() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  [[nodiscard]] Loop& loop() const noexcept { return loop_; }

  /// Wakes whoever waits with `failure`. The descriptor itself stays usable.
  void fail_waiters(Errc failure) noexcept;

  // What epoll last said; an operation that would block clears its flag.
  bool readable = true;
  bool writable = true;
  bool hung_up = false;  // the peer closed its sending side, or the connection is gone

  IoWaiter* reader = nullptr;
  IoWaiter* writer = nullptr;

  /// Called when the peer hangs up while nobody reads; may be null.
  void (*on_hangup)(void* context) = nullptr;
  void* hangup_context = nullptr;

 private:
  friend class Loop;
  void ready(std::uint32_t events) noexcept;

  Loop& loop_;
  int fd_ = -1;
};

/// A point in time at which something is called, on the loop's wheel. Cheap to move: setting a later time is one store.
/// Granularity 4 ms; never early.
class Deadline {
 public:
  using Callback = void (*)(void* context);
  Deadline(Loop& loop, Callback callback, void* context) noexcept
      : loop_(loop), callback_(callback), context_(context) {}
  ~Deadline() { cancel(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void set(TimePoint when) noexcept;
  void set_after(Duration delay) noexcept;
  void cancel() noexcept;
  [[nodiscard]] bool is_set() const noexcept { return when_ != TimePoint::max(); }
  [[nodiscard]] TimePoint when() const noexcept { return when_; }

 private:
  friend class Loop;
  void unlink() noexcept;

  Loop& loop_;
  Callback callback_;
  void* context_;
  TimePoint when_ = TimePoint::max();
  Deadline* next_ = nullptr;
  Deadline** link_ = nullptr;  // what points to this one, while linked
  std::uint64_t tick_ = 0;  // the tick whose slot it is linked in
};

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until stop(), and may be called again. Call from the thread that owns the loop.
  void run();
  /// Whether run() is under way: posted work will be done. From any thread.
  [[nodiscard]] bool is_running() const noexcept { return running_.load(std::memory_order_acquire); }
  /// Ends run() after the current turn. From any thread.
  void stop() noexcept;

  /// Runs `work` on the loop's thread in a later turn. From any thread.
  void post(std::function<void()> work);

  /// Resumes `coroutine` in this turn, after what is running now. From the loop's thread.
  void schedule(std::coroutine_handle<> coroutine) { ready_.push_back(coroutine); }

  /// Starts a task that nobody awaits. It is counted until it ends; an exception that leaves it goes to `on_task_failure`.
  void spawn(Task<void> task);
  [[nodiscard]] std::size_t live_tasks() const noexcept { return live_tasks_; }
  std::function<void(const char* what)> on_task_failure;

  /// The time at which the current turn began; good for deadlines, not for measuring.
  [[nodiscard]] TimePoint now() const noexcept { return now_; }

  struct SleepAwaiter {
    Loop& loop;
    Duration duration;
    Deadline deadline;
    std::coroutine_handle<> coroutine;
    SleepAwaiter(Loop& owner, Duration delay) noexcept
        : loop(owner),
          duration(delay),
          deadline(
              owner,
              [](void* self) {
                auto* awaiter = static_cast<SleepAwaiter*>(self);
                awaiter->loop.schedule(awaiter->coroutine);
              },
              this) {}
    bool await_ready() const noexcept { return duration <= Duration::zero(); }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
      coroutine = awaiting;
      deadline.set_after(duration);
    }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] SleepAwaiter sleep(Duration duration) noexcept { return {*this, duration}; }

  struct YieldAwaiter {
    Loop& loop;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) const { loop.next_turn_.push_back(awaiting); }
    void await_resume() const noexcept {}
  };
  /// Lets every other ready descriptor have its turn first: for loops whose operations never block.
  [[nodiscard]] YieldAwaiter yield() noexcept { return {*this}; }

  struct BulkYieldAwaiter {
    Loop& loop;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) const { loop.bulk_.push_back(awaiting); }
    void await_resume() const noexcept {}
  };
  /// The same for who has moved a lot and has more to move. However many these are, together they hold up what becomes
  /// ready for a few milliseconds at a time; they go on in the order in which they came.
  [[nodiscard]] BulkYieldAwaiter yield_bulk() noexcept { return {*this}; }

  /// Room for one operation's bytes while it runs (TLS records on their way to the kernel); never across a suspension.
  [[nodiscard]] std::vector<char>& scratch() noexcept { return scratch_; }

 private:
  friend class Descriptor;
  friend class Deadline;

  static constexpr std::size_t slot_count = 4096;
  static constexpr auto tick_length = std::chrono::milliseconds(4);
  static constexpr int batch = 256;
  static constexpr auto bulk_slice = std::chrono::milliseconds(2);  // then descriptors are looked at

  [[nodiscard]] std::uint64_t tick_of(TimePoint when) const noexcept;
  [[nodiscard]] int wait_milliseconds() const noexcept;
  void link(Deadline& deadline) noexcept;
  void advance_wheel();
  void run_ready();
  void run_bulk();
  void run_posted();

  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> running_ = false;
  TimePoint start_;
  TimePoint now_;
  std::vector<std::coroutine_handle<>> ready_;
  std::size_t ready_next_ = 0;
  std::vector<std::coroutine_handle<>> next_turn_;
  std::deque<std::coroutine_handle<>> bulk_;
  std::vector<char> scratch_;
  std::size_t live_tasks_ = 0;

  epoll_event events_[batch];
  int event_next_ = 0;
  int event_count_ = 0;

  std::vector<Deadline*> slots_;
  std::vector<std::uint64_t> occupied_;  // a bit for each slot
  std::size_t linked_ = 0;
  std::uint64_t wheel_tick_ = 0;  // every tick up to this one has been handled

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace gatehouse::runtime
