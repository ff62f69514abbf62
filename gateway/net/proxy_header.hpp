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
  std::size_t header_bytes = 0;                 // complete
  std::optional<SocketAddress> source;          // absent: LOCAL, UNKNOWN or an address family that is not IP: use the peer's own
  std::optional<SocketAddress> destination;
  const char* why = nullptr;                    // malformed
};

/// Bytes that must be at hand at most before a header is complete or malformed: v1 107, v2 16 + 4096 (TLVs bounded by us).
inline constexpr std::size_t max_proxy_header_bytes = 16 + 4096;

/// Parses either version at the start of `bytes`. TLVs are checked for shape and skipped; a CRC32C TLV is verified.
[[nodiscard]] ProxyHeader parse_proxy_header(std::string_view bytes) noexcept;

/// True if `bytes` begin as a PROXY header would (for refusing one where none is expected).
[[nodiscard]] bool looks_like_proxy_header(std::string_view bytes) noexcept;

}  // namespace gatehouse::net
