// Measures what a rate limit's decision costs while Redis is gone and the breaker is open: the call that is refused and
// the bucket in memory that decides instead. Run by hand: bench_breaker_open [SECONDS [RATE]]
//
// Of each decision the time on the wall's clock, which has in it whatever the machine gave to others meanwhile, and the
// thread's own processor time, which has not.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/upstream/redis_client.hpp"
#include "ratelimit/memory_store.hpp"

using namespace gatehouse;
using namespace std::chrono_literals;
using runtime::Clock;

namespace {

constexpr std::uint16_t closed_port = 9;  // discard: nobody listens

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void print(const char* what, std::vector<double>& seconds) {
  std::ranges::sort(seconds);
  const auto at = [&](double share) {
    return seconds[static_cast<std::size_t>(share * static_cast<double>(seconds.size() - 1))] * 1e6;
  };
  fmt::print("{:16} p50 {:8.3f} us   p99 {:8.3f} us   p99.9 {:8.3f} us   most {:8.3f} us\n", what, at(.5), at(.99),
             at(.999), at(1));
}

runtime::Task<void> measure(runtime::Loop& loop, upstream::RedisClient& client, std::chrono::seconds time,
                            double rate) {
  ratelimit::MemoryStore memory;
  const std::vector<ratelimit::BucketRequest> requests{
      {"gatehouse:{shop}:login:client", {.capacity = 20, .tokens = 200, .period = 1s}}};
  std::vector<ratelimit::Decision> decisions(1);
  while (!client.refuses_calls()) {
    (void)co_await client.take(requests, {}, decisions);
    co_await loop.sleep(1ms);
  }
  std::vector<double> wall;
  std::vector<double> own;
  std::size_t waited = 0;
  const auto pause = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate));
  auto due = Clock::now();
  for (const auto end = due + time; due < end; due += pause) {
    if (const auto now = Clock::now(); due > now) co_await loop.sleep(due - now);
    waited += client.refuses_calls() ? 0 : 1;
    const auto begin = Clock::now();
    const double used = thread_seconds();
    if (!(co_await client.take(requests, {}, decisions)).decided) {
      const auto now = std::chrono::duration_cast<ratelimit::Microseconds>(Clock::now().time_since_epoch());
      memory.take_all(requests, now, decisions, true);
    }
    own.push_back(thread_seconds() - used);
    wall.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  fmt::print("{} decisions at {:.0f}/s, {} of them while the breaker tried whether Redis is back\n", wall.size(), rate,
             waited);
  print("wall's clock", wall);
  print("processor time", own);
  client.stop();
  while (!client.is_stopped()) co_await loop.sleep(1ms);
  loop.stop();
}

}  // namespace

int main(int argc, char** argv) {
  const std::chrono::seconds time(argc > 1 ? std::atoi(argv[1]) : 8);
  const double rate = argc > 2 ? std::atof(argv[2]) : 2000;
  runtime::Loop loop;
  runtime::Metrics metrics(1);
  upstream::RedisTrouble trouble;
  upstream::RedisClient client(loop, {.url = "redis://127.0.0.1", .host = "127.0.0.1", .port = closed_port}, metrics,
                               "bench", trouble);
  loop.spawn(measure(loop, client, time, rate));
  loop.run();
}
