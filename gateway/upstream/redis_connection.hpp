// One connection to Redis for commands that are no rate limits: made when the first is sent, made anew after a failure, one
// command at a time. Runs on one loop.
#pragma once

#include <deque>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/gateway_config.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/runtime/task.hpp"
#include "ratelimit/resp.hpp"

namespace gatehouse::upstream {

class RedisConnection {
 public:
  static constexpr auto longest = std::chrono::seconds(3);  // from the command's turn to its answer, with connecting
  static constexpr std::size_t most_reply_bytes = 16 * 1024 * 1024;

  RedisConnection(runtime::Loop& loop, config::Redis settings) : loop_(loop), settings_(std::move(settings)) {}
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  using Reply = std::expected<ratelimit::RespValue, std::string>;
  /// The reply, which may be Redis's error; the error says why there is none. A command that was sent may have been
  /// executed all the same.
  [[nodiscard]] runtime::Task<Reply> command(std::vector<std::string> arguments);

 private:
  [[nodiscard]] runtime::Task<Reply> exchange(std::span<const std::string_view> arguments, bool is_secret);
  [[nodiscard]] runtime::Task<std::expected<void, std::string>> connect();
  void next_turn();
  struct Turn;

  runtime::Loop& loop_;
  const config::Redis settings_;
  std::shared_ptr<const net::ClientTls> tls_;
  std::unique_ptr<net::Stream> stream_;
  ratelimit::RespReader reader_{most_reply_bytes};
  bool is_busy_ = false;
  std::deque<std::coroutine_handle<>> waiting_;
};

}  // namespace gatehouse::upstream
