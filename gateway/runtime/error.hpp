// Errors of the request path: what happened, on whose side, and whether another attempt is safe.
// The path returns std::expected with these; exceptions are for start-up and configuration.
#pragma once

#include <cstdint>

namespace gatehouse::runtime {

/// Every error says when it happens; the comment is the documentation.
enum class Errc : std::uint8_t {
  ok = 0,
  end_of_stream,          // the peer closed in an orderly way
  truncated,  // TLS ended without the peer's close_notify: there may have been more (RFC 8446 section 6.1)
  reset,  // the peer reset the connection, or another failure of the socket
  timed_out,  // the stream's deadline passed; Stream::late() says in which phase
  cancelled,  // the gateway gave the stream up: the other side is gone, or a drain ended
  tls,  // the peer does not speak TLS as we accept it
  tls_verify,  // the peer's certificate is not trusted or not for this name
  refused,  // nobody listens at the endpoint
  connect,  // no connection to the endpoint for another reason: unreachable
  malformed,  // the peer's bytes are not a message that we accept
  too_large,  // a head or a body exceeds its limit
  too_slow,  // the peer stayed below limits.min_rate
  exhausted,  // descriptors, memory or a queue of ours is at its bound
};

[[nodiscard]] const char* error_text(Errc code) noexcept;

}  // namespace gatehouse::runtime
