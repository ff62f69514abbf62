// The filters in their order, which is the security policy and meant to be read: what is refused before a limit
// takes nothing from a bucket; what the WAF blocks has paid.
#include "gateway/filter/access.hpp"
#include "gateway/filter/acme_challenge.hpp"
#include "gateway/filter/concurrency.hpp"
#include "gateway/filter/filter.hpp"
#include "gateway/filter/forwarded_headers.hpp"
#include "gateway/filter/loop_detection.hpp"
#include "gateway/filter/rate_limit.hpp"
#include "gateway/filter/redirect.hpp"
#include "gateway/filter/waf_filter.hpp"

namespace gatehouse::filter {

std::span<const Filter> builtin_filters() noexcept {
  static constexpr Filter filters[] = {
      acme_challenge_filter,     // the CA asks for tokens over plain HTTP
      redirect_filter,           // http -> https
      access_filter,             // allow and deny lists
      loop_detection_filter,     // CDN-Loop: 508
      concurrency_filter,        // the tenant's share of requests in flight
      rate_limit_filter,         // token buckets
      waf_filter,                // libmodsecurity with CRS
      forwarded_headers_filter,  // what the upstream is told of the client
  };
  return filters;
}

}  // namespace gatehouse::filter
