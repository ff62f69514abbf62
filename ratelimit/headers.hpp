// The fields that tell a client of its limits: RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers)
// as structured fields (RFC 8941). Called by filter/ratelimit for 429 and for limits with `headers: always`.
#pragma once

#include <string>
#include <string_view>

#include "ratelimit/bucket.hpp"

namespace gatehouse::ratelimit {

/// Appends one list member of RateLimit-Policy's value: "per_client";q=20;w=2. q is the bucket's capacity, w the
/// window in which an empty bucket fills: whole seconds, rounded up, at least 1. The caller puts ", " between members.
void append_policy(std::string& value, std::string_view limit, const BucketParameters& parameters);

/// Appends one list member of RateLimit's value: "per_client";r=0;t=1. r is what remains; t the seconds, rounded up,
/// after which it is worth coming back: until one token is there when there was none (as Retry-After), else until the
/// bucket is full.
void append_limit(std::string& value, std::string_view limit, const Decision& decision);

/// Appends `text` as an RFC 8941 section 3.3.3 string, quotes and backslashes escaped. Bytes that such a string cannot
/// hold (controls, beyond ASCII) become "?".
void append_sf_string(std::string& out, std::string_view text);

}  // namespace gatehouse::ratelimit
