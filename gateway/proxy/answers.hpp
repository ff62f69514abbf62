// Heads and bodies that the gateway writes: its own answers, and the heads of what it passes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/filter/exchange.hpp"

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

/// Appends an IMF-fixdate (RFC 9110 section 5.6.7).
void append_http_date(std::string& out);

}  // namespace gatehouse::proxy
