// Access records; see access_log.hpp.
#include "gateway/proxy/access_log.hpp"

#include "gateway/filter/logged_fields.hpp"
#include "gateway/filter/waf_event.hpp"
#include "gateway/runtime/json.hpp"
#include "gateway/runtime/log.hpp"

namespace gatehouse::proxy {

void append_access_record(std::string& out, const filter::Exchange& exchange, std::uint64_t duration_nanoseconds) {
  const filter::LoggedFields logged = filter::logged_fields(exchange);
  runtime::JsonObject record(out);
  record.name("@timestamp");
  out += '"';
  runtime::append_timestamp(out);
  out += '"';
  record.text("http.request.id", logged.request_id);
  record.text("http.request.method", exchange.head.method_name);
  record.text("http.version", exchange.head.version());
  if (logged.client) {
    if (exchange.settings->access_log.client_ip == config::ClientIpDetail::full) {
      record.text("client.ip", exchange.client_text);
    } else {
      char text[46];
      record.text("client.ip", {text, exchange.client.truncated(24, 48).format(text)});
    }
  }
  record.text("url.domain", logged.host);
  if (exchange.waf_engine != nullptr)
    record.text("url.path", exchange.waf_engine->masked_path(exchange.target.path));
  else
    record.text("url.path", exchange.target.path);
  record.number("http.response.status_code", static_cast<std::uint64_t>(exchange.status));
  record.number("http.request.body.bytes", exchange.request_body_bytes);
  record.number("http.response.body.bytes", exchange.response_body_bytes);
  record.number("event.duration", duration_nanoseconds);
  if (exchange.head.fields.has(http::FieldId::user_agent)) record.text("user_agent.original", logged.user_agent);
  record.text("labels.tenant", exchange.tenant != nullptr ? std::string_view(exchange.tenant->config->name) : "-");
  if (exchange.route != nullptr) {
    record.text("labels.route", exchange.route->config->name);
    record.text("labels.service", exchange.route->service->config.name);
  }
  if (exchange.choice.found()) {
    const upstream::ServiceSite& site = exchange.route->service->sites[exchange.choice.site];
    record.text("labels.site", site.name);
    record.text("destination.address", site.endpoints[exchange.choice.endpoint].name);
    record.number("gatehouse.upstream_ns", exchange.upstream_nanoseconds);
  }
  if (exchange.verdict != filter::WafVerdict::off)
    record.text("gatehouse.waf.verdict", filter::verdict_name(exchange.verdict));
  if (exchange.reply.reason != filter::Reason::none)
    record.text("gatehouse.reason", filter::reason_name(exchange.reply.reason));
  if (exchange.cut != filter::Cut::none) record.text("gatehouse.aborted", filter::cut_name(exchange.cut));
  if (exchange.upstream_error != filter::UpstreamError::none)
    record.text("gatehouse.upstream_error", filter::upstream_error_name(exchange.upstream_error));
  record.text("trace.id", logged.trace_id);
  record.close();
  out += '\n';
}

}  // namespace gatehouse::proxy
