#include "waf/library.hpp"

#include <vector>

namespace gatehouse::waf {
namespace {

// Objects of threads that have ended; static storage that is never destroyed, since threads may outlive main's end.
struct Pool {
  std::mutex mutex;
  std::vector<modsecurity::ModSecurity*> all;   // keeps every object reachable
  std::vector<modsecurity::ModSecurity*> idle;
};

Pool& pool() {
  static auto* const instance = new Pool;
  return *instance;
}

// Rule hits are harvested from the transaction; without a callback the library would print them to stderr.
void ignore_hit(void*, const void*) {}

struct Lease {
  modsecurity::ModSecurity* object;

  Lease() {
    Pool& shared = pool();
    {
      const std::lock_guard lock(shared.mutex);
      if (!shared.idle.empty()) {
        object = shared.idle.back();
        shared.idle.pop_back();
        return;
      }
    }
    // The constructor initialises libxml2 and curl, which is not thread-safe, and so shares the parser's lock.
    const std::lock_guard parsing(parse_mutex());
    object = new modsecurity::ModSecurity;
    object->setServerLogCb(ignore_hit, modsecurity::RuleMessageLogProperty);
    const std::lock_guard lock(shared.mutex);
    shared.all.push_back(object);
  }
  ~Lease() {
    Pool& shared = pool();
    const std::lock_guard lock(shared.mutex);
    shared.idle.push_back(object);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
};

}  // namespace

std::mutex& parse_mutex() noexcept {
  static std::mutex mutex;  // of trivial destruction: threads may outlive main
  return mutex;
}

modsecurity::ModSecurity& thread_library() {
  static thread_local Lease lease;
  return *lease.object;
}

}  // namespace gatehouse::waf
