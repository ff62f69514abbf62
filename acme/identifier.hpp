// What a certificate is for: a DNS name, also with a wildcard, or an IP address (RFC 8555 section 9.7.7, RFC 8738).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::acme {

struct Identifier {
  enum class Type : unsigned char { dns, ip };
  Type type = Type::dns;
  std::string value;  // an A-label name in lower case, perhaps with "*." before it; or an address as RFC 5952 writes it

  [[nodiscard]] bool is_wildcard() const noexcept { return type == Type::dns && value.starts_with("*."); }
  auto operator<=>(const Identifier&) const = default;
};

using Identifiers = std::vector<Identifier>;

/// Of a host as tenants' files and requests name it: "shop.example.de", "192.0.2.7", "[2001:db8::7]"; also of an address
/// without brackets.
[[nodiscard]] Identifier identifier_of(std::string_view host);

/// The host of an identifier: an IPv6 address has brackets.
[[nodiscard]] std::string host_of(const Identifier& identifier);

/// The server name under which tls-alpn-01 asks for an identifier: an address by its reverse name (RFC 8738 section 6).
[[nodiscard]] std::string tls_alpn_name(const Identifier& identifier);

}  // namespace gatehouse::acme
