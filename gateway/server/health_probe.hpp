// `gatehouse health`: asks /readyz as a container's health check does.
#pragma once

#include "config/address.hpp"

namespace gatehouse::server {
/// True if the gateway whose admin endpoints are at `admin` is ready. Waits at most 3 s.
[[nodiscard]] bool is_ready(const SocketAddress& admin);
}  // namespace gatehouse::server
