// See endpoint_rules.hpp.
#include "config/endpoint_rules.hpp"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "config/text.hpp"

namespace gatehouse::config {
namespace {

struct Forbidden {
  const char* network;
  const char* why;
};

constexpr Forbidden kForbidden[] = {
    {"0.0.0.0/8", "names no machine"},
    {"::/128", "names no machine"},
    {"169.254.0.0/16", "is link-local, where clouds keep their metadata services; tenants must not reach it"},
    {"fe80::/10", "is link-local; tenants must not reach it"},
    {"64:ff9b::a9fe:0/112", "is the link-local network 169.254.0.0/16 by way of NAT64; tenants must not reach it"},
    {"2002:a9fe::/32", "is the link-local network 169.254.0.0/16 by way of 6to4; tenants must not reach it"},
    {"fd00:ec2::254/128", "is a cloud's metadata service; tenants must not reach it"},
    {"100.100.100.200/32", "is a cloud's metadata service; tenants must not reach it"},
    {"64:ff9b::6464:64c8/128", "is a cloud's metadata service by way of NAT64; tenants must not reach it"},
    {"2002:6464:64c8::/48", "is a cloud's metadata service by way of 6to4; tenants must not reach it"},
    {"224.0.0.0/4", "is multicast"},
    {"ff00::/8", "is multicast"},
    {"255.255.255.255/32", "is broadcast"},
};

/// Deprecated "::a.b.c.d" (RFC 4291 section 2.5.5.1), of which some stacks make an IPv4 connection.
bool is_v4_compatible(const IpAddress& address) noexcept {
  const auto& bytes = address.bytes();
  return std::all_of(bytes.begin(), bytes.begin() + 12, [](std::uint8_t b) { return b == 0; }) &&
         !is_loopback(address) && !is_unspecified(address);
}

std::vector<IpAddress> addresses_of_this_machine() {
  std::vector<IpAddress> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    if (each->ifa_addr->sa_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, each->ifa_addr, sizeof in);
      found.push_back(IpAddress::v4(ntohl(in.sin_addr.s_addr)));
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, each->ifa_addr, sizeof in);
      std::array<std::uint8_t, 16> bytes{};
      std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
      found.push_back(IpAddress::v6(bytes));
    }
  }
  freeifaddrs(list);
  return found;
}

/// Asks the kernel at most once a second: a tenant's file may have tens of thousands of endpoints.
bool is_address_of_this_machine(const IpAddress& address) {
  using Clock = std::chrono::steady_clock;
  thread_local std::vector<IpAddress> known;
  thread_local std::optional<Clock::time_point> asked;
  if (const auto now = Clock::now(); !asked || now - *asked > std::chrono::seconds(1)) {
    known = addresses_of_this_machine();
    asked = now;
  }
  return std::ranges::find(known, address) != known.end();
}

/// `own` is reached by connecting to `endpoint`.
bool reaches(const SocketAddress& endpoint, const SocketAddress& own) {
  if (endpoint.port != own.port) return false;
  if (endpoint.ip == own.ip || is_loopback(endpoint.ip)) return true;
  return is_unspecified(own.ip) && is_address_of_this_machine(endpoint.ip);
}

/// A request's line and fields are commands to a Redis; who counts everybody's limits must not hear them.
bool is_redis(const SocketAddress& endpoint, const Redis& redis) {
  if (endpoint.port != redis.port) return false;
  std::string_view host = redis.host;
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto address = to_lower(host) == "localhost" ? IpAddress::v4(0x7F000001) : IpAddress::parse(host);
  if (!address) return false;  // a name, which is not resolved here
  if (endpoint.ip == *address) return true;
  const auto is_here = [](const IpAddress& ip) { return is_loopback(ip) || is_address_of_this_machine(ip); };
  return is_here(endpoint.ip) && is_here(*address);
}

/// The IPv4 address to which a translator on the way brings an IPv6 address: NAT64 (RFC 6052), 6to4 (RFC 3056).
std::optional<IpAddress> translated(const IpAddress& address) {
  if (address.is_v4()) return std::nullopt;
  const auto& bytes = address.bytes();
  const auto v4_at = [&](std::size_t at) {
    return IpAddress::v4(static_cast<std::uint32_t>(bytes[at]) << 24 | static_cast<std::uint32_t>(bytes[at + 1]) << 16 |
                         static_cast<std::uint32_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
  };
  if (Cidr::parse("64:ff9b::/96")->contains(address)) return v4_at(12);
  if (Cidr::parse("2002::/16")->contains(address)) return v4_at(2);
  return std::nullopt;
}

bool is_in(const std::vector<Cidr>& networks, const IpAddress& address) {
  return std::ranges::any_of(networks, [&](const Cidr& network) { return network.contains(address); });
}

}  // namespace

bool is_unspecified(const IpAddress& address) noexcept { return address == IpAddress() || address == IpAddress::v4(0); }

bool is_loopback(const IpAddress& address) noexcept {
  if (address.is_v4()) return address.v4_value() >> 24 == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return address.bytes() == one;
}

bool sockets_overlap(const SocketAddress& a, const SocketAddress& b) noexcept {
  if (a.port != b.port || a.port == 0) return false;
  // "::" takes IPv4 too, "0.0.0.0" does not take IPv6.
  const auto covers = [](const IpAddress& all, const IpAddress& one) {
    return all == IpAddress() || (all == IpAddress::v4(0) && one.is_v4());
  };
  return a.ip == b.ip || covers(a.ip, b.ip) || covers(b.ip, a.ip);
}

std::string why_no_endpoint(const SocketAddress& endpoint, const GatewayConfig& gateway) {
  if (endpoint.port == 0) return "has port 0, to which nobody can connect";
  for (const Forbidden& each : kForbidden) {
    const auto network = Cidr::parse(each.network);
    if (network && network->contains(endpoint.ip)) return each.why;
  }
  if (!endpoint.ip.is_v4() && is_v4_compatible(endpoint.ip))
    return "is an IPv4-compatible address, which is out of use; write the IPv4 address";
  for (const Listener& listener : gateway.listeners) {
    if (reaches(endpoint, listener.address))
      return fmt::format("is the gateway's own listener {}; requests would go round in a circle",
                         listener.address.to_string());
  }
  if (gateway.admin && reaches(endpoint, *gateway.admin))
    return "is the gateway's own admin address, which tenants must not reach";
  if (gateway.metrics && reaches(endpoint, *gateway.metrics))
    return "is the gateway's own metrics address, which tenants must not reach";
  if (gateway.redis && is_redis(endpoint, *gateway.redis))
    return "is the gateway's own Redis, which tenants must not reach";
  const EndpointNetworks& networks = gateway.policy.upstreams;
  const auto other = translated(endpoint.ip);
  if (is_in(networks.deny, endpoint.ip) || (other && is_in(networks.deny, *other)))
    return "lies in a network that the platform's policy.upstreams.deny takes out";
  if (!networks.allow.empty() && !is_in(networks.allow, endpoint.ip))
    return "lies in none of the networks of the platform's policy.upstreams.allow";
  return {};
}

}  // namespace gatehouse::config
