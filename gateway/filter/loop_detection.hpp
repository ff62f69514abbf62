// Requests that pass through gateways again and again end here (CDN-Loop, RFC 8586): 508 after 4 passes.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step loop_detection_on_request(Exchange& exchange);
inline constexpr Filter loop_detection_filter{.name = "loop_detection", .on_request = loop_detection_on_request};
}  // namespace gatehouse::filter
