// The Redis connection's state machine; see redis_session.hpp.
#include "gateway/upstream/redis_session.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/upstream/redis_refusal.hpp"

namespace gatehouse::upstream {

namespace {

using ratelimit::RespValue;

/// The bucket that the session asks for itself: it has a token whenever all workers of a fleet ask at once.
const ratelimit::BucketRequest& probe_request() {
  static const ratelimit::BucketRequest request{"gatehouse:probe", {100'000, 100'000, std::chrono::seconds(1)}};
  return request;
}

constexpr const char* kNotRedis = "an answer that Redis does not give";

bool is_error(const RespValue& reply, std::string_view code) {
  return reply.type == RespValue::Type::error && reply.text.starts_with(code) &&
         (reply.text.size() == code.size() || reply.text[code.size()] == ' ');
}

bool is_about_one_key(const RespValue& reply) {
  return reply.type == RespValue::Type::error && redis_error_code(reply) == "WRONGTYPE";
}

bool is_about_the_server(const RespValue& reply) {
  return reply.type == RespValue::Type::error && refuses_all_calls(redis_error_code(reply));
}

}  // namespace

RedisSession::Duration RedisSession::decision_time() const noexcept {
  return std::clamp(2 * round_trip_ + decision_margin, shortest_decision, longest_decision);
}

std::string RedisSession::no_answer() const {
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(decision_time());
  return "no answer in " + std::to_string(time.count()) + " ms";
}

/// What is asked together is one sample: one hiccup delays them all.
void RedisSession::measure(const Slot& slot, TimePoint now) noexcept {
  if (slot.written == TimePoint::max() || slot.written < last_sample_) return;
  const Duration sample = std::clamp<Duration>(now - slot.written, Duration::zero(), longest_sample);
  round_trip_ += (sample - round_trip_) / 8;
  last_sample_ = now;
}

RedisSession::RedisSession(TimePoint now, std::string gateway_id)
    : attempt_ends_(now + attempt_time), gateway_id_(std::move(gateway_id)) {}

bool RedisSession::submit(RedisTake& take, TimePoint now) {
  take.outcome = TakeOutcome::pending;
  if (open_ || outstanding_ >= max_outstanding || slots_.size() >= max_outstanding) {
    take.outcome = TakeOutcome::not_tried;
    return false;
  }
  take.deadline_ = now + decision_time();
  take.sent_ = 0;
  take.written_ = false;
  take.newer_ = nullptr;
  take.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &take;
  newest_ = &take;
  ++outstanding_;
  if (phase_ == Phase::login || phase_ == Phase::up) send(take);
  return true;
}

void RedisSession::abandon(RedisTake& take) noexcept {
  if (take.outcome != TakeOutcome::pending) return;
  take.done = nullptr;
  finish(take, TakeOutcome::not_tried);
  for (Slot& slot : slots_) {
    if (slot.take == &take) slot.take = nullptr;
  }
}

void RedisSession::send(RedisTake& take) {
  // One script on the way is enough: who comes behind it finds it there.
  const bool carries_script = take.sent_ != 0 && scripts_on_the_way_ == 0;
  ratelimit::append_take_command(output_, take.requests, take.debts, carries_script);
  slots_.push_back({.kind = Slot::Kind::take, .carries_script = carries_script, .take = &take});
  scripts_on_the_way_ += carries_script ? 1 : 0;
  ++take.sent_;
}

void RedisSession::send_heartbeat(TimePoint now) {
  next_heartbeat_ = now + heartbeat_interval;
  if (leaving_) return;
  ratelimit::append_heartbeat_command(output_, gateway_id_, heartbeat_lifetime);
  slots_.push_back({.kind = Slot::Kind::heartbeat});
}

void RedisSession::send_ping() {
  ++pings_;
  ratelimit::append_command(output_, std::array<std::string_view, 1>{"PING"});
  slots_.push_back({.kind = Slot::Kind::ping});
}

/// A call that would have to come back for the script has no time for two round trips to a Redis that is far away.
void RedisSession::send_script() {
  ratelimit::append_take_command(output_, {}, {}, true);
  slots_.push_back({.kind = Slot::Kind::script});
}

/// Finds out whether a call is decided, unless that is under way.
void RedisSession::probe() {
  if (probes_ == 0) send_probe();
}

/// As send() does: EVALSHA first; EVAL, which carries the script's text, only when that is asked for. A user may have the
/// right to the one and not to the other.
void RedisSession::send_probe() {
  ratelimit::append_take_command(output_, {&probe_request(), 1}, {}, probes_ != 0);
  slots_.push_back({.kind = Slot::Kind::probe});
  ++probes_;
}

void RedisSession::leave() {
  if (leaving_) return;
  leaving_ = true;
  if (phase_ != Phase::up) return;
  ratelimit::append_goodbye_command(output_, gateway_id_);
  slots_.push_back({.kind = Slot::Kind::goodbye});
}

void RedisSession::on_heartbeat_reply(const RespValue& reply, TimePoint now) {
  if (reply.type == RespValue::Type::error) {
    // A user who may not do this is told so each time; then this gateway counts as the only one. What else is wrong with
    // the server shows here when nobody asks for anything.
    if (redis_error_code(reply) != "NOPERM" && is_about_the_server(reply)) refused("refused", reply, now);
    return;
  }
  if (reply.type != RespValue::Type::integer || reply.integer < 1) {
    give_up(kNotRedis, now);
    return;
  }
  const auto count = static_cast<std::uint64_t>(reply.integer);
  if (count < live_gateways_ && now - all_seen_ < heartbeat_lifetime) return;
  live_gateways_ = count;
  all_seen_ = now;
}

void RedisSession::finish(RedisTake& take, TakeOutcome outcome) noexcept {
  (take.older_ != nullptr ? take.older_->newer_ : oldest_) = take.newer_;
  (take.newer_ != nullptr ? take.newer_->older_ : newest_) = take.older_;
  take.older_ = take.newer_ = nullptr;
  --outstanding_;
  take.outcome = outcome;
  if (take.done != nullptr) take.done(take, take.context);
}

void RedisSession::fail_all(TakeOutcome outcome) noexcept {
  for (Slot& slot : slots_) slot.take = nullptr;
  while (oldest_ != nullptr) finish(*oldest_, outcome);
}

void RedisSession::plan_attempt(TimePoint now) noexcept {
  next_attempt_ = now + pause_;
  pause_ = std::min(pause_ * 2, longest_pause);
}

void RedisSession::open_breaker(TimePoint now) noexcept {
  if (!open_ && phase_ == Phase::up && now - up_since_ >= long_life) pause_ = first_pause;
  open_ = true;
}

/// Forgets what belongs to one connection.
void RedisSession::drop_connection() noexcept {
  for (const Slot& slot : slots_) {
    if (slot.take != nullptr) finish(*slot.take, TakeOutcome::lost);
  }
  slots_.clear();
  scripts_on_the_way_ = 0;
  probes_ = 0;
  output_.clear();
}

void RedisSession::begin_attempt(TimePoint now) noexcept {
  phase_ = Phase::connecting;
  attempt_taken_ = false;
  attempt_ends_ = now + attempt_time;
}

/// The session ends the connection or the attempt of itself.
void RedisSession::give_up(std::string why, TimePoint now) {
  last_failure_ = std::move(why);
  last_error_code_.clear();
  open_breaker(now);
  plan_attempt(now);
  wants_close_ = attempt_taken_;
  drop_connection();
  fail_all(TakeOutcome::lost);
  phase_ = Phase::down;
}

void RedisSession::refused(std::string_view what, const RespValue& reply, TimePoint now, std::string_view code) {
  std::string why{what};
  if (reply.type != RespValue::Type::error) {
    give_up(kNotRedis, now);
    return;
  }
  const std::string said = redis_error_code(reply);
  if (said == redis_maxclients)
    why += ": maxclients is reached";
  else
    why += ": " + (said.empty() ? "an error" : said);
  if (refuses_all_calls(said)) refused_at_ = now;
  give_up(std::move(why), now);
  last_error_code_ = !code.empty() && (said.empty() || said == "ERR") ? code : said;
}

void RedisSession::connected(const RedisLogin& login, TimePoint) {
  if (phase_ != Phase::connecting) return;  // given up meanwhile
  phase_ = Phase::login;
  reader_ = ratelimit::RespReader{};
  output_.clear();
  if (login.authenticate) {
    std::array<std::string_view, 3> words{"AUTH", login.username, login.password};
    if (login.username.empty()) {
      words[1] = login.password;
      ratelimit::append_command(output_, std::span{words}.first(2));
    } else {
      ratelimit::append_command(output_, words);
    }
    slots_.push_back({.kind = Slot::Kind::auth});
  }
  if (login.database != 0) {
    const std::string number = std::to_string(login.database);
    ratelimit::append_command(output_, std::array<std::string_view, 2>{"SELECT", number});
    slots_.push_back({.kind = Slot::Kind::select});
  }
  pings_ = 0;
  send_ping();
  for (RedisTake* take = oldest_; take != nullptr; take = take->newer_) send(*take);
}

void RedisSession::received(std::string_view bytes, TimePoint now) {
  if (phase_ != Phase::login && phase_ != Phase::up) return;
  reader_.feed(bytes);
  while (phase_ == Phase::login || phase_ == Phase::up) {
    auto reply = reader_.next();
    if (!reply) {
      give_up("protocol error: " + reply.error(), now);
      return;
    }
    if (!*reply) return;
    on_reply(**reply, now);
  }
}

void RedisSession::on_reply(const RespValue& reply, TimePoint now) {
  if (slots_.empty()) {
    // "max number of clients reached" comes before any command was sent.
    if (reply.type == RespValue::Type::error)
      refused("refused", reply, now);
    else
      give_up("an answer that nobody asked for", now);
    return;
  }
  const Slot slot = slots_.front();
  slots_.pop_front();
  measure(slot, now);
  switch (slot.kind) {
    case Slot::Kind::take: on_take_reply(slot, reply, now); break;
    case Slot::Kind::heartbeat: on_heartbeat_reply(reply, now); break;
    case Slot::Kind::script: on_script_reply(reply, now); break;
    case Slot::Kind::probe: on_probe_reply(reply, now); break;
    case Slot::Kind::goodbye: goodbye_answered_ = true; break;
    default: on_login_reply(slot, reply, now); break;
  }
  // All late answers are here: it was a hiccup, unless Redis has become so slow that the next would be late, too.
  if (phase_ == Phase::up && open_ && slots_.empty() && round_trip_ < longest_decision) open_ = false;
}

void RedisSession::on_login_reply(const Slot& slot, const RespValue& reply, TimePoint now) {
  const bool is_status = reply.type == RespValue::Type::status;
  switch (slot.kind) {
    case Slot::Kind::auth:
      if (!is_status) refused("login refused", reply, now, redis_login_refused);
      return;
    case Slot::Kind::select:
      if (!is_status) refused("database refused", reply, now, redis_database_refused);
      return;
    case Slot::Kind::ping: on_ping_reply(slot, reply, now); return;
    case Slot::Kind::take:
    case Slot::Kind::script:
    case Slot::Kind::probe:
    case Slot::Kind::heartbeat:
    case Slot::Kind::goodbye: return;
  }
}

void RedisSession::on_ping_reply(const Slot& slot, const RespValue& reply, TimePoint now) {
  // A user who may not PING is logged in all the same.
  const bool is_pong = reply.type == RespValue::Type::status && reply.text == "PONG";
  if (!is_pong && !is_error(reply, "NOPERM")) {
    refused("not ready", reply, now);
    return;
  }
  // A connection begins with its own measure: it may lead to another Redis than the last.
  round_trip_ = slot.written == TimePoint::max() ? Duration::zero() : std::max(now - slot.written, Duration::zero());
  if (round_trip_ >= longest_decision) {
    round_trip_ = longest_decision;
    if (pings_ < max_pings) {
      send_ping();
    } else {
      give_up(no_answer(), now);
    }
    return;
  }
  send_script();
  probe();
}

/// Where the text alone cannot be left (a proxy that wants a key), it goes with a call.
void RedisSession::on_script_reply(const RespValue& reply, TimePoint now) {
  if (reply.type == RespValue::Type::array) return;
  if (reply.type != RespValue::Type::error || is_about_the_server(reply)) refused("refused", reply, now);
}

void RedisSession::on_probe_reply(const RespValue& reply, TimePoint now) {
  if (is_error(reply, "NOSCRIPT") && probes_ < max_sends) {
    send_probe();
    return;
  }
  ratelimit::Decision decision;
  if (!ratelimit::read_take_reply(reply, {&decision, 1}) && !is_about_one_key(reply)) {
    refused("refused", reply, now);
    return;
  }
  probes_ = 0;
  if (phase_ == Phase::up) return;
  phase_ = Phase::up;
  up_since_ = now;
  open_ = false;
  send_heartbeat(now);
}

void RedisSession::on_take_reply(const Slot& slot, const RespValue& reply, TimePoint now) {
  if (slot.carries_script) --scripts_on_the_way_;
  if (is_about_the_server(reply)) {
    if (slot.take != nullptr) finish(*slot.take, TakeOutcome::refused);
    refused("refused", reply, now);
    return;
  }
  if (slot.take != nullptr && is_error(reply, "NOSCRIPT") && slot.take->sent_ < max_sends) {
    send(*slot.take);
    return;
  }
  bool is_answer = reply.type == RespValue::Type::array;
  if (slot.take != nullptr) {
    is_answer = ratelimit::read_take_reply(reply, slot.take->decisions);
    finish(*slot.take, is_answer ? TakeOutcome::decided : TakeOutcome::refused);
  }
  if (!is_answer && reply.type != RespValue::Type::error) {
    give_up(kNotRedis, now);
    return;
  }
  if (phase_ != Phase::up) return;
  // Whether it was about this call alone: unless that is clear, the session asks for itself.
  if (!is_answer && !is_about_one_key(reply)) probe();
  const bool refused_lately = refused_at_ != TimePoint::min() && now - refused_at_ < long_life;
  if (is_answer && !refused_lately) pause_ = first_pause;
}

void RedisSession::written(TimePoint now) noexcept {
  // Commands are written in their order, so the unwritten ones are the last. Deadlines stay in order, too, but for the
  // little by which the decision time falls.
  for (auto slot = slots_.rbegin(); slot != slots_.rend() && slot->written == TimePoint::max(); ++slot) {
    slot->written = now;
    if (slot->take == nullptr || slot->take->written_) continue;
    slot->take->written_ = true;
    slot->take->deadline_ = now + decision_time();
  }
}

void RedisSession::restart(TimePoint now) noexcept {
  wants_close_ = wants_close_ || attempt_taken_;
  drop_connection();
  begin_attempt(now);
  pause_ = first_pause;
}

void RedisSession::shut_down() noexcept {
  open_ = true;
  phase_ = Phase::down;
  next_attempt_ = TimePoint::max();
  wants_close_ = attempt_taken_;
  drop_connection();
  fail_all(TakeOutcome::lost);
}

void RedisSession::disconnected(std::string_view why, TimePoint now) {
  if (wants_close_ || phase_ == Phase::down) return;  // it was the session that gave it up
  const bool served_well = phase_ == Phase::up && !open_ && now - up_since_ >= attempt_time;
  last_failure_ = why;
  last_error_code_.clear();
  drop_connection();
  if (served_well) {
    begin_attempt(now);
    return;
  }
  open_breaker(now);
  plan_attempt(now);
  fail_all(TakeOutcome::lost);
  attempt_taken_ = false;
  phase_ = Phase::down;
}

void RedisSession::on_time(TimePoint now) {
  if (oldest_ != nullptr && oldest_->deadline_ <= now) {
    const bool was_open = open_;
    open_breaker(now);
    if (phase_ == Phase::up) {
      last_failure_ = no_answer();
      last_error_code_.clear();
    }
    if (!was_open && phase_ == Phase::up) plan_attempt(now);
    fail_all(TakeOutcome::timed_out);
  }
  switch (phase_) {
    case Phase::connecting:
    case Phase::login:
      if (attempt_ends_ <= now)
        give_up(phase_ == Phase::connecting ? "no connection in time" : "no answer in time", now);
      break;
    case Phase::up:
      if (open_ && next_attempt_ <= now) {
        drop_connection();
        wants_close_ = true;
        begin_attempt(now);
      } else if (!open_ && next_heartbeat_ <= now) {
        send_heartbeat(now);
      }
      break;
    case Phase::down:
      if (next_attempt_ <= now && !wants_close_) begin_attempt(now);
      break;
  }
}

RedisSession::TimePoint RedisSession::next_time() const noexcept {
  TimePoint next = oldest_ != nullptr ? oldest_->deadline_ : TimePoint::max();
  switch (phase_) {
    case Phase::connecting:
    case Phase::login: return std::min(next, attempt_ends_);
    case Phase::up: return std::min(next, open_ ? next_attempt_ : next_heartbeat_);
    case Phase::down: return std::min(next, next_attempt_);
  }
  return next;
}

}  // namespace gatehouse::upstream
