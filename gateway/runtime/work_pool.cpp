// Lanes, turns and threads; see work_pool.hpp.
#include "gateway/runtime/work_pool.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace gatehouse::runtime {

namespace {

constexpr int niceness = 10;  // a tenth of a loop's share when both want the processor

}  // namespace

std::array<WorkPool::LaneSize, WorkPool::lane_count> WorkPool::sizes_for(std::size_t processors) noexcept {
  const auto lane = [](std::size_t threads) {
    LaneSize size;
    size.threads = static_cast<unsigned>(std::max<std::size_t>(threads, 1));
    size.running_of_group = std::max(1U, size.threads - 1);
    return size;
  };
  return {lane(processors / 2), lane(processors / 4)};
}

WorkPool::WorkPool(const std::array<LaneSize, lane_count>& sizes) {
  for (std::size_t i = 0; i < lane_count; ++i) {
    LaneState& lane = lanes_[i];
    lane.size = sizes[i];
    for (unsigned thread = 0; thread < lane.size.threads; ++thread) threads_.emplace_back([&lane] { work(lane); });
  }
}

WorkPool::~WorkPool() {
  for (LaneState& lane : lanes_) {
    const std::lock_guard lock(lane.mutex);
    lane.closing = true;
    lane.ready.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

WorkPool::Figures WorkPool::figures(Lane which) const {
  const LaneState& lane = lanes_[static_cast<std::size_t>(which)];
  const std::lock_guard lock(lane.mutex);
  return {lane.waiting, lane.done, lane.refused};
}

bool WorkPool::submit(Job& job) {
  LaneState& lane = lanes_[static_cast<std::size_t>(job.lane_)];
  {
    const std::lock_guard lock(lane.mutex);
    auto group = std::ranges::find(lane.groups, job.owner_.group, &Group::id);
    const bool new_group = group == lane.groups.end();
    if (lane.waiting >= lane.size.waiting || (!new_group && group->waiting >= lane.size.waiting_of_group)) {
      ++lane.refused;
      return false;
    }
    if (new_group) group = lane.groups.insert(lane.groups.end(), Group{job.owner_.group, {}});
    auto member = std::ranges::find(group->members, job.owner_.member, &Member::id);
    if (member == group->members.end()) {
      group->members.push_back({job.owner_.member, &job, &job, 1});
    } else if (member->waiting >= lane.size.waiting_of_member) {
      ++lane.refused;
      return false;
    } else {
      member->last->next_ = &job;
      member->last = &job;
      ++member->waiting;
    }
    ++group->waiting;
    ++lane.waiting;
  }
  lane.ready.notify_one();
  return true;
}

// The next job, or null when there is none whose group may have another thread.
WorkPool::Job* WorkPool::take_turn(LaneState& lane) {
  const auto group = std::ranges::find_if(lane.groups, [&](const Group& candidate) {
    return candidate.waiting > 0 && candidate.running < lane.size.running_of_group;
  });
  if (group == lane.groups.end()) return nullptr;
  Member member = group->members.front();
  group->members.pop_front();
  Job* const job = member.first;
  member.first = job->next_;
  if (--member.waiting > 0) group->members.push_back(member);
  --group->waiting;
  ++group->running;
  --lane.waiting;
  std::rotate(group, group + 1, lane.groups.end());
  return job;
}

void WorkPool::finish(LaneState& lane, const void* group_id) {
  ++lane.done;
  const auto group = std::ranges::find(lane.groups, group_id, &Group::id);
  --group->running;
  if (group->waiting > 0) {
    lane.ready.notify_one();  // it may have been passed over while it had its threads
  } else if (group->running == 0) {
    lane.groups.erase(group);
  }
}

void WorkPool::work(LaneState& lane) {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), niceness);
  std::unique_lock lock(lane.mutex);
  for (;;) {
    Job* job = nullptr;
    lane.ready.wait(lock, [&] { return lane.closing || (job = take_turn(lane)) != nullptr; });
    if (lane.closing) return;
    lock.unlock();
    job->function_(job->context_);
    lock.lock();
    finish(lane, job->owner_.group);
    lock.unlock();
    // Once its loop has it, the job is gone.
    Loop& loop = job->loop_;
    loop.post([&loop, awaiting = job->awaiting_] { loop.schedule(awaiting); });
    lock.lock();
  }
}

}  // namespace gatehouse::runtime
