// The pool: turns, bounds, where a coroutine goes on.
#include "gateway/runtime/work_pool.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <latch>
#include <string>
#include <thread>

namespace gatehouse::runtime {
namespace {

using Lane = WorkPool::Lane;

constexpr char tenant_a = 'a';
constexpr char tenant_b = 'b';

// A pool whose lanes have one thread each, and a loop. Jobs write their names down in the order in which they run.
class WorkPoolTest : public testing::Test {
 protected:
  struct Work {
    WorkPoolTest& test;
    char name;
  };

  Task<void> do_work(Lane lane, WorkPool::Owner owner, char name) {
    Work work{*this, name};
    WorkPool::Job job(
        pool_, loop_, lane, owner,
        [](void* context) noexcept {
          auto* const self = static_cast<Work*>(context);
          self->test.ran_ += self->name;
        },
        &work);
    const bool ran = co_await job;
    EXPECT_EQ(std::this_thread::get_id(), loop_thread_);
    if (!ran) refused_ += name;
    ended();
  }

  // Holds the lane's thread until release().
  Task<void> hold(Lane lane, WorkPool::Owner owner) {
    WorkPool::Job job(
        pool_, loop_, lane, owner,
        [](void* context) noexcept {
          auto* const self = static_cast<WorkPoolTest*>(context);
          self->held_.count_down();
          self->release_.wait();
        },
        this);
    EXPECT_TRUE(co_await job);
    ended();
  }

  Task<void> ask_priority(int& priority) {
    WorkPool::Job job(
        pool_, loop_, Lane::light, {&tenant_a, 1},
        [](void* context) noexcept {
          *static_cast<int*>(context) = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)));
        },
        &priority);
    EXPECT_TRUE(co_await job);
    ended();
  }

  void start(Lane lane, const char* tenant, std::uint64_t client, char name) {
    ++expected_;
    loop_.spawn(do_work(lane, {tenant, client}, name));
  }
  void start_holding(Lane lane, const char* tenant) {
    ++expected_;
    loop_.spawn(hold(lane, {tenant, 1}));
    held_.wait();
  }
  void release() { release_.count_down(); }
  void ended() {
    if (--expected_ == 0) loop_.stop();
  }
  void run() { loop_.run(); }

  static constexpr WorkPool::LaneSize size{
      .threads = 1, .waiting = 5, .waiting_of_group = 4, .waiting_of_member = 2, .running_of_group = 1};
  Loop loop_;
  std::thread::id loop_thread_ = std::this_thread::get_id();
  std::latch held_{1};
  std::latch release_{1};
  std::string ran_;  // written by one thread at a time: each lane has one, and tests use one lane
  std::string refused_;
  int expected_ = 0;
  WorkPool pool_{{size, size}};
};

TEST_F(WorkPoolTest, GoesOnOnTheLoop) {
  start(Lane::light, &tenant_a, 1, 'x');
  run();
  EXPECT_EQ(ran_, "x");
  EXPECT_EQ(pool_.figures(Lane::light).done, 1U);
  EXPECT_EQ(pool_.figures(Lane::light).waiting, 0U);
}

TEST_F(WorkPoolTest, GivesTurnsToTenantsAndTheirClients) {
  start_holding(Lane::heavy, &tenant_a);
  start(Lane::heavy, &tenant_a, 1, 'p');
  start(Lane::heavy, &tenant_a, 1, 'q');
  start(Lane::heavy, &tenant_a, 2, 'r');
  start(Lane::heavy, &tenant_b, 1, 's');
  release();
  run();
  EXPECT_EQ(ran_, "psrq");
}

TEST_F(WorkPoolTest, RefusesAClientBeyondItsShare) {
  start_holding(Lane::heavy, &tenant_a);
  start(Lane::heavy, &tenant_a, 1, 'p');
  start(Lane::heavy, &tenant_a, 1, 'q');
  start(Lane::heavy, &tenant_a, 1, 'r');
  start(Lane::heavy, &tenant_a, 2, 's');
  release();
  run();
  EXPECT_EQ(ran_, "psq");
  EXPECT_EQ(refused_, "r");
  EXPECT_EQ(pool_.figures(Lane::heavy).refused, 1U);
}

TEST_F(WorkPoolTest, RefusesATenantBeyondItsShare) {
  start_holding(Lane::heavy, &tenant_a);
  for (const char name : {'1', '2', '3', '4', '5'})
    start(Lane::heavy, &tenant_a, static_cast<std::uint64_t>(name), name);
  start(Lane::heavy, &tenant_b, 1, 'b');
  release();
  run();
  EXPECT_EQ(refused_, "5");
  EXPECT_EQ(ran_, "1b234");
}

TEST_F(WorkPoolTest, RefusesBeyondWhatTheLaneHolds) {
  start_holding(Lane::heavy, &tenant_a);
  for (const char name : {'1', '2', '3', '4'}) start(Lane::heavy, &tenant_a, static_cast<std::uint64_t>(name), name);
  start(Lane::heavy, &tenant_b, 1, 'b');
  start(Lane::heavy, &tenant_b, 2, 'c');
  release();
  run();
  EXPECT_EQ(refused_, "c");
}

TEST_F(WorkPoolTest, LanesDoNotWaitForEachOther) {
  start_holding(Lane::heavy, &tenant_a);
  ++expected_;  // the loop must not stop before the light job is done
  start(Lane::light, &tenant_a, 1, 'x');
  std::thread watcher([this] {
    while (pool_.figures(Lane::light).done == 0) std::this_thread::yield();
    release();
    loop_.post([this] { ended(); });
  });
  run();
  watcher.join();
  EXPECT_EQ(ran_, "x");
}

TEST_F(WorkPoolTest, RunsBelowTheLoopsPriority) {
  int priority = 0;
  ++expected_;
  loop_.spawn(ask_priority(priority));
  run();
  EXPECT_EQ(priority, ::getpriority(PRIO_PROCESS, 0) + 10);
}

TEST(WorkPoolSizes, LeaveProcessorsToTheLoops) {
  const auto small = WorkPool::sizes_for(1);
  EXPECT_EQ(small[0].threads, 1U);
  EXPECT_EQ(small[1].threads, 1U);
  EXPECT_EQ(small[1].running_of_group, 1U);
  const auto large = WorkPool::sizes_for(16);
  EXPECT_EQ(large[0].threads, 8U);
  EXPECT_EQ(large[1].threads, 4U);
  EXPECT_EQ(large[1].running_of_group, 3U) << "one tenant must leave a thread to the others";
}

}  // namespace
}  // namespace gatehouse::runtime
