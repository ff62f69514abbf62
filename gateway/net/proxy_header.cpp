// The two forms of the PROXY protocol's header. Called by the listener.
#include "gateway/net/proxy_header.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace gatehouse::net {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view v1_start = "PROXY "sv;
constexpr std::array v1_protocols = {"TCP4 "sv, "TCP6 "sv, "UNKNOWN"sv};
constexpr std::size_t v1_max_bytes = 107;  // with CRLF; section 2.1

constexpr std::string_view v2_signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t v2_fixed_bytes = 16;

ProxyHeader malformed(const char* why) noexcept {
  ProxyHeader header;
  header.status = ProxyHeader::Status::malformed;
  header.why = why;
  return header;
}

ProxyHeader complete(std::size_t bytes) noexcept {
  ProxyHeader header;
  header.status = ProxyHeader::Status::complete;
  header.header_bytes = bytes;
  return header;
}

/// True if `bytes` are the start of `pattern` or begin with it.
bool agrees(std::string_view bytes, std::string_view pattern) noexcept {
  const std::size_t common = std::min(bytes.size(), pattern.size());
  return bytes.substr(0, common) == pattern.substr(0, common);
}

// ---- version 1: one line of text ----

/// 0 to 65535 in decimal, without leading zeros (section 2.1).
std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  unsigned value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(digit - '0');
  }
  if (value > 0xFFFF) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

std::optional<IpAddress> parse_address(std::string_view text, bool v6) noexcept {
  if ((text.find(':') != std::string_view::npos) != v6) return std::nullopt;
  return IpAddress::parse(text);
}

/// What stands behind "TCP4 " or "TCP6 ": two addresses and two ports, one space between each.
ProxyHeader parse_v1_addresses(std::string_view text, bool v6, std::size_t header_bytes) noexcept {
  std::array<std::string_view, 4> words;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t space = text.find(' ');
    if ((space == std::string_view::npos) != (i == words.size() - 1)) return malformed("v1: not four words");
    words[i] = text.substr(0, space);
    text.remove_prefix(i == words.size() - 1 ? text.size() : space + 1);
  }
  const auto source = parse_address(words[0], v6);
  const auto destination = parse_address(words[1], v6);
  if (!source || !destination) return malformed("v1: an address that is none of its family");
  const auto source_port = parse_port(words[2]);
  const auto destination_port = parse_port(words[3]);
  if (!source_port || !destination_port) return malformed("v1: a port that is no number up to 65535");
  ProxyHeader header = complete(header_bytes);
  header.source = {*source, *source_port};
  header.destination = {*destination, *destination_port};
  return header;
}

ProxyHeader parse_v1(std::string_view bytes) noexcept {
  if (!agrees(bytes, v1_start)) return malformed("no PROXY header");
  if (bytes.size() < v1_start.size()) return {};
  const std::string_view rest = bytes.substr(v1_start.size());
  const auto protocol =
      std::ranges::find_if(v1_protocols, [rest](std::string_view known) { return agrees(rest, known); });
  if (protocol == v1_protocols.end()) return malformed("v1: neither TCP4, TCP6 nor UNKNOWN");

  const std::string_view window = bytes.substr(0, v1_max_bytes);
  const auto printable = [](char c) { return c >= 0x20 && c < 0x7F; };
  const auto line_end = std::ranges::find_if_not(window, printable);
  const auto length = static_cast<std::size_t>(line_end - window.begin());
  if (length + 2 > v1_max_bytes) return malformed("v1: no end of line within 107 bytes");
  if (line_end == window.end()) return {};
  if (*line_end != '\r' || (length + 1 < window.size() && window[length + 1] != '\n')) {
    return malformed("v1: a byte that it cannot hold");
  }
  if (length + 1 == window.size()) return {};

  std::string_view line = window.substr(v1_start.size(), length - v1_start.size());
  if (!line.starts_with(*protocol)) return malformed("v1: a line too short");
  line.remove_prefix(protocol->size());
  if (protocol->starts_with('U')) {
    // section 2.1: whatever follows UNKNOWN before the CRLF is to be ignored
    return line.empty() || line.front() == ' ' ? complete(length + 2) : malformed("v1: neither TCP4, TCP6 nor UNKNOWN");
  }
  return parse_v1_addresses(line, *protocol == "TCP6 ", length + 2);
}

// ---- version 2: binary ----

std::uint16_t read_u16(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                    static_cast<unsigned char>(bytes[at + 1]));
}

