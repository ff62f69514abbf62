// PROXY headers of both versions: what they say, and that what is not quite one is refused at its first wrong byte.
#include "gateway/net/proxy_header.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gatehouse::net {
namespace {

using namespace std::string_literals;
using Status = ProxyHeader::Status;

std::string text(const std::optional<SocketAddress>& address) { return address ? address->to_string() : "none"; }

// ---- version 1 ----

TEST(ProxyHeaderV1, CarriesIpv4Addresses) {
  const std::string line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
  const ProxyHeader header = parse_proxy_header(line + "GET / HTTP/1.1\r\n");
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(header.header_bytes, line.size());
  EXPECT_EQ(text(header.source), "192.0.2.1:56324");
  EXPECT_EQ(text(header.destination), "198.51.100.2:443");
}

TEST(ProxyHeaderV1, CarriesIpv6Addresses) {
  const ProxyHeader header = parse_proxy_header("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n");
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(text(header.source), "[2001:db8::1]:0");
  EXPECT_EQ(text(header.destination), "[2001:db8::2]:65535");
}

TEST(ProxyHeaderV1, TakesAMappedAddressForWhatItIs) {
  const ProxyHeader header = parse_proxy_header("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(text(header.source), "192.0.2.1:1");
}

TEST(ProxyHeaderV1, TakesTheLongestLine) {
  const std::string address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const std::string line = "PROXY TCP6 " + address + " " + address + " 65535 65535\r\n";
  EXPECT_EQ(parse_proxy_header(line).status, Status::complete);
  const std::string unknown = "PROXY UNKNOWN " + address + " " + address + " 65535 65535\r\n";
  ASSERT_EQ(unknown.size(), 107U);
  EXPECT_EQ(parse_proxy_header(unknown).status, Status::complete);
}

TEST(ProxyHeaderV1, SaysNothingIfUnknown) {
  for (const std::string& line :
       {"PROXY UNKNOWN\r\n"s, "PROXY UNKNOWN \r\n"s, "PROXY UNKNOWN 1.2.3.4 what ever\r\n"s}) {
    const ProxyHeader header = parse_proxy_header(line);
    ASSERT_EQ(header.status, Status::complete) << line;
    EXPECT_EQ(header.header_bytes, line.size());
    EXPECT_FALSE(header.source);
    EXPECT_FALSE(header.destination);
  }
}

TEST(ProxyHeaderV1, RefusesWhatIsNotQuiteOne) {
  for (const std::string& line : {
           "GET / HTTP/1.1\r\n"s,
           "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           " PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY \r\n"s,
           "PROXY\r\n"s,
           "PROXY TCP4\r\n"s,
           "PROXY TCP4 \r\n"s,
           "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY UNKNOWNX\r\n"s,
           "PROXY UNKNOW\r\n"s,
           // words
           "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"s,
           "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n"s,
           "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1  2\r\n"s,
           // addresses
           "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"s,
           "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n"s,
           "PROXY TCP4 ::ffff:192.0.2.1 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"s,
           "PROXY TCP4 localhost 192.0.2.2 1 2\r\n"s,
           "PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n"s,
           "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n"s,
           "PROXY TCP4 0xC0000201 192.0.2.2 1 2\r\n"s,
           // ports
           "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 0x2\r\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 a\r\n"s,
           // line ends and bytes
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX"s,
           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n"s,
           "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"s,
           "PROXY UNKNOWN \x80\r\n"s,
           "PROXY UNKNOWN \t\r\n"s,
           "PROXY UNKNOWN\n"s,
       }) {
    const ProxyHeader header = parse_proxy_header(line);
    EXPECT_EQ(header.status, Status::malformed) << testing::PrintToString(line);
    EXPECT_NE(header.why, nullptr);
    EXPECT_FALSE(header.source);
  }
}

TEST(ProxyHeaderV1, BoundsTheLine) {
  const std::string line = "PROXY UNKNOWN " + std::string(91, 'x');  // 105
  EXPECT_EQ(parse_proxy_header(line + "\r\n").status, Status::complete);
  EXPECT_EQ(parse_proxy_header(line).status, Status::need_more);
  EXPECT_EQ(parse_proxy_header(line + "x").status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(line + "x\r\n").status, Status::malformed);
}

// ---- version 2 ----

std::string u16(std::size_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)}; }

/// A header with this version and command, family and transport, and block.
std::string v2(char command, char family, const std::string& block) {
  return "\r\n\r\n\0\r\nQUIT\n"s + command + family + u16(block.size()) + block;
}

std::string tlv(char type, const std::string& value) { return type + u16(value.size()) + value; }

const std::string ipv4_block = "\xC0\x00\x02\x01\xC6\x33\x64\x02\x01\x02\x01\xBB"s;
const std::string ipv6_block =
    "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02\x01\x02\x01\xBB"s;
