// The event loop: tasks, deadlines, posted work, descriptors.
#include "gateway/runtime/loop.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>

namespace gatehouse::runtime {
namespace {

using namespace std::chrono_literals;

Task<int> answer() { co_return 42; }
Task<int> failing() {
  throw std::runtime_error("told to fail");
  co_return 0;
}

Task<void> await_answer(Loop& loop, int& result) {
  result = co_await answer();
  loop.stop();
}

TEST(Task, GivesItsValueToWhoAwaitsIt) {
  Loop loop;
  int result = 0;
  loop.spawn(await_answer(loop, result));
  loop.run();
  EXPECT_EQ(result, 42);
  EXPECT_EQ(loop.live_tasks(), 0U);
}

Task<void> catch_failure(Loop& loop, std::string& what) {
  try {
    (void)co_await failing();
  } catch (const std::runtime_error& error) {
    what = error.what();
  }
  loop.stop();
}

TEST(Task, CarriesAnExceptionToWhoAwaitsIt) {
  Loop loop;
  std::string what;
  loop.spawn(catch_failure(loop, what));
  loop.run();
  EXPECT_EQ(what, "told to fail");
}

Task<void> fail_alone() { (void)co_await failing(); }

TEST(Loop, ReportsWhatASpawnedTaskThrowsAndCountsItOut) {
  Loop loop;
  std::string reported;
  loop.on_task_failure = [&](const char* what) { reported = what; };
  loop.spawn(fail_alone());
  EXPECT_EQ(reported, "told to fail");
  EXPECT_EQ(loop.live_tasks(), 0U);
}

TEST(Loop, RunsPostedWorkFromAnotherThreadInOrder) {
  Loop loop;
  std::vector<int> order;
  std::thread poster([&] {
    for (int i = 0; i < 100; ++i) loop.post([&order, i] { order.push_back(i); });
    loop.post([&loop] { loop.stop(); });
  });
  loop.run();
  poster.join();
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(Loop, RunsWorkThatWasPostedBeforeTheStop) {
  Loop loop;
  bool ran = false;
  loop.stop();
  loop.post([&] { ran = true; });
  loop.run();
  EXPECT_TRUE(ran);
}

struct Fired {
  Loop& loop;
  std::vector<int>& order;
  int id;
  bool last;
  Deadline deadline{loop,
                    [](void* self) {
                      auto& fired = *static_cast<Fired*>(self);
                      fired.order.push_back(fired.id);
                      if (fired.last) fired.loop.stop();
                    },
                    this};
};

TEST(Deadline, FiresInOrderOfTimeAndNeverEarly) {
  Loop loop;
  std::vector<int> order;
  Fired late{loop, order, 3, true};
  Fired early{loop, order, 1, false};
  Fired middle{loop, order, 2, false};
  const TimePoint begin = Clock::now();
  late.deadline.set(begin + 40ms);
  early.deadline.set(begin + 8ms);
  middle.deadline.set(begin + 20ms);
  loop.run();
  EXPECT_GE(Clock::now() - begin, 40ms);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(late.deadline.is_set());
}

TEST(Deadline, MovesLaterAndEarlier) {
  Loop loop;
  std::vector<int> order;
  Fired moved_later{loop, order, 2, true};
  Fired moved_earlier{loop, order, 1, false};
  const TimePoint begin = Clock::now();
  moved_later.deadline.set(begin + 4ms);
  moved_later.deadline.set(begin + 40ms);
  moved_earlier.deadline.set(begin + 10s);
  moved_earlier.deadline.set(begin + 12ms);
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_GE(Clock::now() - begin, 40ms);
}

TEST(Deadline, FiresInOrderThoughTheLoopIsLate) {
  Loop loop;
  std::vector<int> order;
  Fired moved{loop, order, 2, true};
  Fired other{loop, order, 1, false};
  const TimePoint begin = Clock::now();
  moved.deadline.set(begin + 4ms);
  moved.deadline.set(begin + 40ms);
  other.deadline.set(begin + 12ms);
  std::this_thread::sleep_for(60ms);
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Deadline, DoesNotFireOnceCancelled) {
  Loop loop;
  std::vector<int> order;
  Fired cancelled{loop, order, 1, false};
  Fired last{loop, order, 2, true};
  cancelled.deadline.set_after(4ms);
  cancelled.deadline.cancel();
  last.deadline.set_after(20ms);
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{2}));
}

TEST(Deadline, BeyondOneTurnOfTheWheelWaitsForItsTurn) {
  // The wheel has 4096 slots of 4 ms; a deadline a whole turn ahead shares its slot with one that is due now.
  Loop loop;
  std::vector<int> order;
  Fired far{loop, order, 9, true};
  Fired near{loop, order, 1, true};
  const TimePoint begin = Clock::now();
  far.deadline.set(begin + 12ms + 4ms * 4096);
  near.deadline.set(begin + 12ms);
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1}));
  EXPECT_TRUE(far.deadline.is_set());
}

