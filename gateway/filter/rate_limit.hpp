// Holds a request against its route's token buckets: in Redis if there is one, else in memory. 429 with Retry-After
// (RFC 6585 section 4) and the RateLimit fields.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step rate_limit_on_request(Exchange& exchange);
runtime::Task<Step> rate_limit_on_wait(Exchange& exchange);
inline constexpr Filter rate_limit_filter{
    .name = "rate_limit", .on_request = rate_limit_on_request, .on_wait = rate_limit_on_wait};
}  // namespace gatehouse::filter
