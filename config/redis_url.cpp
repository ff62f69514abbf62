// See redis_url.hpp.
#include "config/redis_url.hpp"

#include <fmt/format.h>

#include "config/address.hpp"
#include "config/kinds.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::uint64_t kHighestDatabase = 65'535;
constexpr std::string_view kExample = "write it as redis://host:6379/0, or rediss:// for TLS";

std::unexpected<std::string> wrong(std::string message) { return std::unexpected(std::move(message)); }

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string_view::npos;
}

}  // namespace

Parsed<Redis> parse_redis_url(std::string_view url) {
  if (url.find('@') != std::string_view::npos) {
    return wrong(
        "a url with a user or a password is not accepted here: give the user as username, and the password in a file "
        "named by password_file");
  }
  Redis redis;
  redis.url = url;
  std::string_view rest = url;
  if (rest.starts_with("redis://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("rediss://"))
    rest.remove_prefix(9), redis.tls = true;
  else
    return wrong(fmt::format("{} is not the url of a Redis: {}", cite(url), kExample));
  if (rest.find_first_of("?#") != std::string_view::npos)
    return wrong(fmt::format("{} has a query or a fragment, which is not accepted: {}", cite(url), kExample));

  const auto slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  std::string_view database = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const auto bracket = authority.find(']');
    if (bracket == std::string_view::npos) return wrong(fmt::format("{} has no ']' behind its address", cite(url)));
    const auto address = IpAddress::parse(authority.substr(1, bracket - 1));
    if (!address) return wrong(fmt::format("{} has no IPv6 address in its brackets", cite(url)));
    redis.host = address->to_string();
    authority.remove_prefix(bracket + 1);
    if (!authority.empty() && authority.front() != ':')
      return wrong(fmt::format("{} has something between ']' and the port", cite(url)));
    has_port = !authority.empty();
    if (has_port) port = authority.substr(1);
  } else {
    const auto colon = authority.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    const std::string_view host = authority.substr(0, colon);
    if (!is_host(host)) return wrong(fmt::format("{} has no host: {}", cite(url), kExample));
    redis.host = host;
  }
  if (has_port) {
    const auto number = parse_integer(port);
    if (!number || *number == 0 || *number > 65'535)
      return wrong(fmt::format("{} has a port that is not a number from 1 to 65535", cite(url)));
    redis.port = static_cast<std::uint16_t>(*number);
  }
  if (database.ends_with('/')) database.remove_suffix(1);
  if (!database.empty()) {
    const auto number = parse_integer(database);
    if (!number || *number > kHighestDatabase)
      return wrong(fmt::format("{} has a database that is not a number from 0 to {}", cite(url), kHighestDatabase));
    redis.database = static_cast<int>(*number);
  }
  return redis;
}

bool RedisUrl::read(Source& source, const Node& node, Redis& out) const {
  const std::string* text = text_of(source, node, "a url such as redis://127.0.0.1:6379/0");
  if (text == nullptr) return false;
  auto parsed = parse_redis_url(*text);
  if (!parsed) {
    source.error(node.at, parsed.error());
    return false;
  }
  out.url = std::move(parsed->url);
  out.tls = parsed->tls;
  out.host = std::move(parsed->host);
  out.port = parsed->port;
  out.database = parsed->database;
  return true;
}

JsonObject RedisUrl::schema() const {
  JsonObject schema = schema_of_type("string");
  schema.add_string("pattern", "^rediss?://[^@?#]+$");
  return schema;
}

}  // namespace gatehouse::config
