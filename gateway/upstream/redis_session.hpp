// The worker's one Redis connection as a state machine: a pipeline of rate-limit calls, login, deadlines and a circuit
// breaker. Bytes in, bytes out, `now` as an argument; the socket is redis_client.cpp's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "gateway/runtime/loop.hpp"
#include "gateway/upstream/redis_login.hpp"
#include "ratelimit/redis_script.hpp"

namespace gatehouse::upstream {

/// What became of a call.
enum class TakeOutcome : std::uint8_t {
  pending,
  decided,    // the decisions are filled in
  refused,    // Redis answered with an error; the connection is fine
  timed_out,  // no answer within the deadline; the breaker opens. Redis may execute it yet, see was_written()
  lost,       // the connection ended with the call under way, or cannot be made
  not_tried,  // the breaker is open, or too many calls are under way
};

/// One request's call for all its limits. Owned by whoever waits, who keeps it and what it points to in place until
/// `done` was called or it was abandoned.
struct RedisTake {
  std::span<const ratelimit::BucketRequest> requests;
  std::span<ratelimit::Decision> decisions;                // as many
  std::span<const ratelimit::Debt> debts;                  // as many, or none
  void (*done)(RedisTake& self, void* context) = nullptr;  // must not call the session
  void* context = nullptr;
  TakeOutcome outcome = TakeOutcome::not_tried;  // pending from submit() to `done`
  [[nodiscard]] bool was_written() const noexcept { return written_; }

 private:
  friend class RedisSession;
  runtime::TimePoint deadline_;
  unsigned sent_ = 0;  // how often, for NOSCRIPT
  bool written_ = false;
  RedisTake* older_ = nullptr;
  RedisTake* newer_ = nullptr;
};

/// A call has decision_time() from the moment that it is written (until then: from submit()): what Redis has lately
/// taken to answer twice over and a margin, within bounds that leave it below 50 ms. So a Redis that is far away is
/// given the time it needs, and the loss of one that is near is noticed sooner; one that is so far that it could not
/// answer in the longest time counts as lost. The first call that is late fails all that wait and opens the breaker: from
/// then on submit() refuses at once. If the late answers come after all, before the next attempt is due, the breaker
/// closes again (Redis had a hiccup); else the connection is dropped and made anew, in pauses that grow from
/// `first_pause` to `longest_pause`. A new connection closes the breaker by a login, a PING that is answered in time, and
/// a call that is decided: the session's own, for a bucket that is nobody's and always has a token, so that the script
/// does all that it does for others; where the bucket's key holds something else, that is the key's fault alone, and
/// counts the same. A Redis which greets but does not serve
/// (read-only, full, without the right to run the script) thus is down, and costs no call any time. An error that says
/// so drops the connection as well, also as the answer to a sign of life; after any other the session asks for itself
/// again. The pause only starts small again after an answered call or a long quiet life, and not soon after such an
/// error: a Redis at the edge of its memory serves now and then. A connection that served well and ends (restart, idle
/// time-out of the server) is made anew at once, with the breaker closed: calls wait for it within their deadlines.
class RedisSession {
 public:
  using TimePoint = runtime::TimePoint;
  using Duration = runtime::Duration;

  static constexpr Duration shortest_decision = std::chrono::milliseconds(25);
  static constexpr Duration longest_decision = std::chrono::milliseconds(43);  // the loop's clock adds up to 5
  static constexpr Duration decision_margin = std::chrono::milliseconds(15);
  static constexpr Duration longest_sample = std::chrono::milliseconds(60);  // a hiccup counts as this at most
  static constexpr unsigned max_pings = 3;  // at login: the first may have waited for what Redis did before
  static constexpr Duration attempt_time = std::chrono::seconds(1);  // resolve, connect, TLS and login together
  static constexpr Duration first_pause = std::chrono::milliseconds(100);
  static constexpr Duration longest_pause = std::chrono::seconds(1);
  static constexpr Duration long_life =
      std::chrono::seconds(10);  // of a connection: then its end starts the pauses anew
  static constexpr std::size_t max_outstanding = 10'000;  // calls without an answer; more would not be in time
  static constexpr Duration heartbeat_interval = std::chrono::seconds(2);
  static constexpr auto heartbeat_lifetime = std::chrono::seconds(10);  // without one, a gateway counts as gone
  static constexpr unsigned max_sends = 3;  // of one call, when Redis keeps forgetting the script

  enum class Phase : std::uint8_t { down, connecting, login, up };

  /// `gateway_id` is the process's, the same for all of its sessions.
  RedisSession(TimePoint now, std::string gateway_id);

  // --- calls

  /// Takes a call; false: refused at once, `done` is not called and `outcome` says why.
  bool submit(RedisTake& take, TimePoint now);
  /// Forgets a call whose waiter goes away. Its answer, if there is one to come, is read and dropped.
  void abandon(RedisTake& take) noexcept;

  // --- the connection, as the socket part reports it

  /// A connection is to be made now. Each answer of true is one attempt, to be followed by connected() or
  /// disconnected().
  [[nodiscard]] bool wants_connection() const noexcept { return phase_ == Phase::connecting && !attempt_taken_; }
  void attempt_begins() noexcept { attempt_taken_ = true; }
  void connected(const RedisLogin& login, TimePoint now);
  void received(std::string_view bytes, TimePoint now);
  /// The connection or the attempt ended by itself. `why` is for the log.
  void disconnected(std::string_view why, TimePoint now);
  /// The session has given the connection up: close it, tell nothing more of it. Whenever an attempt is over, whoever
  /// ended it, say closed() and ask wants_connection() again.
  [[nodiscard]] bool wants_close() const noexcept { return wants_close_; }
  void closed() noexcept { wants_close_ = attempt_taken_ = false; }

