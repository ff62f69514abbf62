// Name look-ups; see name_lookup.hpp.
#include "gateway/upstream/name_lookup.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "gateway/http/head.hpp"

namespace gatehouse::upstream {

namespace {

constexpr std::size_t kMaxAddresses = 16;

// "localhost" and the names below it are this machine's loopback whatever a name server says, and also where there is
// neither a name server nor a hosts file (RFC 6761 section 6.3).
bool is_localhost(std::string_view host) noexcept {
  constexpr std::string_view name = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() < name.size() || !http::equals_ignore_case(host.substr(host.size() - name.size()), name))
    return false;
  return host.size() == name.size() || host[host.size() - name.size() - 1] == '.';
}

std::vector<IpAddress> resolve(const std::string& host) {
  if (is_localhost(host)) return {*IpAddress::parse("127.0.0.1"), *IpAddress::parse("::1")};
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  std::vector<IpAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr && addresses.size() < kMaxAddresses; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ai_addr);
      addresses.push_back(IpAddress::v4(ntohl(address->sin_addr.s_addr)));
    } else if (entry->ai_family == AF_INET6) {
      std::array<std::uint8_t, 16> bytes;
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(entry->ai_addr)->sin6_addr, bytes.size());
      addresses.push_back(IpAddress::v6(bytes));
    }
  }
  ::freeaddrinfo(found);
  return addresses;
}

}  // namespace

/// Held by the look-up and by its thread, whichever lives longer; they meet under the mutex.
struct NameLookup::Query {
  std::mutex mutex;
  NameLookup* owner = nullptr;  // null: nobody waits any more. Changed on the loop's thread, under the mutex
  // Of the loop's thread alone:
  std::string host;
  std::optional<std::vector<IpAddress>> found;

  static void run(const std::shared_ptr<Query>& query, const std::string& host) {
    std::vector<IpAddress> addresses = resolve(host);
    const std::scoped_lock lock{query->mutex};  // while it is held, owner and its loop live
    if (query->owner == nullptr) return;
    query->owner->loop_.post([query, addresses = std::move(addresses)] {
      query->found = addresses;
      if (query->owner != nullptr) query->owner->on_done_();
    });
  }
};

void NameLookup::begin(const std::string& host) {
  if (query_ && query_->host == host) return;
  forget();
  query_ = std::make_shared<Query>();
  query_->owner = this;
  query_->host = host;
  try {
    std::thread([query = query_, host] { Query::run(query, host); }).detach();
  } catch (...) {
    query_.reset();
    throw;
  }
}

std::optional<std::vector<IpAddress>> NameLookup::take() {
  if (!query_ || !query_->found) return std::nullopt;
  std::optional<std::vector<IpAddress>> found = std::move(query_->found);
  query_.reset();
  return found;
}

void NameLookup::forget() noexcept {
  if (!query_) return;
  {
    const std::scoped_lock lock{query_->mutex};
    query_->owner = nullptr;
  }
  query_.reset();
}

}  // namespace gatehouse::upstream
