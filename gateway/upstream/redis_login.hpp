// How to reach and log in to Redis, from what the configuration names. Used by everything that has a connection to it.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "config/gateway_config.hpp"
#include "gateway/net/tls.hpp"

namespace gatehouse::upstream {

/// How to log in; see config::Redis. Read anew for each connection.
struct RedisLogin {
  bool authenticate = false;
  std::string username;  // empty: Redis's default user
  std::string password;
  int database = 0;
};

/// std::nullopt: password_file cannot be read. The caller wipes the password.
[[nodiscard]] std::optional<RedisLogin> read_redis_login(const config::Redis& settings);

/// For rediss.
[[nodiscard]] std::expected<std::shared_ptr<const net::ClientTls>, std::string> make_redis_tls(
    const config::Redis& settings);

}  // namespace gatehouse::upstream
