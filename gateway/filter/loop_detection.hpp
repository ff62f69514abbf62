// Requests that pass through gateways again and again end here (CDN-Loop, RFC 8586): 508 after 4 passes. So do TRACE and
// OPTIONS whose Max-Forwards says so (RFC 9110 section 7.6.2); else it is counted down for the upstream.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step loop_detection_on_request(Exchange& exchange);
inline constexpr Filter loop_detection_filter{.name = "loop_detection", .on_request = loop_detection_on_request};
}  // namespace gatehouse::filter
