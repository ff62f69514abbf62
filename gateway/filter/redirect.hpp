// Sends clients of the plain listener to HTTPS (308, RFC 9110 section 15.4.9), for hosts that have TLS.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step redirect_on_request(Exchange& exchange);
inline constexpr Filter redirect_filter{.name = "redirect", .on_request = redirect_on_request};
}  // namespace gatehouse::filter
