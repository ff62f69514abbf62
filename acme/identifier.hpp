// What a certificate is for: a DNS name, also with a wildcard, or an IP address (RFC 8555 section 9.7.7, RFC 8738).
#pragma once

#include <string>
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

}  // namespace gatehouse::acme
