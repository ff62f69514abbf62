// Where a tenant's traffic must never go: the gateway itself, the machine's neighbourhood of metadata services, and
// addresses that name no single machine. Called for each endpoint of a tenant's file.
#pragma once

#include <string>

#include "config/address.hpp"
#include "config/gateway_config.hpp"

namespace gatehouse::config {

[[nodiscard]] bool is_unspecified(const IpAddress& address) noexcept;  // 0.0.0.0, ::
[[nodiscard]] bool is_loopback(const IpAddress& address) noexcept;     // 127.0.0.0/8, ::1

/// True if both can not be bound at the same time: equal ports and equal addresses, or one of them for all addresses.
[[nodiscard]] bool sockets_overlap(const SocketAddress& a, const SocketAddress& b) noexcept;

/// Empty if `endpoint` may be one, else why not ("is the gateway's own listener ...").
[[nodiscard]] std::string why_no_endpoint(const SocketAddress& endpoint, const GatewayConfig& gateway);

}  // namespace gatehouse::config