constexpr char local = 0x20;
constexpr char proxy = 0x21;

TEST(ProxyHeaderV2, CarriesIpv4Addresses) {
  const std::string bytes = v2(proxy, 0x11, ipv4_block);
  const ProxyHeader header = parse_proxy_header(bytes + "\x16\x03\x01");
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(header.header_bytes, bytes.size());
  EXPECT_EQ(text(header.source), "192.0.2.1:258");
  EXPECT_EQ(text(header.destination), "198.51.100.2:443");
}

TEST(ProxyHeaderV2, CarriesIpv6Addresses) {
  const ProxyHeader header = parse_proxy_header(v2(proxy, 0x21, ipv6_block));
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(text(header.source), "[2001:db8::1]:258");
  EXPECT_EQ(text(header.destination), "[2001:db8::2]:443");
}

TEST(ProxyHeaderV2, CarriesAddressesOfDatagramsToo) {
  EXPECT_EQ(text(parse_proxy_header(v2(proxy, 0x12, ipv4_block)).source), "192.0.2.1:258");
  EXPECT_EQ(text(parse_proxy_header(v2(proxy, 0x22, ipv6_block)).source), "[2001:db8::1]:258");
}

TEST(ProxyHeaderV2, SaysNothingIfLocalUnspecifiedOrUnix) {
  for (const std::string& bytes : {v2(local, 0x00, ""), v2(local, 0x11, ipv4_block), v2(local, 0x11, "abc"),
                                   v2(local, 0x00, "any bytes"), v2(proxy, 0x00, ""), v2(proxy, 0x00, "any bytes"),
                                   v2(proxy, 0x31, std::string(216, 'x')), v2(proxy, 0x32, std::string(216, '\0'))}) {
    const ProxyHeader header = parse_proxy_header(bytes);
    ASSERT_EQ(header.status, Status::complete) << testing::PrintToString(bytes);
    EXPECT_EQ(header.header_bytes, bytes.size());
    EXPECT_FALSE(header.source);
    EXPECT_FALSE(header.destination);
  }
}

TEST(ProxyHeaderV2, SkipsTlvs) {
  const std::string tlvs = tlv(0x01, "h2") + tlv(0x02, "shop.example") + tlv(0x04, "") +
                           tlv(0x05, std::string(128, 'i')) + tlv(0x20, "\x01\0\0\0\0"s) +
                           tlv(static_cast<char>(0xEA), "vpce");
  const std::string bytes = v2(proxy, 0x11, ipv4_block + tlvs);
  const ProxyHeader header = parse_proxy_header(bytes);
  ASSERT_EQ(header.status, Status::complete);
  EXPECT_EQ(header.header_bytes, bytes.size());
  EXPECT_EQ(text(header.source), "192.0.2.1:258");
}

TEST(ProxyHeaderV2, RefusesTlvsThatAreCutOff) {
  for (const std::string& tlvs : {"\x01"s, "\x01\0"s, "\x01\0\x05xxxx"s, tlv(1, "a") + "\x02"s, "\x01\xFF\xFF"s}) {
    EXPECT_EQ(parse_proxy_header(v2(proxy, 0x11, ipv4_block + tlvs)).status, Status::malformed);
    EXPECT_EQ(parse_proxy_header(v2(proxy, 0x21, ipv6_block + tlvs)).status, Status::malformed);
    EXPECT_EQ(parse_proxy_header(v2(proxy, 0x31, std::string(216, 'x') + tlvs)).status, Status::malformed);
  }
}

// CRC32C, once more and bit by bit; "123456789" gives E3069283, the check value that every catalogue has.
std::uint32_t plain_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78 & (0 - (crc & 1)));
  }
  return ~crc;
}

std::string with_crc(const std::string& before, const std::string& behind) {
  const auto build = [&](std::uint32_t crc) {
    return v2(proxy, 0x11, ipv4_block + before + tlv(0x03, u16(crc >> 16) + u16(crc & 0xFFFF)) + behind);
  };
  return build(plain_crc32c(build(0)));
}

TEST(ProxyHeaderV2, VerifiesACrc) {
  ASSERT_EQ(plain_crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(parse_proxy_header(with_crc("", "")).status, Status::complete);
  EXPECT_EQ(parse_proxy_header(with_crc(tlv(1, "h2"), tlv(4, "x"))).status, Status::complete);
  EXPECT_EQ(parse_proxy_header(with_crc("", "") + "behind the header").status, Status::complete);
}

TEST(ProxyHeaderV2, RefusesACrcThatDoesNotFit) {
  const std::string bytes = with_crc(tlv(1, "h2"), tlv(4, "x"));
  constexpr std::size_t crc_type = 16 + 12 + 5;  // behind the fixed part, the addresses and the first TLV
  ASSERT_EQ(bytes[crc_type], 0x03);
  for (std::size_t at = 16; at < bytes.size(); ++at) {
    if (at == crc_type) continue;  // a TLV of another type is skipped
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_EQ(parse_proxy_header(changed).status, Status::malformed) << at;
  }
}

TEST(ProxyHeaderV2, RefusesACrcOfAWrongLengthOrTwo) {
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x11, ipv4_block + tlv(3, "abc"))).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x11, ipv4_block + tlv(3, "abcde"))).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(with_crc("", tlv(3, "\0\0\0\0"s))).status, Status::malformed);
}

