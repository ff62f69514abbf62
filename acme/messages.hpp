// The resources of an ACME server as it sends them (RFC 8555 section 7.1, RFC 9773, draft-ietf-acme-profiles). What comes
// from a CA is untrusted: readers refuse what is not whole and never throw but std::bad_alloc.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/identifier.hpp"
#include "acme/problem.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

/// An absolute URL of https, or of http to a loopback address, of at most 2,048 printable bytes without user or fragment.
[[nodiscard]] bool is_usable_url(std::string_view url) noexcept;

struct Directory {
  std::string new_nonce, new_account, new_order, revoke_certificate, key_change;
  std::string renewal_info;  // RFC 9773; empty: not offered
  std::string terms_of_service;  // for people
  bool wants_external_account = false;
  std::map<std::string, std::string> profiles;  // name, what it is
};
[[nodiscard]] std::optional<Directory> parse_directory(std::string_view body);

enum class Status : unsigned char {
  pending,
  processing,
  ready,
  valid,
  invalid,
  deactivated,
  expired,
  revoked,
  unknown
};

struct Order {
  Status status = Status::unknown;
  Identifiers identifiers;
  std::vector<std::string> authorizations;  // URLs
  std::string finalize;  // URL
  std::string certificate;  // URL, once valid
  std::optional<Problem> error;
};
/// std::nullopt without a status, an authorization or a place to finalize it.
[[nodiscard]] std::optional<Order> parse_order(std::string_view body);

enum class ChallengeType : unsigned char { http_01, dns_01, tls_alpn_01 };
[[nodiscard]] std::string_view challenge_name(ChallengeType type) noexcept;
[[nodiscard]] std::optional<ChallengeType> challenge_type(std::string_view name) noexcept;

struct Challenge {
  ChallengeType type = ChallengeType::http_01;
  Status status = Status::unknown;
  std::string url;
  std::string token;  // base64url, 22 to 128 characters (RFC 8555 section 8: at least 128 bits)
  std::optional<Problem> error;
};

struct Authorization {
  Status status = Status::unknown;
  Identifier identifier;  // without "*."
  bool is_wildcard = false;
  std::vector<Challenge> challenges;  // of types that are known here, with a token that is one
};
[[nodiscard]] std::optional<Authorization> parse_authorization(std::string_view body);

struct RenewalInfo {
  Time start, end;
  std::string explanation;  // a URL for people; may be empty
};
/// std::nullopt where there is no window or it ends before it starts (RFC 9773 section 4.2).
[[nodiscard]] std::optional<RenewalInfo> parse_renewal_info(std::string_view body);

}  // namespace gatehouse::acme
