// The event loop; see loop.hpp.
#include "gateway/runtime/loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <system_error>

namespace gatehouse::runtime {

const char* error_text(Errc code) noexcept {
  switch (code) {
    case Errc::ok: return "ok";
    case Errc::end_of_stream: return "the peer closed the connection";
    case Errc::truncated: return "the peer ended the connection, but not TLS";
    case Errc::reset: return "the connection was reset";
    case Errc::timed_out: return "a deadline passed";
    case Errc::cancelled: return "cancelled";
    case Errc::tls: return "TLS failed";
    case Errc::tls_verify: return "the peer's certificate was not accepted";
    case Errc::refused: return "the connection was refused";
    case Errc::connect: return "no connection";
    case Errc::malformed: return "malformed message";
    case Errc::too_large: return "message too large";
    case Errc::too_slow: return "the peer was too slow";
    case Errc::exhausted: return "a resource is exhausted";
  }
  return "unknown";
}

// --- Descriptor

bool Descriptor::adopt(int fd) noexcept {
  close();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = this;
  if (::epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    ::close(fd);
    return false;
  }
  fd_ = fd;
  readable = writable = true;  // unknown yet: the first attempt tells
  hung_up = false;
  return true;
}

void Descriptor::close() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);  // leaves the epoll set with it: the descriptor is never duplicated
  fd_ = -1;
  for (int i = loop_.event_next_; i < loop_.event_count_; ++i)
    if (loop_.events_[i].data.ptr == this) loop_.events_[i].data.ptr = nullptr;
}

void Descriptor::fail_waiters(Errc failure) noexcept {
  IoWaiter* const waiting_reader = std::exchange(reader, nullptr);
  IoWaiter* const waiting_writer = std::exchange(writer, nullptr);
  if (waiting_reader != nullptr) {
    waiting_reader->failure = failure;
    loop_.schedule(waiting_reader->coroutine);
  }
  if (waiting_writer != nullptr && waiting_writer != waiting_reader) {
    waiting_writer->failure = failure;
    loop_.schedule(waiting_writer->coroutine);
  }
}

void Descriptor::ready(std::uint32_t events) noexcept {
  const bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLIN) != 0 || ended) readable = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable = true;
  if (ended) hung_up = true;

  IoWaiter* const waiting_reader = reader;
  if (readable && waiting_reader != nullptr && waiting_reader->attempt()) {
    if (writer == waiting_reader) writer = nullptr;
    reader = nullptr;
    loop_.schedule(waiting_reader->coroutine);
  }
  IoWaiter* const waiting_writer = writer;
  if (writable && waiting_writer != nullptr && waiting_writer->attempt()) {
    if (reader == waiting_writer) reader = nullptr;
    writer = nullptr;
    loop_.schedule(waiting_writer->coroutine);
  }
  if (ended && waiting_reader == nullptr && on_hangup != nullptr) on_hangup(hangup_context);
}

// --- Deadline

void Deadline::unlink() noexcept {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  next_ = nullptr;
  link_ = nullptr;
  --loop_.linked_;
}

void Deadline::cancel() noexcept {
  when_ = TimePoint::max();
  unlink();
}

void Deadline::set(TimePoint when) noexcept {
  when_ = when;
  // Linked in an earlier slot: the wheel finds it there, sees the later time and moves it.
  if (link_ != nullptr && tick_ <= loop_.tick_of(when)) return;
  unlink();
  loop_.link(*this);
}

void Deadline::set_after(Duration delay) noexcept { set(loop_.now() + delay); }

// --- Loop

Loop::Loop() : start_(Clock::now()), now_(start_), slots_(slot_count, nullptr), occupied_(slot_count / 64, 0) {
  epoll_fd_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = &wake_fd_;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

Loop::~Loop() {
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

void Loop::stop() noexcept {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void Loop::post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (!first) return;  // the loop has been woken for an earlier one and has not looked yet
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) {
    item();
    run_ready();
  }
}

void Loop::run_ready() {
  while (ready_next_ < ready_.size()) {
    const auto coroutine = ready_[ready_next_++];
    coroutine.resume();
  }
  ready_.clear();
  ready_next_ = 0;
}

// In the order in which they came, until the slice is over: who yields again is behind the others.
void Loop::run_bulk() {
  const TimePoint end = Clock::now() + bulk_slice;
  do {
    const auto coroutine = bulk_.front();
    bulk_.pop_front();
    coroutine.resume();
    run_ready();
  } while (!bulk_.empty() && Clock::now() < end);
}

namespace {

// The frame of a spawned task: starts at once, frees itself at its end.
struct Spawned {
  struct promise_type {
    Spawned get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }  // all is caught inside
  };
};

Spawned run_spawned(Task<void> task, std::size_t& live_tasks, std::function<void(const char*)>& on_failure) {
  try {
    co_await std::move(task);
  } catch (const std::exception& failure) {
    if (on_failure) on_failure(failure.what());
  } catch (...) {
    if (on_failure) on_failure("unknown exception");
  }
  --live_tasks;
}

}  // namespace

