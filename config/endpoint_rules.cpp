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

/// None if the kernel does not tell them: a sandbox without AF_NETLINK, or no memory or descriptors.
std::optional<std::vector<IpAddress>> addresses_of_this_machine() {
  std::vector<IpAddress> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return std::nullopt;
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

/// Whoever cannot tell refuses, with other words.
enum class Answer { no, yes, unknown };

/// Asks the kernel at most once a second: a tenant's file may have tens of thousands of endpoints.
Answer is_address_of_this_machine(const IpAddress& address) {
  using Clock = std::chrono::steady_clock;
  thread_local std::optional<std::vector<IpAddress>> known;
  thread_local std::optional<Clock::time_point> asked;
  if (is_loopback(address)) return Answer::yes;
  if (const auto now = Clock::now(); !asked || now - *asked > std::chrono::seconds(1)) {
    known = addresses_of_this_machine();
    asked = now;
  }
  if (!known) return Answer::unknown;
  return std::ranges::find(*known, address) != known->end() ? Answer::yes : Answer::no;
}

/// Whether `own` is reached by connecting to `endpoint`.
Answer reaches(const SocketAddress& endpoint, const SocketAddress& own) {
  if (endpoint.port != own.port) return Answer::no;
  if (endpoint.ip == own.ip) return Answer::yes;
  if (is_unspecified(own.ip)) return is_address_of_this_machine(endpoint.ip);
  // Not another machine's in any case, and packet filters may bring one loopback address to another.
  return is_loopback(endpoint.ip) && is_loopback(own.ip) ? Answer::yes : Answer::no;
}

/// A request's line and fields are commands to a Redis; who counts everybody's limits must not hear them.
Answer is_redis(const SocketAddress& endpoint, const Redis& redis) {
  if (endpoint.port != redis.port) return Answer::no;
  std::string_view host = redis.host;
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto address = to_lower(host) == "localhost" ? IpAddress::v4(0x7F000001) : IpAddress::parse(host);
  if (!address) return Answer::no;  // a name, which is not resolved here
  if (endpoint.ip == *address) return Answer::yes;
  // A Redis of this machine may take connections on all of its addresses, whichever the URL names.
  const Answer one = is_address_of_this_machine(endpoint.ip);
  const Answer other = is_address_of_this_machine(*address);
  if (one == Answer::no || other == Answer::no) return Answer::no;
  return one == Answer::yes && other == Answer::yes ? Answer::yes : Answer::unknown;
}

/// Empty for no, `why` for yes.
std::string reason(Answer answer, std::string_view whose, std::string_view why) {
  if (answer == Answer::no) return {};
  if (answer == Answer::yes) return fmt::format("is the gateway's own {}{}", whose, why);
  return fmt::format(
      "has the port of the gateway's own {} and may be an address of this machine, which the system does "
      "not list for this process; under systemd, RestrictAddressFamilies must have AF_NETLINK",
      whose);
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
    const std::string whose = "listener " + listener.address.to_string();
    if (std::string why = reason(reaches(endpoint, listener.address), whose, "; requests would go round in a circle");
        !why.empty())
      return why;
  }
  constexpr std::string_view off_limits = ", which tenants must not reach";
  std::string why;
  if (gateway.admin) why = reason(reaches(endpoint, *gateway.admin), "admin address", off_limits);
  if (why.empty() && gateway.metrics) why = reason(reaches(endpoint, *gateway.metrics), "metrics address", off_limits);
  if (why.empty() && gateway.redis) why = reason(is_redis(endpoint, *gateway.redis), "Redis", off_limits);
  if (!why.empty()) return why;
  const EndpointNetworks& networks = gateway.policy.upstreams;
  const auto other = translated(endpoint.ip);
  if (is_in(networks.deny, endpoint.ip) || (other && is_in(networks.deny, *other)))
    return "lies in a network that the platform's policy.upstreams.deny takes out";
  if (!networks.allow.empty() && !is_in(networks.allow, endpoint.ip))
    return "lies in none of the networks of the platform's policy.upstreams.allow";
  return {};
}

}  // namespace gatehouse::config
