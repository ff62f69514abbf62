// A WAF event: one JSON object a line, for every request in which a rule that logs has matched.
#pragma once

#include <string>

#include "gateway/filter/exchange.hpp"

namespace gatehouse::filter {

/// Appends the line with its line feed. Values of secrets are masked: the rules' matches by waf/, the path's query is
/// not part of the event.
void append_waf_event(std::string& out, const Exchange& exchange, const waf::Outcome& outcome, bool blocked);

/// The client's address in the detail that access_log.client_ip allows; empty for `none`.
[[nodiscard]] std::string logged_client(const IpAddress& client, config::ClientIpDetail detail);

/// The same for an event: "***" where its address may not be told.
[[nodiscard]] std::string shown_client(const Exchange& exchange);

}  // namespace gatehouse::filter
