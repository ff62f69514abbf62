// The tenant's share of requests in flight (limits.requests_in_flight): 503 beyond it.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step concurrency_on_request(Exchange& exchange);
inline constexpr Filter concurrency_filter{.name = "concurrency", .on_request = concurrency_on_request};
}  // namespace gatehouse::filter