Task<void> sleep_and_stop(Loop& loop, Duration& slept) {
  const TimePoint begin = Clock::now();
  co_await loop.sleep(12ms);
  slept = Clock::now() - begin;
  loop.stop();
}

TEST(Loop, SleepsAtLeastAsLongAsAsked) {
  Loop loop;
  Duration slept{};
  loop.spawn(sleep_and_stop(loop, slept));
  loop.run();
  EXPECT_GE(slept, 8ms);  // the turn's time is that of its begin
}

Task<void> count_turns(Loop& loop, std::vector<char>& order, char name, int turns) {
  for (int i = 0; i < turns; ++i) {
    order.push_back(name);
    co_await loop.yield();
  }
  if (name == 'b') loop.stop();
}

TEST(Loop, YieldLetsOthersHaveTheirTurn) {
  Loop loop;
  std::vector<char> order;
  loop.spawn(count_turns(loop, order, 'a', 3));
  loop.spawn(count_turns(loop, order, 'b', 3));
  loop.run();
  EXPECT_EQ(std::string(order.begin(), order.end()), "ababab");
}

// Yields in bulk twice, and holds the loop for `busy` each time.
Task<void> move_much(Loop& loop, std::string& order, char name, Duration busy, int& left) {
  for (int i = 0; i < 2; ++i) {
    co_await loop.yield_bulk();
    order.push_back(name);
    const TimePoint end = Clock::now() + busy;
    while (Clock::now() < end) {
    }
  }
  --left;
}

// Notes each turn until nobody is left, and ends the loop.
Task<void> note_turns(Loop& loop, std::string& order, const int& left) {
  while (left > 0) {
    order.push_back('-');
    co_await loop.yield();
  }
  loop.stop();
}

TEST(Loop, BulkGivesWayToWhatIsReadyAfterASliceOfTime) {
  Loop loop;
  std::string order;
  int left = 3;
  for (const char name : {'a', 'b', 'c'}) loop.spawn(move_much(loop, order, name, 3ms, left));
  loop.spawn(note_turns(loop, order, left));
  loop.run();
  EXPECT_EQ(order, "--a-b-c-a-b-c");  // each is longer than the slice: one a turn, in the order in which they came
}

TEST(Loop, BulkGoesOnInTheOrderInWhichItCame) {
  Loop loop;
  std::string order;
  int left = 3;
  for (const char name : {'a', 'b', 'c'}) loop.spawn(move_much(loop, order, name, 0ms, left));
  loop.spawn(note_turns(loop, order, left));
  loop.run();
  std::erase(order, '-');
  EXPECT_EQ(order, "abcabc");
}

struct ByteWaiter final : IoWaiter {
  explicit ByteWaiter(Descriptor& from) : descriptor(from) {}
  bool attempt() noexcept override { return ::read(descriptor.fd(), &byte, 1) == 1; }
  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) noexcept {
    coroutine = awaiting;
    descriptor.reader = this;
  }
  char await_resume() const noexcept { return failure == Errc::ok ? byte : '!'; }
  Descriptor& descriptor;
  char byte = 0;
};

Task<void> read_byte(Loop& loop, Descriptor& descriptor, char& byte) {
  byte = co_await ByteWaiter(descriptor);
  loop.stop();
}

TEST(Descriptor, ResumesAReaderWhenBytesCome) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  Descriptor descriptor(loop);
  ASSERT_TRUE(descriptor.adopt(pair[0]));
  char byte = 0;
  loop.spawn(read_byte(loop, descriptor, byte));
  loop.post([&] { ASSERT_EQ(::write(pair[1], "x", 1), 1); });
  loop.run();
  EXPECT_EQ(byte, 'x');
  ::close(pair[1]);
}

TEST(Descriptor, FailsAWaitingReaderWithoutClosing) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  Descriptor descriptor(loop);
  ASSERT_TRUE(descriptor.adopt(pair[0]));
  char byte = 0;
  loop.spawn(read_byte(loop, descriptor, byte));
  loop.post([&] { descriptor.fail_waiters(Errc::cancelled); });
  loop.run();
  EXPECT_EQ(byte, '!');
  EXPECT_TRUE(descriptor.is_open());
  ::close(pair[1]);
}

struct HangupNote {
  Loop& loop;
  bool called = false;
};

TEST(Descriptor, TellsThatThePeerLeftWhileNobodyReads) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  Descriptor descriptor(loop);
  ASSERT_TRUE(descriptor.adopt(pair[0]));
  HangupNote note{loop};
  descriptor.hangup_context = &note;
  descriptor.on_hangup = [](void* context) {
    auto& told = *static_cast<HangupNote*>(context);
    told.called = true;
    told.loop.stop();
  };
  loop.post([&] { ::close(pair[1]); });
  loop.run();
  EXPECT_TRUE(note.called);
  EXPECT_TRUE(descriptor.hung_up);
}

}  // namespace
}  // namespace gatehouse::runtime
