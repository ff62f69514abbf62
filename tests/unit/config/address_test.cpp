// IpAddress, Cidr, SocketAddress.
#include "config/address.hpp"

#include <gtest/gtest.h>

#include <string>
#include <unordered_set>

namespace gatehouse {
namespace {

std::string through(std::string_view text) {
  const auto address = IpAddress::parse(text);
  return address ? address->to_string() : "refused";
}

TEST(IpAddress, ReadsIpv4) {
  const auto address = IpAddress::parse("203.0.113.9");
  ASSERT_TRUE(address);
  EXPECT_TRUE(address->is_v4());
  EXPECT_EQ(address->v4_value(), 0xCB007109U);
  EXPECT_EQ(address->to_string(), "203.0.113.9");
  EXPECT_EQ(through("0.0.0.0"), "0.0.0.0");
  EXPECT_EQ(through("255.255.255.255"), "255.255.255.255");
}

TEST(IpAddress, HoldsMappedIpv4AsIpv4) {
  EXPECT_EQ(IpAddress::parse("::ffff:203.0.113.9"), IpAddress::parse("203.0.113.9"));
  EXPECT_EQ(IpAddress::parse("::ffff:cb00:7109"), IpAddress::parse("203.0.113.9"));
  EXPECT_EQ(IpAddress::v4(0xCB007109U), IpAddress::parse("203.0.113.9"));
}

TEST(IpAddress, RefusesIpv4InFormsThatProgramsReadDifferently) {
  for (const char* text : {"010.0.0.1", "127.1",    "127.0.1",   "2130706433", "0x7f.0.0.1", "1.2.3.4.5", "1.2.3.",
                           ".1.2.3",    "1..2.3",   "256.1.1.1", "1.2.3.4 ",   " 1.2.3.4",   "1.2.3.4/8", "1.2.3.4:80",
                           "+1.2.3.4",  "-1.2.3.4", "1.2.3.04",  "00.0.0.0",   "1.2.3.٤",    ""}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, RefusesWhatIsNoIpv6) {
  for (const char* text : {":", ":::", "1::2::3", "2001:db8::g", "2001:db8:1:2:3:4:5", "1:2:3:4:5:6:7:8:9",
                           "12345::", "[::1]", "::1%eth0", "fe80::1%1", "::1/64", "::ffff:1.2.3", "::ffff:01.2.3.4",
                           "::ffff:1.2.3.256", "1.2.3.4::", "::1 ", "0:0:0:0:0:ffff:255.255.255.2555555"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("::1\0", 4)));
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
  EXPECT_FALSE(IpAddress::parse(std::string(1000, ':')));
}

TEST(IpAddress, WritesIpv6AsRfc5952) {
  EXPECT_EQ(through("::"), "::");
  EXPECT_EQ(through("::1"), "::1");
  EXPECT_EQ(through("1::"), "1::");
  EXPECT_EQ(through("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(through("2001:0db8::0001"), "2001:db8::1");
  EXPECT_EQ(through("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");      // one group is not shortened
  EXPECT_EQ(through("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");               // the longest run
  EXPECT_EQ(through("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");         // the first of two equal ones
  EXPECT_EQ(through("0:0:1:0:0:0:0:0"), "0:0:1::");
  EXPECT_EQ(through("1:2:3:4:5:6:7:8"), "1:2:3:4:5:6:7:8");
  EXPECT_EQ(through("0:1:2:3:4:5:6:0"), "0:1:2:3:4:5:6:0");
  EXPECT_EQ(through("::1.2.3.4"), "::102:304");
  EXPECT_EQ(through("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST(IpAddress, FormatsWithoutAllocationAndTerminates) {
  char buffer[46];
  EXPECT_EQ(IpAddress::parse("255.255.255.255")->format(buffer), 15U);
  EXPECT_STREQ(buffer, "255.255.255.255");
  EXPECT_EQ(IpAddress::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")->format(buffer), 39U);
  EXPECT_STREQ(buffer, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST(IpAddress, TruncatesByFamily) {
  const auto v4 = *IpAddress::parse("203.0.113.9");
  EXPECT_EQ(v4.truncated(24, 48).to_string(), "203.0.113.0");
  EXPECT_EQ(v4.truncated(32, 0), v4);
  EXPECT_EQ(v4.truncated(0, 0).to_string(), "0.0.0.0");
  EXPECT_EQ(v4.truncated(25, 48).to_string(), "203.0.113.0");
  EXPECT_EQ(v4.truncated(31, 48).to_string(), "203.0.113.8");
  EXPECT_EQ(v4.truncated(99, 48), v4);
  const auto v6 = *IpAddress::parse("2001:db8:1:2:3:4:5:6");
  EXPECT_EQ(v6.truncated(24, 48).to_string(), "2001:db8:1::");
  EXPECT_EQ(v6.truncated(24, 64).to_string(), "2001:db8:1:2::");
  EXPECT_EQ(v6.truncated(24, 128), v6);
  EXPECT_EQ(v6.truncated(24, 999), v6);
  EXPECT_EQ(v6.truncated(24, 0).to_string(), "::");
}

TEST(IpAddress, HashesEqualAddressesAlikeAndSpreadsNeighbours) {
  const std::hash<IpAddress> hash;
  EXPECT_EQ(hash(*IpAddress::parse("::ffff:10.0.0.1")), hash(*IpAddress::parse("10.0.0.1")));
  std::unordered_set<std::size_t> low_bits;
  for (std::uint32_t i = 0; i < 4096; ++i) low_bits.insert(hash(IpAddress::v4(0x0A000000U + i)) & 0xFFFU);
  EXPECT_GT(low_bits.size(), 2000U);  // of 4096; a random function gives some 2590
}

TEST(Cidr, ContainsItsNetworkAlone) {
  const auto network = *Cidr::parse("10.0.0.0/8");
  EXPECT_TRUE(network.contains(*IpAddress::parse("10.0.0.0")));
  EXPECT_TRUE(network.contains(*IpAddress::parse("10.255.255.255")));
  EXPECT_TRUE(network.contains(*IpAddress::parse("::ffff:10.1.2.3")));
  EXPECT_FALSE(network.contains(*IpAddress::parse("11.0.0.0")));
  EXPECT_FALSE(network.contains(*IpAddress::parse("9.255.255.255")));
  EXPECT_FALSE(network.contains(*IpAddress::parse("2001:db8::1")));
}

TEST(Cidr, ComparesPartsOfAByte) {
  const auto network = *Cidr::parse("192.0.2.64/26");
  EXPECT_TRUE(network.contains(*IpAddress::parse("192.0.2.127")));
  EXPECT_FALSE(network.contains(*IpAddress::parse("192.0.2.128")));
  EXPECT_FALSE(network.contains(*IpAddress::parse("192.0.2.63")));
  const auto v6 = *Cidr::parse("2001:db8::/33");
  EXPECT_TRUE(v6.contains(*IpAddress::parse("2001:db8:7fff::1")));
  EXPECT_FALSE(v6.contains(*IpAddress::parse("2001:db8:8000::1")));
}

TEST(Cidr, ReadsABareAddressAsOneHost) {
  const auto host = *Cidr::parse("192.0.2.1");
  EXPECT_TRUE(host.contains(*IpAddress::parse("192.0.2.1")));
  EXPECT_FALSE(host.contains(*IpAddress::parse("192.0.2.2")));
  EXPECT_EQ(host.to_string(), "192.0.2.1/32");
  EXPECT_EQ(Cidr::parse("2001:db8::1")->to_string(), "2001:db8::1/128");
}

TEST(Cidr, KeepsTheFamiliesApart) {
  EXPECT_FALSE(Cidr::parse("::/0")->contains(*IpAddress::parse("192.0.2.1")));
  EXPECT_TRUE(Cidr::parse("::/0")->contains(*IpAddress::parse("2001:db8::1")));
  EXPECT_TRUE(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("192.0.2.1")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("2001:db8::1")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(IpAddress()));
}

TEST(Cidr, ReadsTheMappedFormAsIpv4) {
  const auto network = Cidr::parse("::ffff:10.0.0.0/104");
  ASSERT_TRUE(network);
  EXPECT_EQ(network->to_string(), "10.0.0.0/8");
  EXPECT_EQ(network, Cidr::parse("10.0.0.0/8"));
}

TEST(Cidr, RefusesHostBitsAndNonsense) {
  for (const char* text :
       {"10.0.0.1/8", "2001:db8::1/32", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8",
        "2001:db8::/129", "/8", "10.0.0/8", "", "10.0.0.0/ 8", "10.0.0.0/255.0.0.0", "all"}) {
    EXPECT_FALSE(Cidr::parse(text)) << text;
  }
}

TEST(Cidr, WritesBothFamilies) {
  for (const char* text : {"10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32", "::/0", "::1/128"})
    EXPECT_EQ(Cidr::parse(text)->to_string(), text);
}

TEST(SocketAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"127.0.0.1:8080", "[::]:8443", "[2001:db8::1]:1", "0.0.0.0:65535", "127.0.0.1:0"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
  EXPECT_EQ(SocketAddress::parse("127.0.0.1:8080")->port, 8080);
}

TEST(SocketAddress, RefusesWhatIsNotAnAddressWithAPort) {
  for (const char* text : {"127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:080", "127.0.0.1:-1",
                           "127.0.0.1:8a", "localhost:80", "::1:80", "[::1]", "[::1]:", "[::1]80", "[::1:80",
                           "[127.0.0.1]:80", "[]:80", "127.0.0.1:80 ", "", "[", "127.0.0.1:99999999999"}) {
    EXPECT_FALSE(SocketAddress::parse(text)) << text;
  }
}

}  // namespace
}  // namespace gatehouse