IpAddress read_ip(std::string_view bytes, std::size_t at, bool v6) noexcept {
  if (!v6) return IpAddress::v4(static_cast<std::uint32_t>(read_u16(bytes, at)) << 16 | read_u16(bytes, at + 2));
  std::array<std::uint8_t, 16> address{};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), address.size(), address.begin());
  return IpAddress::v6(address);
}

consteval std::array<std::uint32_t, 256> make_crc32c_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

/// CRC32C (RFC 4960 appendix B) of `header` with the four bytes at `zeroed` taken as zero (section 2.2.4).
std::uint32_t crc32c(std::string_view header, std::size_t zeroed) noexcept {
  static constexpr std::array<std::uint32_t, 256> table = make_crc32c_table();
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::size_t i = 0; i < header.size(); ++i) {
    const auto byte = i - zeroed < 4 ? std::uint8_t{0} : static_cast<std::uint8_t>(header[i]);
    crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF];
  }
  return ~crc;
}

/// Checks the type-length-value vectors from `at` to the end of `header`; returns what is wrong, or nullptr.
const char* check_tlvs(std::string_view header, std::size_t at) noexcept {
  constexpr char type_crc32c = 0x03;
  bool crc_seen = false;
  while (at != header.size()) {
    if (header.size() - at < 3) return "v2: a TLV that is cut off";
    const std::size_t length = read_u16(header, at + 1);
    const char type = header[at];
    at += 3;
    if (header.size() - at < length) return "v2: a TLV that is cut off";
    if (type == type_crc32c) {
      if (length != 4 || crc_seen) return "v2: a CRC32C of a wrong length, or two";
      crc_seen = true;
      const std::uint32_t sent = static_cast<std::uint32_t>(read_u16(header, at)) << 16 | read_u16(header, at + 2);
      if (sent != crc32c(header, at)) return "v2: a CRC32C that does not fit";
    }
    at += length;
  }
  return nullptr;
}

/// Bytes of the address block of a family (high four bits of the family byte); section 2.2.
constexpr std::array<std::size_t, 4> address_bytes = {0, 12, 36, 216};

ProxyHeader parse_v2(std::string_view bytes) noexcept {
  if (!agrees(bytes, v2_signature)) return malformed("no PROXY header");
  const auto byte_at = [bytes](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  const std::size_t size = bytes.size();

  if (size <= 12) return {};
  const unsigned command = byte_at(12) & 0xFU;
  if (byte_at(12) >> 4 != 2 || command > 1) return malformed("v2: neither LOCAL nor PROXY of version 2");
  if (size <= 13) return {};
  const unsigned family = byte_at(13) >> 4;
  const unsigned transport = byte_at(13) & 0xFU;
  if (family > 3 || transport > 2 || (family == 0) != (transport == 0)) {
    return malformed("v2: an address family or transport that does not exist");
  }
  if (size < v2_fixed_bytes) return {};
  const std::size_t length = read_u16(bytes, 14);
  if (length > max_proxy_header_bytes - v2_fixed_bytes) return malformed("v2: longer than we take");
  const bool skipped = command == 0 || family == 0;  // LOCAL or UNSPEC: the block is to be discarded
  if (!skipped && length < address_bytes[family]) return malformed("v2: too short for its address family");
  if (size < v2_fixed_bytes + length) return {};

  ProxyHeader header = complete(v2_fixed_bytes + length);
  if (skipped) return header;
  const std::string_view whole = bytes.substr(0, header.header_bytes);
  if (const char* why = check_tlvs(whole, v2_fixed_bytes + address_bytes[family]); why != nullptr)
    return malformed(why);
  if (family == 3) return header;  // UNIX: no address that a limit or a list could be about
  const bool v6 = family == 2;
  const std::size_t ip_bytes = v6 ? 16 : 4;
  const std::size_t ports = v2_fixed_bytes + 2 * ip_bytes;
  header.source = {read_ip(whole, v2_fixed_bytes, v6), read_u16(whole, ports)};
  header.destination = {read_ip(whole, v2_fixed_bytes + ip_bytes, v6), read_u16(whole, ports + 2)};
  return header;
}

}  // namespace

ProxyHeader parse_proxy_header(std::string_view bytes) noexcept {
  if (bytes.empty()) return {};
  return bytes.front() == v2_signature.front() ? parse_v2(bytes) : parse_v1(bytes);
}

bool looks_like_proxy_header(std::string_view bytes) noexcept {
  if (bytes.starts_with(v2_signature)) return true;
  if (!bytes.starts_with(v1_start)) return false;
  bytes.remove_prefix(v1_start.size());
  return std::ranges::any_of(v1_protocols, [bytes](std::string_view known) { return bytes.starts_with(known); });
}

}  // namespace gatehouse::net
