// What the upstream is told of the client: x-request-id, x-forwarded-*, traceparent, cdn-loop and the client
// certificate. What a client sent under these names is removed unless it is a trusted proxy.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step forwarded_headers_on_request(Exchange& exchange);
/// True for a request field that must not reach the upstream as the client sent it.
[[nodiscard]] bool is_replaced_field(const http::Field& field) noexcept;
inline constexpr Filter forwarded_headers_filter{.name = "forwarded_headers",
                                                 .on_request = forwarded_headers_on_request};
}  // namespace gatehouse::filter
