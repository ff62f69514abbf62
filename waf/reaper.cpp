#include "waf/reaper.hpp"

#include <utility>

namespace gatehouse::waf {

Reaper::Reaper() : thread_([queue = queue_] { work(*queue); }) {}

Reaper::~Reaper() {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
  }
  queue_->changed.notify_all();
  thread_.join();
}

void Reaper::work(Queue& queue) {
  std::unique_lock lock(queue.mutex);
  while (true) {
    queue.changed.wait(lock, [&] { return queue.closed || !queue.waiting.empty(); });
    if (queue.waiting.empty()) return;
    std::vector<std::unique_ptr<const Policy>> batch = std::exchange(queue.waiting, {});
    queue.busy = true;
    lock.unlock();
    batch.clear();
    lock.lock();
    queue.busy = false;
    queue.changed.notify_all();
  }
}

std::shared_ptr<const Policy> Reaper::share(std::unique_ptr<const Policy> policy) {
  return {policy.release(), [queue = queue_](const Policy* last) {
            std::unique_ptr<const Policy> owned(last);
            {
              const std::lock_guard lock(queue->mutex);
              if (queue->closed) return;  // the engine is gone: destroyed here
              queue->waiting.push_back(std::move(owned));
            }
            queue->changed.notify_all();
          }};
}

void Reaper::drain() {
  std::unique_lock lock(queue_->mutex);
  queue_->changed.wait(lock, [&] { return queue_->waiting.empty() && !queue_->busy; });
}

}  // namespace gatehouse::waf
