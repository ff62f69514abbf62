// Destroys policies on a thread of its own: freeing a set of rules takes milliseconds, which no worker has. Owned by
// waf/engine.cpp.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "waf/waf.hpp"

namespace gatehouse::waf {

class Reaper {
 public:
  Reaper();
  ~Reaper();  // destroys what waits; policies that are let go later are destroyed where that happens
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  /// A shared policy whose last owner hands it to the reaper.
  [[nodiscard]] std::shared_ptr<const Policy> share(std::unique_ptr<const Policy> policy);

  /// Waits until nothing waits to be destroyed; for tests.
  void drain();

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::unique_ptr<const Policy>> waiting;
    bool busy = false;
    bool closed = false;
  };
  static void work(Queue& queue);

  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();  // shared with the deleters
  std::thread thread_;
};

}  // namespace gatehouse::waf
