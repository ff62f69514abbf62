// A redis-server of the test's own, on a Unix socket in a temporary directory and if wanted on a port of loopback, and
// a blocking client that speaks through our own framing. Called by redis_script.cpp and
// ../redis_client/redis_client.cpp.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ratelimit/resp.hpp"

namespace gatehouse::tests {

class RedisProcess {
 public:
  /// `options` as on redis-server's command line. Does not wait for the server to be ready.
  explicit RedisProcess(std::vector<std::string> options = {"--port", "0"}) : options_(std::move(options)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "gatehouse-redis-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = pattern;
    socket_ = (directory_ / "s").string();
    start();
  }

  ~RedisProcess() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  void start() {
    std::vector<std::string> words{REDIS_SERVER,   "--unixsocket", socket_, "--save",           "",
                                   "--appendonly", "no",           "--dir", directory_.string()};
    words.insert(words.end(), options_.begin(), options_.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int null = ::open("/dev/null", O_RDWR);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execv(REDIS_SERVER, arguments.data());
      ::_exit(127);
    }
    if (pid_ < 0) throw std::runtime_error("fork");
  }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    std::error_code ignored;
    std::filesystem::remove(socket_, ignored);  // so that connect() waits for the next one
  }

  /// Stops or continues the server's process: a hang.
  void signal(int number) const { ::kill(pid_, number); }

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  /// A connected socket; waits for the server to listen.
  [[nodiscard]] int connect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    for (int attempt = 0; attempt < 1000; ++attempt) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
      ::close(fd);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // until it listens, not for a time
    }
    throw std::runtime_error("redis-server does not listen");
  }

 private:
  std::vector<std::string> options_;
  std::filesystem::path directory_;
  std::string socket_;
  pid_t pid_ = -1;
};

class RedisConnection {
 public:
  explicit RedisConnection(const RedisProcess& server) : fd_(server.connect()) {}
  ~RedisConnection() { ::close(fd_); }
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  /// Sends whole commands and reads one reply.
  ratelimit::RespValue call(std::string_view command) {
    send(command);
    return receive();
  }

  ratelimit::RespValue call(std::initializer_list<std::string_view> arguments) {
    std::string command;
    ratelimit::append_command(command, {arguments.begin(), arguments.size()});
    return call(command);
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("redis-server is gone");
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  ratelimit::RespValue receive() {
    for (;;) {
      auto reply = reader_.next();
      if (!reply) throw std::runtime_error(reply.error());
      if (*reply) return std::move(**reply);
      std::array<char, 16384> buffer;
      const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (got <= 0) throw std::runtime_error("redis-server is gone");
      reader_.feed({buffer.data(), static_cast<std::size_t>(got)});
    }
  }

 private:
  int fd_;
  ratelimit::RespReader reader_;
};

}  // namespace gatehouse::tests
