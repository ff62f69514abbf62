// `gatehouse certs`: asks the admin endpoints of the gateway on this machine.
#pragma once

#include <expected>
#include <string>

#include "config/address.hpp"

namespace gatehouse::server {

struct AdminReply {
  bool is_success = false;
  std::string text;
};
/// `method`: GET or POST. The error says why there was no answer.
[[nodiscard]] std::expected<AdminReply, std::string> ask_admin(const SocketAddress& admin, const std::string& method,
                                                               const std::string& target, const std::string& body);

/// A name or number that may stand in a query as it is.
[[nodiscard]] bool is_plain_parameter(const std::string& text) noexcept;

}  // namespace gatehouse::server
