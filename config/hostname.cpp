// See hostname.hpp.
#include "config/hostname.hpp"

#include <fmt/format.h>
#include <idn2.h>

#include <algorithm>
#include <memory>

#include "config/address.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::size_t kLongestName = 253;  // RFC 1035 section 2.3.4, without the root's empty label
constexpr std::size_t kLongestLabel = 63;

/// Top-level domains that are nobody's in the public DNS: RFC 2606 and 6761, RFC 6762, ICANN's reservation, and those
/// that homes and firms use and that ICANN does not delegate for it (RFC 6762 appendix G).
constexpr std::string_view kPrivateDomains[] = {"test",     "example", "invalid", "localhost", "local", "internal",
                                                "intranet", "private", "corp",    "home",      "lan"};

using Result = std::expected<std::string, std::string>;

std::unexpected<std::string> wrong(std::string message) { return std::unexpected(std::move(message)); }

bool is_ascii(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_letter_or_digit(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// A-labels and letters, digits, hyphens (RFC 1123 section 2.1). `name` is lower-case ASCII.
Result checked_labels(std::string name) {
  if (name.size() > kLongestName) return wrong(fmt::format("has more than {} characters", kLongestName));
  std::string_view rest = name;
  while (true) {
    const auto dot = rest.find('.');
    const std::string_view label = rest.substr(0, dot);
    if (label.empty()) return wrong("has an empty label: two dots in a row, or one at the start");
    if (label.size() > kLongestLabel)
      return wrong(fmt::format("has a label of more than {} characters", kLongestLabel));
    if (label.find('_') != std::string_view::npos)
      return wrong("has an underscore, which host names must not have (RFC 1123)");
    for (const char c : label) {
      if (!is_letter_or_digit(c) && c != '-')
        return wrong(fmt::format("has the character {}; letters, digits, hyphens and dots are allowed", cite({&c, 1})));
    }
    if (label.front() == '-' || label.back() == '-') return wrong("has a label that begins or ends with a hyphen");
    if (dot == std::string_view::npos) {
      // A client would take such a name for an IPv4 address in one of its odd notations.
      const bool number =
          std::ranges::all_of(label, [](char c) { return c >= '0' && c <= '9'; }) ||
          (label.starts_with("0x") && label.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos);
      if (number) return wrong("ends in a number, but is not an IPv4 address");
      return name;
    }
    rest.remove_prefix(dot + 1);
  }
}

Result to_a_labels(const std::string& name) {
  // libidn2 takes exponential or quadratic time for nothing that fits here, but a bound costs nothing either.
  if (name.size() > 4 * kLongestName) return wrong("is too long");
  char* output = nullptr;
  const int result = idn2_to_ascii_8z(name.c_str(), &output, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<char, void (*)(void*)> owner(output, idn2_free);
  if (result != IDN2_OK)
    return wrong(fmt::format("is not an internationalised name (IDNA2008): {}", idn2_strerror(result)));
  return to_lower(output);
}

}  // namespace

Result normalise_host(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) return wrong("is empty");
  if (name.find("://") != std::string_view::npos) return wrong("is a URL; write the host name alone");
  if (name.find('/') != std::string_view::npos)
    return wrong("has a slash; write the host name alone, paths belong to routes");
  if (name.front() == '[') {
    const auto address = name.ends_with(']') ? IpAddress::parse(name.substr(1, name.size() - 2)) : std::nullopt;
    if (!address || address->is_v4()) return wrong("is not an IPv6 address in brackets without a port");
    return "[" + address->to_string() + "]";
  }
  if (IpAddress::parse(name)) {
    if (name.find(':') != std::string_view::npos)
      return wrong("is an IPv6 address without brackets: write [2001:db8::1]");
    return std::string(name);
  }
  if (name.find(':') != std::string_view::npos)
    return wrong("has a port; a host is served on every listener, so write it without");
  if (name.find('*') != std::string_view::npos) return wrong("has an asterisk elsewhere than as its whole first label");
  if (name.find('\0') != std::string_view::npos || find_invalid_utf8(name) != std::string_view::npos)
    return wrong("is not text");
  const std::string lower = to_lower(name);
  if (is_ascii(lower) && lower.find("xn--") == std::string::npos) return checked_labels(lower);
  auto a_labels = to_a_labels(lower);
  return a_labels ? checked_labels(std::move(*a_labels)) : a_labels;
}

Result normalise_host_pattern(std::string_view pattern) {
  if (pattern == "*") return std::string(pattern);
  if (!pattern.starts_with("*.")) return normalise_host(pattern);
  auto host = normalise_host(pattern.substr(2));
  if (!host) return host;
  if (IpAddress::parse(*host) || host->front() == '[') return wrong("is a wildcard before an address");
  if (host->find('.') == std::string::npos && std::ranges::find(kPrivateDomains, *host) == std::end(kPrivateDomains))
    return wrong(
        "is a wildcard before a single label, which would claim a public top-level domain; at least two must follow, "
        "as in *.example.de, or one that is for private use, as in *.internal");
  if (host->size() + 2 > kLongestName) return wrong(fmt::format("has more than {} characters", kLongestName));
  return "*." + *host;
}

bool is_address(std::string_view host) noexcept { return host.starts_with('[') || IpAddress::parse(host).has_value(); }

bool wildcard_covers(std::string_view wildcard, std::string_view host) noexcept {
  if (!wildcard.starts_with("*.") || host.starts_with('*')) return false;
  const auto dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && host.substr(dot) == wildcard.substr(1);
}

}  // namespace gatehouse::config
