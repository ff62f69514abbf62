// What a parsed head means for framing and routing, with every message refused that two servers could read
// differently. Called once per message by gateway/proxy.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "gateway/http/head.hpp"

namespace gatehouse::http {

/// How a body's end is found.
enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

struct BodyFraming {
  BodyKind kind = BodyKind::none;
  std::uint64_t length = 0;  // BodyKind::length
  bool operator==(const BodyFraming&) const = default;
};

/// Why a message is refused; the comment is what it means. All are 400 for a request but expectation_unknown.
enum class Refusal : std::uint8_t {
  length_and_chunked,        // Content-Length with Transfer-Encoding (RFC 9112 section 6.3)
  length_malformed,  // not 1*DIGIT, a list, or over 2^63 - 1; in a response also any but 0 where no body may be
  coding_unknown,  // Transfer-Encoding other than exactly one "chunked"; any in a 1xx or 204 response
  coding_in_http10,  // Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)
  host_missing,  // HTTP/1.1 without Host (RFC 9112 section 3.2)
  host_malformed,  // not uri-host [":" port] (RFC 9110 section 7.2)
  host_differs,  // absolute-form names another authority than Host
  target_malformed,  // neither origin-form, absolute-form, nor "*" with OPTIONS; authority-form (CONNECT)
  duplicate_field,  // Host, Content-Length, Content-Type or Content-Encoding twice, equal or not
  expectation_unknown,  // Expect other than one 100-continue: 417
  connection_malformed,  // Connection, Proxy-Connection or Upgrade is no list of tokens (RFC 9110 section 7.6.1)
  connection_names_framing,  // Connection names Host, a framing field or another one meant for the upstream
  path_above_root,  // ".." leads above the root
  path_dots_and_parameters,  // "." or ".." with a parameter: "/a/..;x/b" is "/b" where parameters are cut off
  path_encoding,  // "%" without two hex digits, or %00
  upgrade_with_body,  // Upgrade to a protocol that we relay together with a request body
  hops_malformed,  // Max-Forwards of TRACE or OPTIONS is not one number (RFC 9110 section 7.6.2)
};
[[nodiscard]] const char* reason_text(Refusal refusal) noexcept;

/// Framing of a request (RFC 9112 section 6.3), and whatever else is about this connection: Connection, Upgrade, Expect
/// (ignored in HTTP/1.0, RFC 9110 section 10.1.1), Max-Forwards. "Content-Length: 0" is BodyKind::length with 0. Never allocates.
[[nodiscard]] std::expected<BodyFraming, Refusal> request_framing(const RequestHead& head) noexcept;

/// Framing of an upstream's response to a request with `method`. 1xx, 204, 304 and answers to HEAD have no body; their
/// framing fields are checked all the same. 101 and what follows it is the caller's.
[[nodiscard]] std::expected<BodyFraming, Refusal> response_framing(const ResponseHead& head, Method method) noexcept;

/// Host and target taken apart.
struct RequestTarget {
  /// Lower case, no port, no trailing dot; IPv6 in brackets as written. Empty only for HTTP/1.0 without Host.
  std::string host;
  std::uint16_t port = 0;  // as written; 0: none
  std::string_view as_received;  // path and query as received, absolute-form reduced to it; "*" for OPTIONS *
  std::vector<char> completed;  // what `as_received` views if there was a query and no path
  std::string path;  // normalised, see normalise_path; "*" for OPTIONS *
  std::string_view query;  // without "?", as received; empty if none
  bool has_query = false;
  bool is_https = false;  // an absolute-form that says so: not for a connection in the clear (RFC 9110 section 7.4)
};

/// Checks Host, the form of the target and the duplicates, and normalises the path. Routing and the upstream use
/// `path`; the WAF gets `as_received`. Views point to where the head's views point (or are static).
///
/// An absolute-form (http, https) must name Host's host and port, where no port is the scheme's default; one without a
/// path stands for "/" (RFC 9110 section 4.2.3), with OPTIONS and no query for "*" (RFC 9112 section 3.2.4).
[[nodiscard]] std::expected<RequestTarget, Refusal> request_target(const RequestHead& head);

/// The same into `target`, whose strings keep their memory from request to request. Unspecified content if refused.
[[nodiscard]] std::expected<void, Refusal> request_target(const RequestHead& head, RequestTarget& target);

/// Normalises an absolute path in one pass: percent-encoded unreserved characters are decoded (RFC 3986
/// section 6.2.2.2), what stays encoded gets upper-case hex, "//" becomes "/", and then "." and ".." segments go, "%2e"
/// being a dot. "%2F" and "%5C" stay encoded and part no segments, a raw "\" stays as it is: what an upstream makes of
/// those is for the WAF to judge. Nor does ";" end a segment, but "." and ".." followed by it are refused. Idempotent. `out` is replaced; its content is unspecified if the path is refused.
[[nodiscard]] std::expected<void, Refusal> normalise_path(std::string_view path, std::string& out);

/// uri-host [":" port] taken apart as Host is: `host` in lower case without trailing dot, `port` 0 if there is none, as in
/// "host:". False if it is malformed.
/// Names are of letters, digits, "-", "_" and ".", labels of 1 to 63, 253 in all; no percent-encoding, no userinfo.
[[nodiscard]] bool parse_host(std::string_view text, std::string& host, std::uint16_t& port);

/// Host as it is passed on: without the ":" of a port that is not there, which others may read otherwise.
[[nodiscard]] inline std::string_view without_empty_port(std::string_view host) noexcept {
  if (host.ends_with(':')) host.remove_suffix(1);
  return host;
}

/// True if the Connection header asks to close after this message (or HTTP/1.0 without keep-alive).
[[nodiscard]] bool wants_close(const Fields& fields, int minor_version) noexcept;

/// True if the client waits for 100 (Continue) before it sends the body.
[[nodiscard]] bool expects_continue(const RequestHead& head) noexcept;

/// How many more recipients may forward a TRACE or OPTIONS request (RFC 9110 section 7.6.2); 0: it ends here. None without
/// Max-Forwards and for other methods, where it means nothing. Of a head that request_framing() has taken.
[[nodiscard]] std::optional<std::uint64_t> hops_left(const RequestHead& head) noexcept;

/// True if the path holds what some servers take for a slash behind the checks of others: "%2F", "%5C" or a raw "\".
/// `path` is normalised.
[[nodiscard]] bool has_escaped_slash(std::string_view path) noexcept;

/// True if a segment of the path has a parameter (";a=b", also percent-encoded), which servlet containers cut off before
/// they look for who serves the path. `path` is normalised.
[[nodiscard]] bool has_path_parameter(std::string_view path) noexcept;

/// True for an opening handshake of a WebSocket (RFC 6455 section 4.1) as far as the upgrade goes: GET, HTTP/1.1,
/// "Connection: upgrade", "Upgrade: websocket" and nothing else on offer.
[[nodiscard]] bool is_websocket_upgrade(const RequestHead& head) noexcept;
/// Whether a handshake is of the one version that there is, 13 (RFC 6455 section 4.2.1).
[[nodiscard]] bool has_websocket_version(const RequestHead& head) noexcept;

/// True for the server's side of it: 101 of HTTP/1.1 with "Connection: upgrade", "Upgrade: websocket" and nothing else, and no
/// framing (RFC 9110 section 8.6).
[[nodiscard]] bool is_websocket_switch(const ResponseHead& head) noexcept;

/// True if `list` (a comma-separated header value) contains `lower_case_token`, case-insensitively.
[[nodiscard]] bool list_contains(std::string_view list, std::string_view lower_case_token) noexcept;

/// True for fields that end at this hop (RFC 9110 section 7.6.1): Connection, what it names, Keep-Alive,
/// Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade, HTTP2-Settings.
[[nodiscard]] bool is_hop_by_hop(const Field& field, const Fields& fields) noexcept;

/// True for a field that would go on to the endpoint if Connection did not name it. Whatever the gateway decides by fields
/// that the configuration names (routes, keys of limits) must take it for absent, as the endpoint will: else a client
/// shows the gateway one request and the endpoint another.
[[nodiscard]] bool is_taken_out(const Field& field, const Fields& fields) noexcept;

/// libmodsecurity before 3.0.12 decodes a path before it looks for "?", so what follows "%3f" is hidden from the rules
/// (CVE-2024-1019): "%3f" in the path becomes "%253f", "%3F" "%253F". The query is left alone: there "%3f" is read
/// well. Returns `target` itself if there is nothing to do, else `storage`.
[[nodiscard]] std::string_view target_for_waf(std::string_view target, std::string& storage);

}  // namespace gatehouse::http
