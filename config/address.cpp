// Parsing and printing of addresses; see address.hpp. The bytes parsed here come from files and from headers such as
// X-Forwarded-For, so nothing but the one canonical way of writing an IPv4 address is taken.
#include "config/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <random>

namespace gatehouse {
namespace {

constexpr std::size_t kV4Offset = 12;  // where the IPv4 address stands in its mapped form

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// One decimal number without leading zeros, at most `most`; moves `text` behind it.
std::optional<unsigned> take_number(std::string_view& text, unsigned most) noexcept {
  std::size_t length = 0;
  unsigned value = 0;
  while (length < text.size() && is_digit(text[length])) {
    value = value * 10 + static_cast<unsigned>(text[length] - '0');
    if (++length > 5 || value > most) return std::nullopt;
  }
  if (length == 0 || (length > 1 && text[0] == '0')) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::optional<std::uint32_t> parse_v4(std::string_view text) noexcept {
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (text.empty() || text[0] != '.') return std::nullopt;
      text.remove_prefix(1);
    }
    const auto number = take_number(text, 255);
    if (!number) return std::nullopt;
    value = value << 8 | *number;
  }
  if (!text.empty()) return std::nullopt;
  return value;
}

char* append_number(char* out, unsigned value, int base) noexcept {
  return std::to_chars(out, out + 8, value, base).ptr;
}

/// RFC 5952 section 4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals)
/// as "::".
char* format_v6(const std::array<std::uint8_t, 16>& bytes, char* out) noexcept {
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  std::size_t run_start = 8;
  std::size_t run_length = 1;  // a single group is not shortened
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > run_length) {
      run_start = i;
      run_length = end - i;
    }
    i = std::max(end, i + 1);
  }
  for (std::size_t i = 0; i < 8;) {
    if (i == run_start) {
      *out++ = ':';
      *out++ = ':';
      i += run_length;
      continue;
    }
    if (i > 0 && i != run_start + run_length) *out++ = ':';
    out = append_number(out, groups[i], 16);
    ++i;
  }
  return out;
}

void clear_after(std::array<std::uint8_t, 16>& bytes, unsigned bits) noexcept {
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned first = i * 8;
    if (bits <= first)
      bytes[i] = 0;
    else if (bits < first + 8)
      bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xFF00U >> (bits - first)));
  }
}

std::uint64_t load_word(const std::uint8_t* bytes) noexcept {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

std::uint64_t random_word() noexcept {
  try {
    std::random_device device;
    return static_cast<std::uint64_t>(device()) << 32 | device();
  } catch (...) {  // no source of randomness: an address of this process's layout is better than a constant
    static int somewhere;
    return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&somewhere)) * 0x9E3779B97F4A7C15ULL;
  }
}

