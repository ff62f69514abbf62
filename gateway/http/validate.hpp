// What a parsed head means for framing and routing, with every message refused that two servers could read
// differently. Called once per message by gateway/proxy.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "config/address.hpp"
#include "gateway/http/head.hpp"

namespace gatehouse::http {

/// How a body's end is found.
enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

struct BodyFraming {
  BodyKind kind = BodyKind::none;
  std::uint64_t length = 0;   // BodyKind::length
};

/// Why a message is refused; the comment is what it means.
enum class Refusal : std::uint8_t {
  length_and_chunked,       // Content-Length with Transfer-Encoding (RFC 9112 section 6.3)
  length_malformed,         // not 1*DIGIT, a list, twice, or over 2^63 - 1
  coding_unknown,           // Transfer-Encoding other than exactly one "chunked"
  coding_in_http10,         // Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)
  host_missing,             // HTTP/1.1 without Host, or Host twice (RFC 9112 section 3.2)
  host_malformed,           // not uri-host [":" port] (RFC 9110 section 7.2)
  host_differs,             // absolute-form names another authority than Host
  target_malformed,         // neither origin-form, absolute-form, nor "*" with OPTIONS; authority-form (CONNECT)
  duplicate_field,          // Content-Type, Content-Encoding, Content-Length, Host twice
  expectation_unknown,      // Expect other than 100-continue: 417
  connection_names_framing, // Connection names Host, Content-Length, Transfer-Encoding or the like
  path_above_root,          // ".." leads above the root
  path_encoding,            // "%" without two hex digits, or %00
  upgrade_with_body,        // Upgrade to a protocol that we relay together with a request body
};
[[nodiscard]] const char* reason_text(Refusal refusal) noexcept;

/// Framing of a request (RFC 9112 section 6.3). Never allocates.
[[nodiscard]] std::expected<BodyFraming, Refusal> request_framing(const RequestHead& head) noexcept;

/// Framing of an upstream's response to a request with `method`. 1xx, 204, 304 and answers to HEAD have none.
[[nodiscard]] std::expected<BodyFraming, Refusal> response_framing(const ResponseHead& head, Method method) noexcept;

/// Host and target taken apart.
struct RequestTarget {
  std::string host;            // lower case, no port, no trailing dot; IPv6 in brackets as written; empty only for HTTP/1.0 without Host
  std::uint16_t port = 0;      // as written; 0: none
  std::string_view as_received;  // path and query as received, absolute-form reduced to it; "*" for OPTIONS *
  std::string path;            // normalised: percent-encoded unreserved characters decoded, "." and ".." removed, "//" merged; else as received
  std::string_view query;      // without "?"; empty if none
  bool has_query = false;
};

/// Checks Host, the form of the target and the duplicates, and normalises the path. Routing and the upstream use
/// `path`; the WAF gets `as_received`. "%2F" stays encoded; "%2e" counts as a dot; upper-case hex in what stays encoded.
[[nodiscard]] std::expected<RequestTarget, Refusal> request_target(const RequestHead& head);

/// True if the Connection header asks to close after this message (or HTTP/1.0 without keep-alive).
[[nodiscard]] bool wants_close(const Fields& fields, int minor_version) noexcept;

/// True if `list` (a comma-separated header value) contains `lower_case_token`, case-insensitively.
[[nodiscard]] bool list_contains(std::string_view list, std::string_view lower_case_token) noexcept;

/// True for fields that end at this hop (RFC 9110 section 7.6.1): Connection, what it names, Keep-Alive,
/// Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade, HTTP2-Settings.
[[nodiscard]] bool is_hop_by_hop(const Field& field, const Fields& fields) noexcept;

/// The WAF normalises on its own: "%3f" in a target as "%253f" (CVE-2024-1019 in libmodsecurity before 3.0.12).
/// Returns `target` itself if there is nothing to do, else `storage`.
[[nodiscard]] std::string_view target_for_waf(std::string_view target, std::string& storage);

}  // namespace gatehouse::http
