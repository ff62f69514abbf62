// acme/identifier.hpp.
#include "acme/identifier.hpp"

#include <gtest/gtest.h>

namespace gatehouse::acme {
namespace {

TEST(Identifiers, AreNamesOrAddresses) {
  EXPECT_EQ(identifier_of("shop.example.de"), (Identifier{Identifier::Type::dns, "shop.example.de"}));
  EXPECT_EQ(identifier_of("*.example.de"), (Identifier{Identifier::Type::dns, "*.example.de"}));
  EXPECT_EQ(identifier_of("192.0.2.7"), (Identifier{Identifier::Type::ip, "192.0.2.7"}));
  EXPECT_EQ(identifier_of("[2001:db8::7]"), (Identifier{Identifier::Type::ip, "2001:db8::7"}));
  EXPECT_EQ(identifier_of("2001:0db8:0::7"), (Identifier{Identifier::Type::ip, "2001:db8::7"}));
}

TEST(Identifiers, AreHostsAgain) {
  for (const char* const host : {"shop.example.de", "*.example.de", "192.0.2.7", "[2001:db8::7]"})
    EXPECT_EQ(host_of(identifier_of(host)), host);
}

// RFC 8738 section 6 has these two.
TEST(Identifiers, HaveReverseNamesForTlsAlpn) {
  EXPECT_EQ(tls_alpn_name(identifier_of("shop.example.de")), "shop.example.de");
  EXPECT_EQ(tls_alpn_name(identifier_of("192.0.2.1")), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(tls_alpn_name(identifier_of("2001:db8::1")),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

}  // namespace
}  // namespace gatehouse::acme
