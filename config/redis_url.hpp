// redis://host:port/database as the kind of redis.url; see kinds.hpp. Called by gateway_reader.cpp.
#pragma once

#include <string_view>

#include "config/gateway_config.hpp"
#include "config/quantity.hpp"
#include "config/reader.hpp"

namespace gatehouse::config {

/// Fills url, tls, host, port and database. An error never repeats the url where it holds a password.
[[nodiscard]] Parsed<Redis> parse_redis_url(std::string_view url);

struct RedisUrl {
  bool read(Source& source, const Node& node, Redis& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const Redis&) const { return {}; }
};

}  // namespace gatehouse::config
