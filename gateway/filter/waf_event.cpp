// WAF events; see waf_event.hpp.
#include "gateway/filter/waf_event.hpp"

#include "gateway/filter/logged_fields.hpp"
#include "gateway/runtime/json.hpp"
#include "gateway/runtime/log.hpp"

namespace gatehouse::filter {

std::string logged_client(const IpAddress& client, config::ClientIpDetail detail) {
  switch (detail) {
    case config::ClientIpDetail::full: return client.to_string();
    case config::ClientIpDetail::truncated: return client.truncated(24, 48).to_string();
    case config::ClientIpDetail::none: return {};
  }
  return {};
}

std::string shown_client(const Exchange& exchange) {
  std::string shown;
  if (logged_fields(exchange).client) shown = logged_client(exchange.client, exchange.settings->access_log.client_ip);
  return shown.empty() ? "***" : shown;
}

void append_waf_event(std::string& out, const Exchange& exchange, const waf::Outcome& outcome, bool blocked) {
  const LoggedFields logged = logged_fields(exchange);
  runtime::JsonObject event(out);
  event.name("time");
  out += '"';
  runtime::append_timestamp(out);
  out += '"';
  event.text("type", "waf");
  event.text("tenant", exchange.tenant->config->name);
  event.text("request_id", logged.request_id);
  if (logged.client) event.text("client_ip", logged_client(exchange.client, exchange.settings->access_log.client_ip));
  event.text("method", exchange.head.method_name);
  event.text("host", logged.host);
  event.text("path", exchange.waf_engine->masked_path(exchange.target.path));
  event.text("verdict", blocked ? "blocked" : "flagged");
  event.number("score", outcome.inbound_score);
  event.name("rules");
  out += '[';
  bool first = true;
  for (const waf::RuleMatch& match : outcome.rules) {
    if (!first) out += ',';
    first = false;
    runtime::JsonObject rule(out);
    rule.number("id", match.id);
    rule.text("msg", match.message);
    rule.text("severity", match.severity);
    rule.text("target", match.target);
    rule.text("match", match.match);
    rule.close();
  }
  out += ']';
  event.close();
  out += '\n';
}

}  // namespace gatehouse::filter
