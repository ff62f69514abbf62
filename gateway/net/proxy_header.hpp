// PROXY protocol v1 and v2 headers from bytes (the specification: haproxy.org/download/2.9/doc/proxy-protocol.txt).
// Called by the listener for peers in trusted_proxies; fuzzed as it stands.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "config/address.hpp"

namespace gatehouse::net {

struct ProxyHeader {
  enum class Status { need_more, complete, malformed } status = Status::need_more;
  std::size_t header_bytes = 0;  // complete
  std::optional<SocketAddress>
      source;  // absent: LOCAL, UNKNOWN or an address family that is not IP: use the peer's own
  std::optional<SocketAddress> destination;
  const char* why = nullptr;  // malformed: a sentence for the log, static
};

/// Bytes that must be at hand at most before a header is complete or malformed: v1 107, v2 16 + 4096 (TLVs bounded by
/// us).
inline constexpr std::size_t max_proxy_header_bytes = 16 + 4096;

/// Parses either version at the start of `bytes`; what cannot become a header is malformed at its first wrong byte.
/// In v2, TLVs behind an IP or UNIX address are checked for shape and skipped, and a CRC32C TLV is verified; LOCAL and
/// UNSPEC headers are skipped by their length, as the specification asks.
[[nodiscard]] ProxyHeader parse_proxy_header(std::string_view bytes) noexcept;

/// True if `bytes` begin as a PROXY header would (for refusing one where none is expected): with v2's signature, or
/// with v1's "PROXY " and a protocol that it knows.
[[nodiscard]] bool looks_like_proxy_header(std::string_view bytes) noexcept;

}  // namespace gatehouse::net
