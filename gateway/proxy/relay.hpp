// Between client and upstream: the request's body up, the answer down, WebSockets both ways. Called by proxy.cpp.
#pragma once

#include <coroutine>
#include <utility>

#include "gateway/proxy/connection.hpp"
#include "gateway/upstream/connection_pool.hpp"

namespace gatehouse::proxy {

enum class BufferResult {
  whole,        // exchange.body is the whole body
  over_limit,   // exchange.body holds the beginning; the rest is still to be read
  no_memory,    // what all requests hold would be too much
  malformed,
  late,         // the client stopped sending, or sends too slowly
  client_gone,
};

/// Reads the request's body into exchange.body, at most `limit` bytes (the last piece may go beyond it).
[[nodiscard]] runtime::Task<BufferResult> buffer_body(Connection& connection, std::size_t limit);

enum class Forwarded {
  keep_open,  // the answer is complete and another request may follow
  close,      // the connection ends: the client is gone, the answer was cut, or its end is the connection's
  answered,   // exchange.reply holds an answer of our own; nothing has been sent
};

/// Chooses an endpoint, sends the request, brings the answer back. forward.cpp
[[nodiscard]] runtime::Task<Forwarded> forward(Connection& connection);

/// Sends the client 100 Continue if it waits for that (RFC 9110 section 10.1.1), once. False: it is gone.
[[nodiscard]] runtime::Task<bool> send_continue(Connection& connection);

/// Whose turn it is to write to the client while a body is under way, as a stream has one writer: the upload asks for the
/// body with 100 (Continue), and the side of the answer sends interim ones. For these two.
class ClientTurn {
 public:
  struct Taking {
    ClientTurn& turn;
    bool await_ready() const noexcept { return !std::exchange(turn.taken_, true); }
    void await_suspend(std::coroutine_handle<> awaiting) const noexcept { turn.waiting_ = awaiting; }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] Taking take() noexcept { return {*this}; }
  /// To the other side, if that waits.
  void give(runtime::Loop& loop) {
    if (waiting_)
      loop.schedule(std::exchange(waiting_, {}));
    else
      taken_ = false;
  }

 private:
  bool taken_ = false;
  std::coroutine_handle<> waiting_;
};

/// A request body under way to the upstream, beside the wait for the answer.
struct Upload {
  enum class State { running, done, client_failed, client_malformed, client_late, too_large, upstream_failed, stopped };
  State state = State::done;
  bool stop = false;  // the answer is complete: nobody wants the rest
  std::coroutine_handle<> joiner;
  ClientTurn turn;
  [[nodiscard]] bool finished() const noexcept { return state != State::running; }
};

/// Streams the rest of the body to the upstream. `chunked`: framed as chunks, else as it is.
[[nodiscard]] runtime::Task<void> run_upload(Connection& connection, upstream::UpstreamConnection& to, bool chunked,
                                             Upload& upload);

enum class RelayResult {
  complete,  // the client has the whole answer
  upstream_failed,  // the answer broke off
  client_failed,
};

/// Sends `connection.out` (the head) and the answer's body to the client.
[[nodiscard]] runtime::Task<RelayResult> relay_answer(Connection& connection, upstream::UpstreamConnection& from,
                                                      http::BodyReader& body, bool to_chunked);

/// Both directions until one ends (RFC 9110 section 7.8).
[[nodiscard]] runtime::Task<void> run_tunnel(Connection& connection, upstream::UpstreamConnection& upstream);

}  // namespace gatehouse::proxy
