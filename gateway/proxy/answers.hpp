// Heads and bodies that the gateway writes: its own answers, and the heads of what it passes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/filter/exchange.hpp"
#include "gateway/http/h2_session.hpp"

namespace gatehouse::proxy {

/// "OK", "Not Found" ... (RFC 9110 section 15, RFC 6585); "Refused" and "Failed" for others.
[[nodiscard]] std::string_view status_text(int status) noexcept;

/// Appends the whole answer that exchange.reply describes: head with x-request-id, date and framing, and a short body, HTML or JSON by
/// Accept; no body for HEAD. Returns the body's size.
std::size_t append_reply(std::string& out, const filter::Exchange& exchange, bool close);

/// Appends the request head for the upstream: the normalised target, the client's Host, its fields without hop-by-hop
/// and replaced ones, the filters' fields, and the framing. `length` is ignored for chunked.
void append_upstream_head(std::string& out, const filter::Exchange& exchange, http::BodyKind body,
                          std::uint64_t length);

/// How the answer's body is framed towards the client.
enum class ClientFraming : std::uint8_t { none, length, chunked, until_close };

/// Appends the head of the upstream's answer as the client gets it.
void append_client_head(std::string& out, const filter::Exchange& exchange, ClientFraming framing, std::uint64_t length,
                        bool close);

/// Appends an interim answer (1xx other than 101).
void append_interim_head(std::string& out, const http::ResponseHead& head);

/// Appends the upstream's 101 with the Upgrade that was asked for.
void append_upgrade_head(std::string& out, const filter::Exchange& exchange);

/// The same as fields of HTTP/2, where the version and the frames say what lines about the connection and the framing
/// say in HTTP/1. What they refer to is `exchange`'s, and must live until they are submitted.
void collect_reply(http::H2Fields& fields, std::string& body, const filter::Exchange& exchange);
void collect_client_head(http::H2Fields& fields, const filter::Exchange& exchange, const http::BodyFraming& framing);
void collect_interim_head(http::H2Fields& fields, const http::ResponseHead& head);
/// Without Sec-WebSocket-Accept, which has no meaning there (RFC 8441 section 5).
void collect_upgrade_head(http::H2Fields& fields, const filter::Exchange& exchange);

/// The present time as IMF-fixdate (RFC 9110 section 5.6.7); valid until the next call in another second.
[[nodiscard]] std::string_view http_date();

}  // namespace gatehouse::proxy
