// What operators ask of the certificates through the admin endpoints: POST /certificates/..., and the list. Called by
// admin.cpp; `gatehouse certs` is the client.
#pragma once

#include <string>
#include <string_view>

#include "gateway/runtime/task.hpp"
#include "gateway/server/certificates.hpp"

namespace gatehouse::server {

struct AdminAnswer {
  int status = 200;
  std::string body;  // text
};

/// What `certs revoke --reason` takes (RFC 5280 section 5.3.1).
[[nodiscard]] std::vector<std::string> revocation_reasons();

/// "/certificates/renew?host=shop.example", revoke (with reason, RFC 5280 section 5.3.1), import (the body is the chain and
/// the key in PEM), roll-over?authority=NAME. 404 for others.
[[nodiscard]] runtime::Task<AdminAnswer> run_admin_command(Certificates& certificates, std::string target,
                                                           std::string body);

/// A line a host: name, tenant, issuer, end, when it renews, the last error.
[[nodiscard]] std::string certificate_list(Certificates& certificates);

}  // namespace gatehouse::server
