// ACME HTTP-01 challenges on plain listeners (RFC 8555 section 8.3). Their path belongs to the gateway: a token that
// it does not know is 404, and no upstream can answer for it. What it knows is answered whatever the host: the CA asks
// for the host that the token is for.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step acme_challenge_on_request(Exchange& exchange);
inline constexpr Filter acme_challenge_filter{.name = "acme_challenge", .on_request = acme_challenge_on_request};
}  // namespace gatehouse::filter
