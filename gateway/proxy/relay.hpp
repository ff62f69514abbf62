// Between client and upstream: the request's body up, the answer down, WebSockets both ways. Called by proxy.cpp.
#pragma once

#include <coroutine>
#include <exception>

#include "gateway/proxy/server_stream.hpp"
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
[[nodiscard]] runtime::Task<BufferResult> buffer_body(ServerStream& stream, std::size_t limit);

/// Chooses an endpoint, sends the request, brings the answer back; or exchange.reply holds an answer of our own and
/// nothing has been sent. forward.cpp
[[nodiscard]] runtime::Task<void> forward(ServerStream& stream);

/// A request body under way to the upstream, beside the wait for the answer.
struct Upload {
  enum class State {
    running,
    done,
    client_failed,
    client_malformed,
    client_late,
    too_large,
    upstream_failed,
    stopped,
    thrown,  // an exception ended it, see `failure`
  };
  State state = State::done;
  bool stop = false;  // the answer is complete: nobody wants the rest
  bool is_answered = false;  // the answer's head is there: its reader sets the times
  std::exception_ptr failure;  // for who joins it
  std::coroutine_handle<> joiner;
  [[nodiscard]] bool finished() const noexcept { return state != State::running; }
};

/// Streams the rest of the body to the upstream. `chunked`: framed as chunks, else as it is.
[[nodiscard]] runtime::Task<void> run_upload(ServerStream& stream, upstream::UpstreamConnection& to, bool chunked,
                                             Upload& upload);

/// The same for the rest of a body that is at hand.
[[nodiscard]] runtime::Task<void> run_upload_of(const filter::Exchange& exchange, std::string_view rest,
                                                upstream::UpstreamConnection& to, Upload& upload);

enum class RelayResult {
  complete,  // the client has the whole answer
  upstream_failed,  // the answer broke off
  client_failed,
};

/// Sends the answer that has been begun to the client, its head with the first of its body: `beginning`, which has been
/// taken out of `body` already, then the rest, then `trailers`, lines that `body` has collected.
[[nodiscard]] runtime::Task<RelayResult> relay_answer(ServerStream& stream, upstream::UpstreamConnection& from,
                                                      http::BodyReader& body, std::string_view beginning,
                                                      const std::string& trailers);

/// Both directions until one ends (RFC 9110 section 7.8).
[[nodiscard]] runtime::Task<void> run_tunnel(ServerStream& stream, upstream::UpstreamConnection& upstream);

}  // namespace gatehouse::proxy
