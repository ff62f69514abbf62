// Threads for work that would hold a loop up: below the loops' priority, in two lanes, fair between those who ask.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "gateway/runtime/loop.hpp"

namespace gatehouse::runtime {

/// Work is taken in turns: of groups (tenants), within a group of members (clients), within a member in order. Whoever
/// asks for much waits longer himself; nobody else does, as far as there is a free thread.
class WorkPool {
 public:
  enum class Lane : std::uint8_t { light, heavy };
  static constexpr std::size_t lane_count = 2;

  struct LaneSize {
    unsigned threads = 1;
    std::size_t waiting = 512;           // jobs of all
    std::size_t waiting_of_group = 128;
    std::size_t waiting_of_member = 32;
    unsigned running_of_group = 1;       // threads that one group has at most
  };
  /// What a machine of so many processors gives: half of its threads for light work, a quarter for heavy work.
  [[nodiscard]] static std::array<LaneSize, lane_count> sizes_for(std::size_t processors) noexcept;

  struct Owner {
    const void* group = nullptr;
    std::uint64_t member = 0;
  };

  /// One piece of work; lives in the frame of the coroutine that awaits it and must not be destroyed before it is done.
  /// `co_await job` yields false when the lane is full: then nothing ran.
  class Job {
   public:
    using Function = void (*)(void* context) noexcept;
    Job(WorkPool& pool, Loop& loop, Lane lane, Owner owner, Function function, void* context) noexcept
        : pool_(pool), loop_(loop), lane_(lane), owner_(owner), function_(function), context_(context) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) {
      awaiting_ = awaiting;
      return accepted_ = pool_.submit(*this);
    }
    bool await_resume() const noexcept { return accepted_; }

   private:
    friend class WorkPool;
    WorkPool& pool_;
    Loop& loop_;
    Lane lane_;
    Owner owner_;
    Function function_;
    void* context_;
    std::coroutine_handle<> awaiting_;
    bool accepted_ = false;
    Job* next_ = nullptr;
  };

  struct Figures {
    std::size_t waiting = 0;
    std::uint64_t done = 0;
    std::uint64_t refused = 0;
  };

  explicit WorkPool(const std::array<LaneSize, lane_count>& sizes);
  /// Ends the threads after the jobs that are running; jobs that wait are never done.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  [[nodiscard]] Figures figures(Lane lane) const;

 private:
  struct Member {
    std::uint64_t id;
    Job* first;
    Job* last;
    std::size_t waiting;
  };
  struct Group {
    const void* id;
    std::deque<Member> members;  // in the order of their turns
    std::size_t waiting = 0;
    unsigned running = 0;
  };
  struct LaneState {
    LaneSize size;
    mutable std::mutex mutex;
    std::condition_variable ready;
    std::deque<Group> groups;  // in the order of their turns; those without work, waiting or running, are not kept
    std::size_t waiting = 0;
    std::uint64_t done = 0;
    std::uint64_t refused = 0;
    bool closing = false;
  };

  [[nodiscard]] bool submit(Job& job);
  static Job* take_turn(LaneState& lane);
  static void finish(LaneState& lane, const void* group);
  static void work(LaneState& lane);

  std::array<LaneState, lane_count> lanes_;
  std::vector<std::thread> threads_;
};

}  // namespace gatehouse::runtime