std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) noexcept {
  IpAddress address;
  address.bytes_[10] = address.bytes_[11] = 0xFF;
  for (std::size_t i = 0; i < 4; ++i)
    address.bytes_[kV4Offset + i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& network_order) noexcept {
  IpAddress address;
  address.bytes_ = network_order;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  char buffer[46];  // the longest form, "ffff:...:255.255.255.255", with its end
  if (text.size() >= sizeof buffer) return std::nullopt;
  if (text.find(':') == std::string_view::npos) {
    const auto value = parse_v4(text);
    return value ? std::optional(v4(*value)) : std::nullopt;
  }
  // An embedded IPv4 address is held to the same rule as one alone.
  const auto last_colon = text.rfind(':');
  if (text.find('.') != std::string_view::npos && !parse_v4(text.substr(last_colon + 1))) return std::nullopt;
  if (std::memchr(text.data(), 0, text.size()) != nullptr) return std::nullopt;
  text.copy(buffer, text.size());
  buffer[text.size()] = '\0';
  IpAddress address;
  if (inet_pton(AF_INET6, buffer, address.bytes_.data()) != 1) return std::nullopt;
  return address;
}

bool IpAddress::is_v4() const noexcept {
  static constexpr std::uint8_t prefix[kV4Offset] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  return std::memcmp(bytes_.data(), prefix, kV4Offset) == 0;
}

std::uint32_t IpAddress::v4_value() const noexcept {
  std::uint32_t value = 0;
  for (std::size_t i = kV4Offset; i < 16; ++i) value = value << 8 | bytes_[i];
  return value;
}

IpAddress IpAddress::truncated(unsigned v4_bits, unsigned v6_bits) const noexcept {
  IpAddress result = *this;
  clear_after(result.bytes_, is_v4() ? 96 + std::min(v4_bits, 32U) : std::min(v6_bits, 128U));
  return result;
}

std::size_t IpAddress::format(char (&out)[46]) const noexcept {
  char* end = out;
  if (is_v4()) {
    for (std::size_t i = kV4Offset; i < 16; ++i) {
      if (i > kV4Offset) *end++ = '.';
      end = append_number(end, bytes_[i], 10);
    }
  } else {
    end = format_v6(bytes_, end);
  }
  *end = '\0';
  return static_cast<std::size_t>(end - out);
}

std::string IpAddress::to_string() const {
  char buffer[46];
  const std::size_t length = format(buffer);
  return {buffer, length};
}

std::optional<Cidr> Cidr::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address) return std::nullopt;
  Cidr result;
  result.network_ = *address;
  if (slash == std::string_view::npos) return result;
  const bool written_as_v4 = address_text.find(':') == std::string_view::npos;
  std::string_view bits_text = text.substr(slash + 1);
  const auto bits = take_number(bits_text, written_as_v4 ? 32 : 128);
  if (!bits || !bits_text.empty()) return std::nullopt;
  result.prefix_bits_ = *bits + (written_as_v4 ? 96 : 0);
  IpAddress masked = *address;
  auto bytes = masked.bytes();
  clear_after(bytes, result.prefix_bits_);
  if (bytes != address->bytes()) return std::nullopt;
  return result;
}

bool Cidr::contains(const IpAddress& address) const noexcept {
  // "::/0" means every IPv6 client, and not, by way of the mapped form, the IPv4 ones too.
  const bool v4_network = prefix_bits_ >= 96 && network_.is_v4();
  if (v4_network != address.is_v4()) return false;
  const auto& a = address.bytes();
  const auto& b = network_.bytes();
  const std::size_t whole = prefix_bits_ / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = prefix_bits_ % 8;
  return rest == 0 || ((a[whole] ^ b[whole]) & (0xFF00U >> rest) & 0xFFU) == 0;
}

std::string Cidr::to_string() const {
  const bool v4_network = prefix_bits_ >= 96 && network_.is_v4();
  return network_.to_string() + "/" + std::to_string(v4_network ? prefix_bits_ - 96 : prefix_bits_);
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) noexcept {
  std::string_view host;
  std::string_view port_text;
  if (!text.empty() && text[0] == '[') {
    const auto bracket = text.find(']');
    if (bracket == std::string_view::npos || bracket + 1 >= text.size() || text[bracket + 1] != ':')
      return std::nullopt;
    host = text.substr(1, bracket - 1);
    port_text = text.substr(bracket + 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
  }
  const auto ip = IpAddress::parse(host);
  const auto port = take_number(port_text, 65535);
  if (!ip || !port || !port_text.empty()) return std::nullopt;
  return SocketAddress{*ip, static_cast<std::uint16_t>(*port)};
}

std::string SocketAddress::to_string() const {
  const std::string address = ip.to_string();
  return (ip.is_v4() ? address : "[" + address + "]") + ":" + std::to_string(port);
}

}  // namespace gatehouse

// Clients choose their addresses within a prefix, so that tables keyed by them are an aim for collisions: the hash is
// keyed with randomness of this process.
std::size_t std::hash<gatehouse::IpAddress>::operator()(const gatehouse::IpAddress& a) const noexcept {
  static const std::uint64_t key[2] = {gatehouse::random_word(), gatehouse::random_word() | 1};
  const std::uint64_t high = gatehouse::load_word(a.bytes().data());
  const std::uint64_t low = gatehouse::load_word(a.bytes().data() + 8);
  const std::uint64_t mixed = gatehouse::folded_product(high ^ key[0], 0xA0761D6478BD642FULL ^ key[1]);
  const std::uint64_t both = gatehouse::folded_product(low ^ mixed, 0xE7037ED1A0B428DBULL ^ key[0]);
  return gatehouse::folded_product(both ^ key[1],
                                   0x8EBC6AF09C88C6E3ULL);  // tables take the low bits: let all reach them
}
