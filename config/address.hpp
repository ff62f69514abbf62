// IP addresses, networks and socket addresses as values. The vocabulary of configuration, access lists,
// limits and the listener; no sockets here.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gatehouse {

/// An IPv4 or IPv6 address. IPv4 is held as its IPv4-mapped form (::ffff:a.b.c.d), so that both families
/// compare and hash alike and a client is one client whichever socket it came through.
class IpAddress {
 public:
  IpAddress() = default;  // "::"
  static IpAddress v4(std::uint32_t host_order) noexcept;
  static IpAddress v6(const std::array<std::uint8_t, 16>& network_order) noexcept;

  /// Parses "203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9". No brackets, no port, no zone, no
  /// leading zeros or short forms ("010.1", "127.1"): these are read differently by different programs.
  static std::optional<IpAddress> parse(std::string_view text) noexcept;

  [[nodiscard]] bool is_v4() const noexcept;
  [[nodiscard]] std::uint32_t v4_value() const noexcept;  // host order; only if is_v4()
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }

  /// Keeps the first bits of the address: `v4_bits` for IPv4, `v6_bits` for IPv6; the rest is zero.
  [[nodiscard]] IpAddress truncated(unsigned v4_bits, unsigned v6_bits) const noexcept;

  [[nodiscard]] std::string to_string() const;           // RFC 5952; IPv4 without the mapped prefix
  std::size_t format(char (&out)[46]) const noexcept;    // the same without allocation; returns the length

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

/// A network in CIDR notation. "10.0.0.0/8", "2001:db8::/32"; a bare address is a host network.
class Cidr {
 public:
  Cidr() = default;
  /// Refuses host bits that are set ("10.0.0.1/8"), since the author then meant something else.
  static std::optional<Cidr> parse(std::string_view text) noexcept;
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const Cidr&) const = default;

 private:
  IpAddress network_;
  unsigned prefix_bits_ = 128;  // counted in the mapped form: 96 + n for IPv4
};

/// An IP address and a port: "127.0.0.1:8080", "[::]:8443".
struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;
  static std::optional<SocketAddress> parse(std::string_view text) noexcept;
  [[nodiscard]] std::string to_string() const;  // with brackets for IPv6
  auto operator<=>(const SocketAddress&) const = default;
};

}  // namespace gatehouse

template <>
struct std::hash<gatehouse::IpAddress> {
  std::size_t operator()(const gatehouse::IpAddress& a) const noexcept;
};
