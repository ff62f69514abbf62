// Dynamic updates of a DNS zone (RFC 2136), signed with TSIG and HMAC-SHA-256 (RFC 8945), for dns-01. Messages as bytes,
// without the two bytes of length that TCP puts before them.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "acme/private_key.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

struct TsigKey {
  std::string name;  // as the server knows it
  Secret secret;  // the bytes
};

/// One TXT record that is to be there, or no more.
struct TxtChange {
  std::string name;  // "_acme-challenge.shop.example.de"
  std::string value;  // at most 255 bytes
  bool is_wanted = true;
};

struct DnsRequest {
  std::string message;
  std::string mac;  // what the answer is bound to
};

/// An update of `zone`. `ttl_seconds`: of what is added. Throws std::invalid_argument for what is no DNS name (labels of 1 to
/// 63 bytes, 255 in all), too long a value, or more changes than one message holds.
[[nodiscard]] DnsRequest dns_update(std::string_view zone, const std::vector<TxtChange>& changes,
                                    std::uint32_t ttl_seconds, std::uint16_t id, const TsigKey& key, Time now);

/// What the server answered: nothing if the zone is updated and the answer is signed with the same key, within 5 minutes of
/// `now`; else why not, for the operator. Throws nothing but std::bad_alloc for a key that dns_update() took.
[[nodiscard]] std::expected<void, std::string> read_update_answer(std::string_view message, std::uint16_t id,
                                                                  std::string_view request_mac, const TsigKey& key,
                                                                  Time now);

}  // namespace gatehouse::acme