TEST(ProxyHeaderV2, RefusesUnknownVersionsAndCommands) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const Status expected = byte == 0x20 || byte == 0x21 ? Status::complete : Status::malformed;
    EXPECT_EQ(parse_proxy_header(v2(static_cast<char>(byte), 0x11, ipv4_block)).status, expected) << byte;
  }
}

TEST(ProxyHeaderV2, RefusesUnknownFamiliesAndTransports) {
  const std::string block(216, '\0');  // long enough for any; as TLVs behind a shorter one it is well-formed too
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool known = byte == 0 || (byte >> 4 >= 1 && byte >> 4 <= 3 && (byte & 15) >= 1 && (byte & 15) <= 2);
    const Status expected = known ? Status::complete : Status::malformed;
    EXPECT_EQ(parse_proxy_header(v2(proxy, static_cast<char>(byte), block)).status, expected) << byte;
  }
}

TEST(ProxyHeaderV2, RefusesABlockTooShortForItsFamily) {
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x11, ipv4_block.substr(1))).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x11, "")).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x21, ipv6_block.substr(1))).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(v2(proxy, 0x31, std::string(215, 'x'))).status, Status::malformed);
}

TEST(ProxyHeaderV2, BoundsTheBlock) {
  const auto of = [](std::size_t bytes) {
    return v2(proxy, 0x11, ipv4_block + tlv(4, std::string(bytes - ipv4_block.size() - 3, '\0')));
  };
  EXPECT_EQ(of(4096).size(), max_proxy_header_bytes);
  EXPECT_EQ(parse_proxy_header(of(4096)).status, Status::complete);
  EXPECT_EQ(parse_proxy_header(of(4097)).status, Status::malformed);
  EXPECT_EQ(parse_proxy_header(of(4097).substr(0, 16)).status, Status::malformed);  // at once
}

TEST(ProxyHeaderV2, RefusesAWrongSignatureAtItsFirstWrongByte) {
  const std::string bytes = v2(local, 0, "");
  for (std::size_t at = 0; at < 12; ++at) {
    std::string changed = bytes.substr(0, at + 1);
    changed[at] = static_cast<char>(changed[at] ^ 0x40);
    EXPECT_EQ(parse_proxy_header(changed).status, Status::malformed) << at;
  }
}

// ---- both ----

TEST(ProxyHeaderTest, NeedsMoreUntilItsLastByte) {
  for (const std::string& bytes :
       {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"s, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"s,
        "PROXY UNKNOWN\r\n"s, "PROXY UNKNOWN x\r\n"s, v2(local, 0, ""), v2(proxy, 0x11, ipv4_block),
        v2(proxy, 0x21, ipv6_block + tlv(1, "h2")), with_crc("", "")}) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(parse_proxy_header(std::string_view(bytes).substr(0, size)).status, Status::need_more) << size;
    }
    EXPECT_EQ(parse_proxy_header(bytes).status, Status::complete);
  }
}

TEST(LooksLikeProxyHeader, KnowsBothVersions) {
  EXPECT_TRUE(looks_like_proxy_header("PROXY TCP4 192.0.2.1"));
  EXPECT_TRUE(looks_like_proxy_header("PROXY TCP6 "));
  EXPECT_TRUE(looks_like_proxy_header("PROXY UNKNOWN\r\n"));
  EXPECT_TRUE(looks_like_proxy_header(v2(local, 0, "")));
  EXPECT_TRUE(looks_like_proxy_header("\r\n\r\n\0\r\nQUIT\n"s));
}

TEST(LooksLikeProxyHeader, KnowsWhatIsNone) {
  EXPECT_FALSE(looks_like_proxy_header(""));
  EXPECT_FALSE(looks_like_proxy_header("\r\n\r\n"));
  EXPECT_FALSE(looks_like_proxy_header("GET / HTTP/1.1\r\n"));
  EXPECT_FALSE(looks_like_proxy_header("PROXY / HTTP/1.1\r\n"));  // a method of that name
  EXPECT_FALSE(looks_like_proxy_header("\x16\x03\x01"));
}

}  // namespace
}  // namespace gatehouse::net
