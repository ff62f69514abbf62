// From a request's properties to the name of its bucket, and the list of buckets that one request asks for.
// Called by filter/ratelimit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimit/bucket.hpp"

namespace gatehouse::ratelimit {

/// One bucket of one request.
struct BucketRequest {
  std::string key;  // store key, see bucket_key()
  BucketParameters parameters;
};

/// One property by which a limit tells its buckets apart. The kind is part of the key: a header whose value is an
/// address does not share the bucket of that address.
struct KeyPart {
  enum class Kind : char {
    client = 'c',   // the client's address as text
    tenant = 't',   // one bucket for the whole tenant; the text is not looked at
    host = 'h',     // the host as routed: lower case, no port
    header = 'v',   // a header's value: always kept as a digest, it may be a credential
    missing = 'm',  // the request lacks that header; the text is the client's address: a bucket apart from both
                    // the client's own and that of any value
  };
  Kind kind = Kind::client;
  std::string_view text;
};

/// "gatehouse:{tenant}:limit:part:part...", each part as kind, length, "=", text:
/// "gatehouse:{shop}:api:c11=203.0.113.9". The hash tag keeps one tenant's keys in one Redis Cluster slot. Texts come
/// from clients: the length makes the list unambiguous, so no two different lists give the same key, and a text that is
/// longer than 64 bytes, has bytes outside of [A-Za-z0-9._:-] or is a header's is replaced by "~" and its SHA-256 in
/// hexadecimal: a client chooses neither a key's size nor its bytes. A tenant's or limit's name is treated alike, ":"
/// included among the odd bytes. Several headers of one limit are several parts, in the limit's order.
[[nodiscard]] std::string bucket_key(std::string_view tenant, std::string_view limit, std::span<const KeyPart> parts);

/// Appends the digest in lower-case hexadecimal. For keys and for the script's name; not for passwords.
void append_sha256(std::string& out, std::string_view text);
void append_sha1(std::string& out, std::string_view text);

}  // namespace gatehouse::ratelimit
