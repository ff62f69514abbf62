// See identifier.hpp.
#include "acme/identifier.hpp"

#include "config/address.hpp"

namespace gatehouse::acme {

Identifier identifier_of(std::string_view host) {
  std::string_view text = host;
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (const auto address = IpAddress::parse(text)) return {Identifier::Type::ip, address->to_string()};
  return {Identifier::Type::dns, std::string(host)};
}

std::string host_of(const Identifier& identifier) {
  const bool is_v6 = identifier.type == Identifier::Type::ip && identifier.value.find(':') != std::string::npos;
  return is_v6 ? "[" + identifier.value + "]" : identifier.value;
}

std::string tls_alpn_name(const Identifier& identifier) {
  if (identifier.type == Identifier::Type::dns) return identifier.value;
  const auto address = IpAddress::parse(identifier.value);
  if (!address) return {};
  std::string name;
  if (address->is_v4()) {  // RFC 1035 section 3.5: bytes, the last one first
    for (unsigned shift = 0; shift < 32; shift += 8) name += std::to_string(address->v4_value() >> shift & 0xff) + ".";
    return name + "in-addr.arpa";
  }
  static constexpr std::string_view digits =
      "0123456789abcdef";  // RFC 3596 section 2.5: half bytes, the last one first
  const auto& bytes = address->bytes();
  for (std::size_t i = bytes.size(); i-- > 0;) {
    name += {digits[bytes[i] & 0x0fU], '.', digits[bytes[i] >> 4U], '.'};
  }
  return name + "ip6.arpa";
}

}  // namespace gatehouse::acme