void Loop::spawn(Task<void> task) {
  ++live_tasks_;
  run_spawned(std::move(task), live_tasks_, on_task_failure);
}

std::uint64_t Loop::tick_of(TimePoint when) const noexcept {
  if (when <= start_) return 0;
  const auto ticks = (when - start_ + tick_length - Duration(1)) / tick_length;  // rounded up: never early
  return static_cast<std::uint64_t>(ticks);
}

void Loop::link(Deadline& deadline) noexcept {
  std::uint64_t tick = tick_of(deadline.when_);
  if (tick <= wheel_tick_) tick = wheel_tick_ + 1;
  deadline.tick_ = tick;
  const std::size_t slot = tick % slot_count;
  deadline.next_ = slots_[slot];
  if (deadline.next_ != nullptr) deadline.next_->link_ = &deadline.next_;
  slots_[slot] = &deadline;
  deadline.link_ = &slots_[slot];
  occupied_[slot / 64] |= std::uint64_t{1} << (slot % 64);
  ++linked_;
}

int Loop::wait_milliseconds() const noexcept {
  if (linked_ == 0) return -1;
  // The next slot that has anything, looking forward from the first unhandled tick.
  const std::size_t first = (wheel_tick_ + 1) % slot_count;
  std::size_t ahead = slot_count;
  for (std::size_t word = 0; word <= occupied_.size(); ++word) {
    const std::size_t index = (first / 64 + word) % occupied_.size();
    std::uint64_t bits = occupied_[index];
    if (word == 0) bits &= ~std::uint64_t{0} << (first % 64);
    if (bits == 0) continue;
    const std::size_t slot = index * 64 + static_cast<std::size_t>(std::countr_zero(bits));
    ahead = (slot + slot_count - first) % slot_count;
    break;
  }
  const TimePoint due = start_ + tick_length * static_cast<std::int64_t>(wheel_tick_ + 1 + ahead);
  if (due <= now_) return 0;
  return static_cast<int>((due - now_ + std::chrono::milliseconds(1) - Duration(1)) / std::chrono::milliseconds(1));
}

void Loop::advance_wheel() {
  const auto target = static_cast<std::uint64_t>((now_ - start_) / tick_length);
  if (target <= wheel_tick_) return;
  if (linked_ == 0) {
    wheel_tick_ = target;
    return;
  }
  // After a long sleep each slot needs one look only.
  if (target - wheel_tick_ > slot_count) wheel_tick_ = target - slot_count;
  while (wheel_tick_ < target) {
    const std::uint64_t tick = ++wheel_tick_;
    const std::size_t slot = tick % slot_count;
    std::uint64_t& word = occupied_[slot / 64];
    const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
    if ((word & bit) == 0) continue;
    word &= ~bit;
    // Take the whole chain; callbacks may cancel or set any deadline, those of this chain included.
    Deadline* chain = slots_[slot];
    slots_[slot] = nullptr;
    if (chain != nullptr) chain->link_ = &chain;
    while (chain != nullptr) {
      Deadline& deadline = *chain;
      deadline.unlink();  // moves `chain` on
      // Moved to a later time; where the loop is late, that may be in this turn, behind others.
      if (deadline.when_ > now_ || tick_of(deadline.when_) > tick) {
        link(deadline);
        continue;
      }
      deadline.when_ = TimePoint::max();
      deadline.callback_(deadline.context_);
    }
    run_ready();
  }
}

void Loop::run() {
  running_.store(true, std::memory_order_release);
  while (!stopping_.load(std::memory_order_acquire)) {
    event_count_ = 0;
    event_next_ = 0;
    const int count =
        ::epoll_wait(epoll_fd_, events_, batch, next_turn_.empty() && bulk_.empty() ? wait_milliseconds() : 0);
    now_ = Clock::now();
    event_count_ = count > 0 ? count : 0;
    while (event_next_ < event_count_) {
      const epoll_event& event = events_[event_next_++];
      if (event.data.ptr == nullptr) continue;
      if (event.data.ptr == &wake_fd_) {
        std::uint64_t counter = 0;
        [[maybe_unused]] const auto got = ::read(wake_fd_, &counter, sizeof counter);
        run_posted();
        continue;
      }
      static_cast<Descriptor*>(event.data.ptr)->ready(event.events);
      run_ready();
    }
    advance_wheel();
    if (!next_turn_.empty()) {
      ready_.swap(next_turn_);
      run_ready();
    }
    if (!bulk_.empty()) run_bulk();
  }
  running_.store(false, std::memory_order_release);
  stopping_.store(false, std::memory_order_release);
  run_posted();
}

}  // namespace gatehouse::runtime
