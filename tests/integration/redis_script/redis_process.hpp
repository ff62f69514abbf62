// A redis-server of the test's own, on a Unix socket in a temporary directory, and a blocking client that speaks
// through our own framing. Called by redis_script.cpp.
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

#include "ratelimit/resp.hpp"

namespace gatehouse::tests {

class RedisProcess {
 public:
  RedisProcess() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gatehouse-redis-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = pattern;
    socket_ = (directory_ / "s").string();
    pid_ = ::fork();
    if (pid_ == 0) {
      const int null = ::open("/dev/null", O_RDWR);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execl(REDIS_SERVER, REDIS_SERVER, "--port", "0", "--unixsocket", socket_.c_str(), "--save", "", "--appendonly", "no",
              "--dir", directory_.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    if (pid_ < 0) throw std::runtime_error("fork");
  }

  ~RedisProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

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
