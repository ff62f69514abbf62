// gateway/upstream/redis_client.hpp: what it says in the journal. The rest is tested against a real Redis.
#include "gateway/upstream/redis_client.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/runtime/log.hpp"

namespace gatehouse::upstream {
namespace {

using namespace std::chrono_literals;
using runtime::Task;

/// A port of this machine's on which nobody listens, nor will while this lives.
class DeadPort {
 public:
  DeadPort() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    number_ = ntohs(address.sin_port);
  }
  ~DeadPort() { ::close(fd_); }
  DeadPort(const DeadPort&) = delete;
  DeadPort& operator=(const DeadPort&) = delete;

  [[nodiscard]] config::Redis redis() const {
    return {.url = fmt::format("redis://127.0.0.1:{}", number_), .host = "127.0.0.1", .port = number_};
  }

 private:
  int fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t number_ = 0;
};

class RedisClientJournal : public ::testing::Test {
 protected:
  RedisClientJournal() : file_(std::in_place, path_) { runtime::set_journal_file(&*file_); }
  ~RedisClientJournal() override {
    runtime::set_journal_file(nullptr);
    file_.reset();
    std::filesystem::remove(path_);
  }

  /// What it holds by now; the end of it.
  std::string journal() {
    runtime::set_journal_file(nullptr);
    file_.reset();
    std::ifstream in{path_};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

  static int times(std::string_view text, std::string_view what) {
    int count = 0;
    for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++count;
    return count;
  }

  runtime::Loop loop;
  runtime::Metrics metrics{1};
  RedisTrouble trouble;

 private:
  std::string path_ = fmt::format("{}redis_client.{}.log", ::testing::TempDir(), ::getpid());
  std::optional<runtime::LogFile> file_;
};

Task<void> move_on(runtime::Loop& loop, RedisClient& client, config::Redis next) {
  while (!client.refuses_calls()) co_await loop.sleep(1ms);
  client.reconfigure(std::move(next));
  co_await loop.sleep(100ms);  // to this machine: a connection is refused at once
  client.stop();
  while (!client.is_stopped()) co_await loop.sleep(1ms);
  loop.stop();
}

TEST_F(RedisClientJournal, NamesTheOtherRedisThatIsUnreachableToo) {
  const DeadPort one;
  const DeadPort other;
  RedisClient client(loop, one.redis(), metrics, "me", trouble);
  loop.spawn(move_on(loop, client, other.redis()));
  loop.run();
  const std::string lines = journal();
  EXPECT_EQ(times(lines, "Redis is unreachable"), 2) << lines;
  EXPECT_EQ(times(lines, one.redis().url), 1) << lines;
  EXPECT_EQ(times(lines, other.redis().url), 1) << lines;
}

TEST_F(RedisClientJournal, IsQuietAboutTheSameRedisWithOtherSettings) {
  const DeadPort one;
  config::Redis next = one.redis();
  next.username = "gate";
  RedisClient client(loop, one.redis(), metrics, "me", trouble);
  loop.spawn(move_on(loop, client, next));
  loop.run();
  const std::string lines = journal();
  EXPECT_EQ(times(lines, "Redis is unreachable"), 1) << lines;
}

}  // namespace
}  // namespace gatehouse::upstream
