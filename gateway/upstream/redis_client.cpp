// The Redis client's socket part; see redis_client.hpp.
//
// Two coroutines share the stream: run() makes connections and reads, write_loop() writes at the end of a loop turn all
// that the turn's requests have asked, so that concurrent requests share one system call each way.
#include "gateway/upstream/redis_client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "gateway/runtime/log.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/upstream/redis_login.hpp"
#include "gateway/upstream/redis_refusal.hpp"

namespace gatehouse::upstream {

namespace {

using runtime::Errc;
using runtime::Task;

constexpr std::size_t kMaxAddresses = 4;  // of one name that an attempt tries
constexpr const char* not_lost = "-";  // no error's code

void keep_alive(int fd) noexcept {
  // Firewalls forget connections that are quiet for minutes; the next decision would pay for it.
  const int on = 1;
  const int seconds = 60;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

/// A far Redis may have a relay before it that holds an answer back until the last one is acknowledged (Nagle's
/// algorithm); the kernel would wait 40 ms with that, longer than a decision may take. Lasts for what has arrived.
void acknowledge_at_once(int fd) noexcept {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

}  // namespace

struct RedisClient::Owned {
  struct promise_type {
    Owned get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }  // all is caught inside
  };
  std::coroutine_handle<> frame;
};

void RedisClient::Signal::notify() {
  if (waiting_) {
    loop_.schedule(std::exchange(waiting_, {}));
  } else {
    set_ = true;
  }
}

RedisClient::RedisClient(runtime::Loop& loop, config::Redis settings, runtime::Metrics& metrics, std::string gateway_id,
                         RedisTrouble& trouble)
    : loop_(loop),
      settings_(std::move(settings)),
      session_(loop.now(), std::move(gateway_id)),
      timer_(
          loop, [](void* self) { static_cast<RedisClient*>(self)->on_deadline(); }, this),
      run_wake_(loop),
      write_wake_(loop),
      writer_idle_(loop),
      lookup_(loop, [this] { run_wake_.notify(); }),
      trouble_(trouble),
      metrics_(metrics) {
  find_series();
  frames_ = {write_loop().frame, run().frame};
}

RedisClient::~RedisClient() {
  session_.shut_down();
  trouble_.forget(this);
  // The stream first: it knows operations that live in the frames.
  if (stream_) stream_->descriptor().reader = stream_->descriptor().writer = nullptr;
  for (const auto frame : frames_) {
    if (frame) frame.destroy();
  }
}

// --- calls

RedisClient::TakeOperation::TakeOperation(RedisClient& client, std::span<const ratelimit::BucketRequest> requests,
                                          std::span<const ratelimit::Debt> debts,
                                          std::span<ratelimit::Decision> decisions) noexcept
    : client_(client) {
  take_.requests = requests;
  take_.debts = debts;
  take_.decisions = decisions;
  take_.context = this;
  take_.done = [](RedisTake&, void* context) {
    auto& self = *static_cast<TakeOperation*>(context);
    self.client_.loop_.schedule(self.coroutine_);
  };
}

bool RedisClient::TakeOperation::await_ready() {
  began_ = runtime::Clock::now();
  return !client_.submit(take_);
}

RedisClient::Answer RedisClient::TakeOperation::await_resume() noexcept {
  client_.count(take_.outcome);
  if (take_.outcome != TakeOutcome::not_tried) {
    const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(runtime::Clock::now() - began_);
    client_.duration_->observe_nanoseconds(static_cast<std::uint64_t>(time.count()));
  }
  const bool is_late = take_.outcome == TakeOutcome::timed_out && take_.was_written();
  const bool decided = take_.outcome == TakeOutcome::decided;
  return {.decided = decided, .reached = decided || is_late};
}

RedisClient::TakeOperation RedisClient::take(std::span<const ratelimit::BucketRequest> requests,
                                             std::span<const ratelimit::Debt> debts,
                                             std::span<ratelimit::Decision> decisions) {
  return TakeOperation(*this, requests, debts, decisions);
}

bool RedisClient::submit(RedisTake& take) {
  if (!session_.submit(take, runtime::Clock::now())) return false;
  after_event();
  return true;
}

void RedisClient::count(TakeOutcome outcome) noexcept {
  const auto index = static_cast<std::size_t>(outcome) - static_cast<std::size_t>(TakeOutcome::decided);
  if (index < results_.size()) results_[index]->add();
}

// --- life

void RedisClient::find_series() {
  duration_ = metrics_.histogram(runtime::families::ratelimit_store_duration, {});
  const char* const names[] = {"ok", "error", "timeout", "lost", "skipped"};
  for (std::size_t i = 0; i < results_.size(); ++i)
    results_[i] = metrics_.counter(runtime::families::ratelimit_store_requests_total, {names[i]});
}

void RedisClient::reconfigure(config::Redis settings) {
  find_series();  // they are gone where no Redis was configured in between
  settings_ = std::move(settings);
  tls_.reset();
  told_code_ = not_lost;  // not of these settings
  stopping_ = false;
  session_.restart(loop_.now());
  after_event();
}

void RedisClient::leave() {
  session_.leave();
  after_event();
}

void RedisClient::stop() {
  stopping_ = true;
  session_.shut_down();
  timer_.cancel();
  if (stream_) stream_->cancel(Errc::cancelled);
  run_wake_.notify();
  report();
  trouble_.forget(this);
  is_in_trouble_ = false;
}

/// After everything that the session was told: what it wants now.
void RedisClient::after_event() {
  if (writable_ && !session_.output().empty()) write_wake_.notify();
  if (session_.wants_close() && stream_) stream_->cancel(Errc::cancelled);
  if (session_.wants_close() || session_.wants_connection()) run_wake_.notify();
  if (const auto next = session_.next_time(); next < timer_.when()) timer_.set(next);
  report();
}

void RedisClient::on_deadline() {
  session_.on_time(loop_.now());
  after_event();
}

void RedisClient::report() {
  if (session_.is_serving()) {
    if (is_in_trouble_ && loop_.now() >= end_told_next_) tell_of_end();
  } else if (session_.phase() == RedisSession::Phase::down && !stopping_) {
    // A hiccup that ends by itself is no news; a lost connection that could not be made anew is.
    tell_of_loss();
  }
  const bool serving = session_.is_serving();
  if (serving == serving_reported_) return;
  serving_reported_ = serving;
  if (on_change) on_change(serving);
}

void RedisClient::tell_of_loss() {
  const std::string& code = session_.last_error_code();
  if (is_in_trouble_ && code == told_code_) return;
  is_in_trouble_ = true;
  told_code_ = code;
  end_told_next_ = runtime::TimePoint::min();
  const std::string_view line = trouble_.lost(this, settings_.url, code);
  if (line.empty()) return;
  const std::string_view reason = session_.last_failure();
  if (code.empty())
    runtime::journal(runtime::Level::warning, line, {{"redis", settings_.url}, {"reason", reason}});
  else
    runtime::journal(runtime::Level::warning, line,
                     {{"redis", settings_.url}, {"reason", reason}, {"advice", redis_advice(code)}});
}

void RedisClient::tell_of_end() {
  const auto line = trouble_.serves(this, loop_.now());
  is_in_trouble_ = !line.has_value();
  if (is_in_trouble_) {
    told_code_ = not_lost;
    end_told_next_ = loop_.now() + std::chrono::seconds(1);
  } else if (!line->empty()) {
    runtime::journal(runtime::Level::info, *line, {{"redis", settings_.url}});
  }
}

// --- connecting and reading

RedisClient::Owned RedisClient::run() {
  for (;;) {
    if (session_.wants_close()) session_.closed();  // between attempts there is nothing to close
    if (stopping_ || !session_.wants_connection()) {
      co_await run_wake_;
      continue;
    }
    session_.attempt_begins();
    after_event();
    std::string failure;
    try {
      co_await attempt();
    } catch (const std::exception& exception) {
      failure = exception.what();
    }
    if (!failure.empty()) session_.disconnected(failure, loop_.now());

    writable_ = false;
    if (stream_) stream_->cancel(Errc::cancelled);
    while (writing_) co_await writer_idle_;
    if (stream_) stream_->close();
    stream_.reset();
    session_.closed();
    after_event();
  }
}

Task<void> RedisClient::attempt() {
  const std::vector<IpAddress> candidates = co_await addresses();
  if (!attempt_goes_on()) co_return;
  if (candidates.empty()) {
    session_.disconnected("the name has no address", loop_.now());
    co_return;
  }
  const bool open = co_await open_stream(candidates);
  if (!open) co_return;
  std::optional<RedisLogin> login = read_redis_login(settings_);
  if (!login) {
    session_.disconnected("password_file cannot be read", loop_.now());
    co_return;
  }
  session_.connected(*login, loop_.now());
  OPENSSL_cleanse(login->password.data(), login->password.size());
  writable_ = true;
  after_event();

  while (attempt_goes_on()) {
    const auto got = co_await stream_->read(received_);
    if (!attempt_goes_on()) break;
    if (got) {
      session_.received({received_.data(), *got}, loop_.now());
      if (session_.decision_time() > RedisSession::shortest_decision) acknowledge_at_once(stream_->fd());
    } else {
      session_.disconnected(runtime::error_text(got.error()), loop_.now());
      break;
    }
    after_event();
  }
}

Task<std::vector<IpAddress>> RedisClient::addresses() {
  if (const auto ip = IpAddress::parse(settings_.host)) co_return std::vector<IpAddress>{*ip};
  lookup_.begin(settings_.host);  // anew for each connection: a failover may move the name
  while (attempt_goes_on()) {
    if (auto found = lookup_.take()) co_return std::move(*found);
    co_await run_wake_;
  }
  co_return std::vector<IpAddress>{};
}

Task<bool> RedisClient::open_stream(std::span<const IpAddress> candidates) {
  candidates = candidates.first(std::min(candidates.size(), kMaxAddresses));
  const auto share = RedisSession::attempt_time / candidates.size();
  std::string failure = runtime::error_text(Errc::connect);
  for (const IpAddress& address : candidates) {
    stream_.emplace(loop_);
    stream_->expires_after(share);
    Errc error = co_await stream_->connect({address, settings_.port});
    if (!attempt_goes_on()) co_return false;
    if (error == Errc::ok && settings_.tls) {
      if (!tls_) {
        auto made = make_redis_tls(settings_);
        if (!made) {
          session_.disconnected(made.error(), loop_.now());
          co_return false;
        }
        tls_ = std::move(*made);
      }
      error = co_await stream_->connect_tls(*tls_, settings_.host);
      if (!attempt_goes_on()) co_return false;
    }
    if (error == Errc::ok) {
      keep_alive(stream_->fd());
      stream_->expires_never();
      co_return true;
    }
    failure = runtime::error_text(error);
    if (!stream_->tls_error().empty()) failure += ": " + stream_->tls_error();
    stream_->close();
  }
  session_.disconnected(failure, loop_.now());
  co_return false;
}

// --- writing

RedisClient::Owned RedisClient::write_loop() {
  for (;;) {
    if (!writable_ || session_.output().empty()) {
      co_await write_wake_;
      continue;
    }
    co_await loop_.yield();  // what else this turn asks goes into the same write
    if (!writable_ || session_.output().empty()) continue;
    writing_ = true;
    being_written_.swap(session_.output());
    const bool holds_password = session_.phase() == RedisSession::Phase::login;
    const Errc error = co_await stream_->write(being_written_);
    if (holds_password) OPENSSL_cleanse(being_written_.data(), being_written_.size());
    being_written_.clear();
    writing_ = false;
    if (error == Errc::ok) {
      if (writable_) {
        session_.written(runtime::Clock::now());
        if (const auto next = session_.next_time(); next < timer_.when()) timer_.set(next);
      }
    } else if (stream_) {
      stream_->cancel(error);  // wakes the reader, which tells the session
    }
    if (!writable_) writer_idle_.notify();
  }
}

}  // namespace gatehouse::upstream
