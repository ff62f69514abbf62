// The worker's Redis client: one connection for all rate limits of the worker, on its loop. What is said on it, and
// when it is given up, is redis_session.hpp's. Called by filter/rate_limit; owned by the worker.
#pragma once

#include <array>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/gateway_config.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/net/tls.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/metrics.hpp"
#include "gateway/upstream/name_lookup.hpp"
#include "gateway/upstream/redis_session.hpp"
#include "gateway/upstream/redis_trouble.hpp"

namespace gatehouse::upstream {

class RedisClient {
 public:
  /// Begins to connect once the loop runs. To be made, used and stopped on the loop's thread; to be destroyed there
  /// when is_stopped(), or after the loop has ended.
  /// `gateway_id` names this process among those that share the store; `trouble` is the process's, and outlives this.
  RedisClient(runtime::Loop& loop, config::Redis settings, runtime::Metrics& metrics, std::string gateway_id,
              RedisTrouble& trouble);
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  struct Answer {
    bool decided = false;  // `decisions` are Redis's
    bool reached = false;  // Redis has had the call, or may have it yet, if not in time
  };

  class TakeOperation;
  /// Asks for one token of each bucket, all or none, and tells what this gateway admitted without Redis. Not decided:
  /// Redis could not be asked or did not answer in time (RedisSession::decision_time()); what then holds is the limits'
  /// on_store_failure. With the breaker open there is no waiting. The spans must stay in place until then.
  [[nodiscard]] TakeOperation take(std::span<const ratelimit::BucketRequest> requests,
                                   std::span<const ratelimit::Debt> debts, std::span<ratelimit::Decision> decisions);

  /// Connects anew with other settings (a reload), also after a stop().
  void reconfigure(config::Redis settings);
  /// Closes the connection; every call fails from now on.
  void stop();
  [[nodiscard]] bool is_stopped() const noexcept {
    return stopping_ && run_wake_.is_awaited() && write_wake_.is_awaited();
  }

  /// Tells the other gateways that this one stops; calls are still answered.
  void leave();
  [[nodiscard]] bool has_left() const noexcept { return session_.has_left(); }

  /// See RedisSession.
  [[nodiscard]] std::uint64_t live_gateways() const noexcept { return session_.live_gateways(); }
  [[nodiscard]] bool is_serving() const noexcept { return session_.is_serving(); }
  [[nodiscard]] bool refuses_calls() const noexcept { return session_.breaker_is_open(); }
  /// Called on the loop's thread when is_serving() has changed; it begins as false.
  std::function<void(bool serving)> on_change;

 private:
  /// Wakes one coroutine of this client; remembers a wake that comes early.
  class Signal {
   public:
    explicit Signal(runtime::Loop& loop) noexcept : loop_(loop) {}
    void notify();
    [[nodiscard]] bool is_awaited() const noexcept { return static_cast<bool>(waiting_); }
    bool await_ready() noexcept { return std::exchange(set_, false); }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept { waiting_ = awaiting; }
    void await_resume() const noexcept {}

   private:
    runtime::Loop& loop_;
    std::coroutine_handle<> waiting_;
    bool set_ = false;
  };

  /// A coroutine that starts at once and whose frame this client destroys.
  struct Owned;

  Owned run();
  Owned write_loop();
  runtime::Task<void> attempt();
  runtime::Task<std::vector<IpAddress>> addresses();
  runtime::Task<bool> open_stream(std::span<const IpAddress> candidates);
  [[nodiscard]] bool attempt_goes_on() const noexcept { return !stopping_ && !session_.wants_close(); }
  void after_event();
  void on_deadline();
  void report();
  void tell_of_loss();
  void tell_of_end();
  bool submit(RedisTake& take);
  void count(TakeOutcome outcome) noexcept;
  void find_series();

  runtime::Loop& loop_;
  config::Redis settings_;
  std::shared_ptr<const net::ClientTls> tls_;  // made at the first attempt that needs it
  RedisSession session_;
  runtime::Deadline timer_;
  std::optional<net::Stream> stream_;
  bool writable_ = false;  // connected: the writer may use the stream
  bool writing_ = false;  // the writer is using it
  std::string being_written_;
  std::array<char, 16 * 1024> received_;
  Signal run_wake_;
  Signal write_wake_;
  Signal writer_idle_;
  NameLookup lookup_;
  bool stopping_ = false;
  bool serving_reported_ = false;
  RedisTrouble& trouble_;
  bool is_in_trouble_ = false;  // as `trouble_` knows
  std::string told_code_;  // of the present trouble
  runtime::TimePoint end_told_next_ = runtime::TimePoint::min();  // when to say again that it is over
  std::array<std::coroutine_handle<>, 2> frames_{};

  runtime::Metrics& metrics_;
  std::array<std::shared_ptr<runtime::Counter>, 5> results_;  // by TakeOutcome, from `decided` on
  std::shared_ptr<runtime::Histogram> duration_;
};

class RedisClient::TakeOperation {
 public:
  TakeOperation(RedisClient& client, std::span<const ratelimit::BucketRequest> requests,
                std::span<const ratelimit::Debt> debts, std::span<ratelimit::Decision> decisions) noexcept;
  ~TakeOperation() { client_.session_.abandon(take_); }
  TakeOperation(const TakeOperation&) = delete;
  TakeOperation& operator=(const TakeOperation&) = delete;

  bool await_ready();
  void await_suspend(std::coroutine_handle<> awaiting) noexcept { coroutine_ = awaiting; }
  [[nodiscard]] Answer await_resume() noexcept;

 private:
  RedisClient& client_;
  RedisTake take_;
  std::coroutine_handle<> coroutine_;
  runtime::TimePoint began_;
};

}  // namespace gatehouse::upstream
