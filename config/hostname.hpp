// Host names as configuration writes them, brought into the one form in which they are compared: lower-case A-labels
// without trailing dot. Called by the readers of configuration.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace gatehouse::config {

/// "Shop.Example.DE." -> "shop.example.de"; "bücher.example" -> "xn--bcher-kva.example" (IDNA2008 with the mapping of
/// UTS 46, non-transitional); "[2001:DB8::1]" and "192.0.2.1" as they come in a Host header. An error says what is
/// wrong with the name; it does not repeat the name.
[[nodiscard]] std::expected<std::string, std::string> normalise_host(std::string_view name);

/// The same for a host that a tenant claims: also "*.example.de", exactly one label before at least two or before one that is
/// for private use or tests ("*.internal"), and "*".
[[nodiscard]] std::expected<std::string, std::string> normalise_host_pattern(std::string_view pattern);

/// True if the wildcard "*.example.de" serves "shop.example.de". Both in normalised form.
[[nodiscard]] bool wildcard_covers(std::string_view wildcard, std::string_view host) noexcept;

/// True for a host, as normalised, that is an address: "192.0.2.7", "[2001:db8::1]".
[[nodiscard]] bool is_address(std::string_view host) noexcept;

}  // namespace gatehouse::config
