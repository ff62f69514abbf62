// What logs say of a request's head; see logged_fields.hpp.
#include "gateway/filter/logged_fields.hpp"

namespace gatehouse::filter {

LoggedFields logged_fields(const Exchange& exchange) noexcept {
  using http::FieldId;
  constexpr std::string_view masked = "***";
  const http::Fields& fields = exchange.head.fields;
  LoggedFields logged{exchange.request_id, exchange.trace_id, exchange.target.host};
  if (const http::Field* const agent = fields.find(FieldId::user_agent)) logged.user_agent = agent->value;
  logged.client = exchange.settings->access_log.client_ip != config::ClientIpDetail::none;
  if (exchange.waf_engine == nullptr) return logged;

  const waf::MaskedFields& hidden = exchange.waf_engine->masked_fields();
  if (hidden.user_agent && !logged.user_agent.empty()) logged.user_agent = masked;
  if (hidden.host) logged.host = masked;
  // Of these the gateway makes its own unless a trusted proxy has sent one.
  if (!exchange.peer_trusted) return logged;
  if (hidden.x_forwarded_for && fields.has(FieldId::x_forwarded_for)) logged.client = false;
  if (hidden.x_request_id && fields.has(FieldId::x_request_id)) logged.request_id = masked;
  if (hidden.traceparent && fields.has(FieldId::traceparent)) logged.trace_id = masked;
  return logged;
}

}  // namespace gatehouse::filter
