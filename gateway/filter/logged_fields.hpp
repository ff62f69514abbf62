// What the access log and WAF events say of the request's head: what came from a field that audit_log.mask names is not
// told there either. Used by proxy/access_log.cpp and waf_event.cpp.
#pragma once

#include <string_view>

#include "gateway/filter/exchange.hpp"

namespace gatehouse::filter {

/// "***" for what is masked. Views into the exchange.
struct LoggedFields {
  std::string_view request_id;
  std::string_view trace_id;
  std::string_view host;
  std::string_view user_agent;  // empty if there is none
  bool client = true;  // whether its address may be told, in the detail that access_log.client_ip allows
};
[[nodiscard]] LoggedFields logged_fields(const Exchange& exchange) noexcept;

}  // namespace gatehouse::filter
