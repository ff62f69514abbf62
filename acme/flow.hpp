// Conversations with a CA as coroutines without sockets, threads or clocks. A Flow asks its Conversation for one thing at a
// time; whoever drives it does that and says what came of it. So a whole issuance is read from top to bottom, and tested
// with a scripted CA and a clock of the test's.
#pragma once

#include <coroutine>
#include <exception>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "acme/messages.hpp"
#include "acme/private_key.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

/// A coroutine that starts when it is awaited, or by start(), and gives a T.
template <class T>
class Flow {
 public:
  struct promise_type {
    std::optional<T> value;
    std::exception_ptr failure;
    std::coroutine_handle<> waiting;

    Flow get_return_object() noexcept { return Flow(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Resume {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
          const auto next = ended.promise().waiting;
          return next ? next : std::noop_coroutine();
        }
        void await_resume() const noexcept {}
      };
      return Resume{};
    }
    void return_value(T result) { value.emplace(std::move(result)); }
    void unhandled_exception() noexcept { failure = std::current_exception(); }
  };

  Flow(Flow&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Flow& operator=(Flow&&) = delete;
  ~Flow() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
    handle_.promise().waiting = waiting;
    return handle_;
  }
  T await_resume() { return result(); }

  /// For the outermost one: runs until the conversation wants something, or to the end.
  void start() { handle_.resume(); }
  [[nodiscard]] bool is_done() const noexcept { return handle_.done(); }
  /// Once, when it is done. Throws what the coroutine threw.
  [[nodiscard]] T result() {
    if (handle_.promise().failure) std::rethrow_exception(handle_.promise().failure);
    return *std::move(handle_.promise().value);
  }

 private:
  explicit Flow(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

/// What a flow gives that gives nothing.
struct Done {};

struct HttpRequest {
  enum class Method : unsigned char { get, head, post };
  Method method = Method::get;
  std::string url;
  std::string body;  // of jose_type
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::string nonce;  // Replay-Nonce
  std::string location;
  std::string retry_after;
  std::string link;  // all Link fields, joined by commas
};

/// A challenge that is to be answered from now on.
struct Presentation {
  ChallengeType type = ChallengeType::http_01;
  Identifier identifier;  // without "*."
  std::string token;
  std::string key_authorization;
  /// For dns-01, the TXT record's value (RFC 8555 section 8.4); its name is "_acme-challenge." and the identifier.
  [[nodiscard]] std::string dns_value() const;
};

/// What an order needs to be continued by somebody else.
struct Progress {
  std::string order;  // URL; empty: it is about to be placed
  Secret key;  // of the certificate, PEM
  std::string profile;  // that it is placed with
};

/// What a flow wants, one thing at a time.
class Conversation {
 public:
  enum class Want : unsigned char {
    nothing,  // it has not been started, has ended or has been dropped
    send,  // request(): deliver() the answer, or lost()
    wait,  // until(): proceed()
    present,  // presentations(): proceed() once every gateway answers them, or lost()
    keep,  // progress(): proceed() once it is stored, or lost()
  };

  // --- for whoever drives

  [[nodiscard]] Want want() const noexcept { return want_; }
  [[nodiscard]] const HttpRequest& request() const noexcept { return request_; }
  [[nodiscard]] Time until() const noexcept { return until_; }
  [[nodiscard]] const std::vector<Presentation>& presentations() const noexcept { return presentations_; }
  [[nodiscard]] const Progress& progress() const noexcept { return progress_; }

  void set_now(Time now) noexcept { now_ = now; }
  void deliver(HttpResponse response, Time now) {
    response_ = std::move(response);
    resume(now);
  }
  void proceed(Time now) {
    response_ = HttpResponse{};
    resume(now);
  }
  /// What was wanted could not be done; `reason` is for the operator.
  void lost(std::string reason, Time now) {
    response_ = std::unexpected(std::move(reason));
    resume(now);
  }

  // --- for flows

  struct Awaitable {
    Conversation& conversation;
    Want want;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> flow) noexcept {
      conversation.flow_ = flow;
      conversation.want_ = want;
    }
    std::expected<HttpResponse, std::string> await_resume() { return std::move(conversation.response_); }
    // Also where a flow that waits is dropped: nobody is to resume it.
    ~Awaitable() {
      conversation.flow_ = {};
      conversation.want_ = Want::nothing;
    }
  };

  [[nodiscard]] Time now() const noexcept { return now_; }
  [[nodiscard]] Awaitable send(HttpRequest request) {
    request_ = std::move(request);
    return {*this, Want::send};
  }
  [[nodiscard]] Awaitable wait_until(Time until) noexcept {
    until_ = until;
    return {*this, Want::wait};
  }
  [[nodiscard]] Awaitable present(std::vector<Presentation> presentations) {
    presentations_ = std::move(presentations);
    return {*this, Want::present};
  }
  [[nodiscard]] Awaitable keep(Progress progress) {
    progress_ = std::move(progress);
    return {*this, Want::keep};
  }

 private:
  void resume(Time now) {
    now_ = now;
    want_ = Want::nothing;
    std::exchange(flow_, {}).resume();
  }

  Want want_ = Want::nothing;
  HttpRequest request_;
  Time until_{};
  std::vector<Presentation> presentations_;
  Progress progress_;
  std::expected<HttpResponse, std::string> response_;
  std::coroutine_handle<> flow_;
  Time now_{};
};

}  // namespace gatehouse::acme
