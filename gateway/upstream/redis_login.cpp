// Logging in to Redis; see redis_login.hpp.
#include "gateway/upstream/redis_login.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>

#include "config/files.hpp"

namespace gatehouse::upstream {

namespace {

constexpr std::size_t kMaxPasswordBytes = 4096;  // Redis's own limit is far above any password

/// The first line of a file. The caller wipes it.
std::optional<std::string> read_password(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string text(kMaxPasswordBytes + 1, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = ::read(fd, text.data() + size, text.size() - size)) > 0)
    size += static_cast<std::size_t>(got);
  ::close(fd);
  if (got < 0 || size > kMaxPasswordBytes) {
    OPENSSL_cleanse(text.data(), text.size());
    return std::nullopt;
  }
  text.resize(std::min(size, text.find('\n')));
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace

std::optional<RedisLogin> read_redis_login(const config::Redis& settings) {
  RedisLogin login;
  login.database = settings.database;
  login.username = settings.username;
  login.authenticate = !settings.password_file.empty();
  if (!login.authenticate) return login;
  std::optional<std::string> password = read_password(settings.password_file);  // now: it may have been changed
  if (!password) return std::nullopt;
  login.password = std::move(*password);
  return login;
}

std::expected<std::shared_ptr<const net::ClientTls>, std::string> make_redis_tls(const config::Redis& settings) {
  net::ClientTls::Settings tls;
  if (!settings.ca_file.empty()) {
    auto ca = config::FileRules::of_gateway(settings.ca_file).read(settings.ca_file);
    if (!ca) return std::unexpected(ca.error());
    tls.ca_pem = *std::move(ca);
  }
  return net::ClientTls::create(tls);
}

}  // namespace gatehouse::upstream