  /// Bytes to be sent; the caller takes them out, writes them and says when it has.
  [[nodiscard]] std::string& output() noexcept { return output_; }
  /// All that was taken out is on its way. A worker that was busy in between does not count against Redis.
  void written(TimePoint now) noexcept;

  /// The settings have changed: the connection is closed and made anew, calls under way on it are lost.
  void restart(TimePoint now) noexcept;
  /// Ends all calls; none is taken any more.
  void shut_down() noexcept;

  // --- time

  void on_time(TimePoint now);
  /// When to call on_time() next at the latest.
  [[nodiscard]] TimePoint next_time() const noexcept;

  // --- the end

  /// This gateway stops: says so to the others, and no more that it lives.
  void leave();
  /// It has been heard, or cannot be said.
  [[nodiscard]] bool has_left() const noexcept { return leaving_ && (goodbye_answered_ || phase_ != Phase::up); }

  // --- to be seen

  /// How long a call that is written now may take.
  [[nodiscard]] Duration decision_time() const noexcept;

  /// How many gateways share the store, as far as it has said: at least this one. It falls only when the store has
  /// said less for heartbeat_lifetime: one that has just come back empty does not know the others yet.
  [[nodiscard]] std::uint64_t live_gateways() const noexcept { return live_gateways_; }

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  /// Calls are answered: logged in and the breaker closed.
  [[nodiscard]] bool is_serving() const noexcept { return phase_ == Phase::up && !open_; }
  [[nodiscard]] bool breaker_is_open() const noexcept { return open_; }
  [[nodiscard]] std::size_t outstanding() const noexcept { return outstanding_; }
  /// Why the last connection or attempt failed; never Redis's own words beyond an error's code, which cannot hold a
  /// secret.
  [[nodiscard]] const std::string& last_failure() const noexcept { return last_failure_; }
  /// The code of the error by which Redis refused, if that was it: redis_advice() knows it.
  [[nodiscard]] const std::string& last_error_code() const noexcept { return last_error_code_; }

 private:
  struct Slot {
    enum class Kind : std::uint8_t { auth, select, ping, take, script, probe, heartbeat, goodbye };
    Kind kind;
    bool carries_script = false;
    RedisTake* take = nullptr;  // null: nobody waits any more
    TimePoint written = TimePoint::max();  // max: not yet
  };

  void send(RedisTake& take);
  void send_heartbeat(TimePoint now);
  void on_reply(const ratelimit::RespValue& reply, TimePoint now);
  void on_login_reply(const Slot& slot, const ratelimit::RespValue& reply, TimePoint now);
  void on_ping_reply(const Slot& slot, const ratelimit::RespValue& reply, TimePoint now);
  void on_script_reply(const ratelimit::RespValue& reply, TimePoint now);
  void on_probe_reply(const ratelimit::RespValue& reply, TimePoint now);
  void on_heartbeat_reply(const ratelimit::RespValue& reply, TimePoint now);
  void measure(const Slot& slot, TimePoint now) noexcept;
  [[nodiscard]] std::string no_answer() const;
  void send_ping();
  void send_script();
  void probe();
  void send_probe();
  void on_take_reply(const Slot& slot, const ratelimit::RespValue& reply, TimePoint now);
  void finish(RedisTake& take, TakeOutcome outcome) noexcept;
  void fail_all(TakeOutcome outcome) noexcept;
  void open_breaker(TimePoint now) noexcept;
  void drop_connection() noexcept;
  void give_up(std::string why, TimePoint now);
  /// `code`: what says more than ERR, or than an error without a code; empty where nothing does.
  void refused(std::string_view what, const ratelimit::RespValue& reply, TimePoint now, std::string_view code = {});
  void begin_attempt(TimePoint now) noexcept;
  void plan_attempt(TimePoint now) noexcept;

  Phase phase_ = Phase::connecting;
  bool attempt_taken_ = false;
  bool wants_close_ = false;
  bool open_ = false;
  TimePoint attempt_ends_;  // connecting and login
  TimePoint next_attempt_;  // down, or up with the breaker open
  TimePoint up_since_;
  Duration pause_ = first_pause;

  std::string output_;
  ratelimit::RespReader reader_;
  std::deque<Slot> slots_;  // commands sent on this connection and not answered, in order
  unsigned scripts_on_the_way_ = 0;  // of them, EVALs
  RedisTake* oldest_ = nullptr;  // of all calls that wait, in order of submission
  RedisTake* newest_ = nullptr;
  std::size_t outstanding_ = 0;
  std::string last_failure_;
  std::string last_error_code_;
  TimePoint refused_at_ = TimePoint::min();  // by an error that concerns all calls

  Duration round_trip_{};  // smoothed; a new connection begins with its PING's
  TimePoint last_sample_{};  // when it was last measured
  unsigned pings_ = 0;  // of this login
  unsigned probes_ = 0;  // how often the call of the session's own that is under way was sent; 0: none is

  std::string gateway_id_;
  TimePoint next_heartbeat_;
  std::uint64_t live_gateways_ = 1;
  TimePoint all_seen_;  // when the store last counted as many
  bool leaving_ = false;
  bool goodbye_answered_ = false;
};

}  // namespace gatehouse::upstream
