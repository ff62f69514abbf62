// What the upstream is told of the client: x-request-id, x-forwarded-*, traceparent, cdn-loop and the client
// certificate. What a client sent under these names is removed unless it is a trusted proxy.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step forwarded_headers_on_request(Exchange& exchange);
/// True for a request field that must not reach the upstream as the client sent it: X-Forwarded-* of any name, unless the
/// peer is a trusted proxy, and what the gateway itself says; also where limits.underscores lets "_" be for "-".
[[nodiscard]] bool is_replaced_field(const http::Field& field, bool peer_trusted) noexcept;
/// True for a request field that routes and limits may go by: what an untrusted peer says of others is as if it had not been
/// said, and so is what Connection takes out.
[[nodiscard]] bool is_believed_field(const http::Field& field, const http::Fields& fields, bool peer_trusted) noexcept;
inline constexpr Filter forwarded_headers_filter{.name = "forwarded_headers",
                                                 .on_request = forwarded_headers_on_request};
}  // namespace gatehouse::filter
