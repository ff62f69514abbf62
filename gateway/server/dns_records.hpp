// Writes the records of dns-01 where acme.NAME.dns says: at a name server or by a service. Used by server/certificates.cpp.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "acme/environment.hpp"
#include "gateway/runtime/loop.hpp"
#include "gateway/runtime/task.hpp"
#include "gateway/upstream/http_client.hpp"

namespace gatehouse::server {

/// RFC 2136 over TCP, all changes in one message. The error is for the operator.
[[nodiscard]] runtime::Task<std::expected<acme::Done, std::string>> update_name_server(
    runtime::Loop& loop, acme::DnsServer server, std::vector<acme::TxtChange> changes, acme::Time now);

/// One request for each change, in order; the first that fails ends it. `client` outlives the task.
[[nodiscard]] runtime::Task<std::expected<acme::Done, std::string>> call_webhook(upstream::HttpClient& client,
                                                                                 acme::DnsWebhook webhook,
                                                                                 std::vector<acme::TxtChange> changes);

}  // namespace gatehouse::server
