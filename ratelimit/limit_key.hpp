// From a request's properties to the name of its bucket, and the list of buckets that one request asks for.
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
  std::string key;               // store key, see bucket_key()
  BucketParameters parameters;
};

/// "gatehouse:{tenant}:limit:part:part...": the hash tag keeps one tenant's keys in one Redis Cluster slot. Parts come
/// from clients: each is length-prefixed, so that no two different lists give the same key, and one that is long or
/// has bytes outside of [A-Za-z0-9._:-] is replaced by its SHA-256 (a client neither chooses a key's size nor its bytes).
/// A part that a request lacks is given as std::nullopt-like `missing` parts by the caller: see filter/ratelimit.
[[nodiscard]] std::string bucket_key(std::string_view tenant, std::string_view limit, std::span<const std::string_view> parts);

}  // namespace gatehouse::ratelimit
