// The WAF as a filter; see waf_filter.hpp.
#include "gateway/filter/waf_filter.hpp"

#include "gateway/filter/waf_event.hpp"
#include "gateway/runtime/metric_families.hpp"

namespace gatehouse::filter {

namespace {

using runtime::Clock;

constexpr std::size_t max_rule_labels = 500;  // rules a tenant that get a series of their own

// Adds the time of a scope to the exchange's WAF time.
class Stopwatch {
 public:
  explicit Stopwatch(Exchange& exchange) : exchange_(exchange), start_(Clock::now()) {}
  ~Stopwatch() { exchange_.waf_nanoseconds += static_cast<std::uint64_t>((Clock::now() - start_).count()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Exchange& exchange_;
  Clock::time_point start_;
};

// Ends the transaction: verdict, event and metrics; returns the denying rule's status. Before a blocked request is answered, so that its event is
// queued first; after the answer otherwise.
int conclude(Exchange& exchange, bool blocked) {
  const waf::Outcome outcome = exchange.waf->finish();
  exchange.waf.reset();
  const Tenant& tenant = *exchange.tenant;
  if (outcome.engine_error) exchange.waf_error = true;
  exchange.verdict = blocked                  ? WafVerdict::blocked
                     : exchange.waf_error     ? WafVerdict::error
                     : exchange.waf_bypassed  ? WafVerdict::bypassed
                     : !outcome.rules.empty() ? WafVerdict::flagged
                                              : WafVerdict::clean;
  for (const waf::RuleMatch& match : outcome.rules) {
    std::string rule = std::to_string(match.id);
    if (tenant.load->rule_labels.load(std::memory_order_relaxed) >= max_rule_labels) rule = "other";
    const auto counter =
        exchange.worker.metrics.counter(runtime::families::waf_rule_matches_total, {tenant.config->name, rule});
    if (counter->value() == 0) tenant.load->rule_labels.fetch_add(1, std::memory_order_relaxed);
    counter->add();
  }
  if (!outcome.rules.empty() && exchange.worker.audit_log != nullptr) {
    std::string line;
    append_waf_event(line, exchange, outcome, blocked);
    exchange.worker.audit_log->submit(line);
  }
  return outcome.status;
}

Step act_on(Exchange& exchange, waf::Step step) {
  switch (step) {
    case waf::Step::proceed: return Step::next;
    case waf::Step::deny: {
      const int status = conclude(exchange, true);
      exchange.answer(status, Reason::waf, "The request was refused by the web application firewall.");
      return Step::answer;
    }
    case waf::Step::error:
      exchange.waf_error = true;
      if (exchange.settings->waf.on_error == config::OnError::pass) return Step::next;
      exchange.answer(503, Reason::waf_error, "The request could not be inspected.");
      exchange.reply.fields += "retry-after: 1\r\n";
      return Step::answer;
  }
  return Step::next;
}

}  // namespace

Step waf_on_request(Exchange& exchange) {
  const Tenant& tenant = *exchange.tenant;
  if (!tenant.waf_policy) return Step::next;
  // A body that only the upstream can decode is a body that nobody inspected.
  const http::Field* const coding = exchange.head.fields.find(http::FieldId::content_encoding);
  const bool is_coded = coding != nullptr && !http::equals_ignore_case(coding->value, "identity");
  if (is_coded && tenant.waf_policy->mode() == config::WafMode::detect) {
    exchange.waf_bypassed = true;
  } else if (is_coded) {
    exchange.verdict = WafVerdict::blocked;
    exchange.answer(415, Reason::waf, "A request's body must not be compressed here.");
    return Step::answer;
  }
  const Stopwatch stopwatch(exchange);
  const http::Field* const host = exchange.head.fields.find(http::FieldId::host);
  waf::RequestStart start;
  start.request_id = exchange.request_id;
  start.client_ip = exchange.client_text;
  start.client_port = exchange.peer.port;
  start.server_ip = "127.0.0.1";
  start.server_port = exchange.local.port;
  start.method = exchange.head.method_name;
  start.target = http::target_for_waf(exchange.target.as_received, exchange.waf_target);
  start.path = exchange.target.path;
  start.http_version = exchange.head.minor_version == 1 ? "1.1" : "1.0";
  start.host = host != nullptr ? host->value : std::string_view{};
  exchange.waf = exchange.waf_engine->begin(*tenant.waf_policy, start);
  for (const http::Field& field : exchange.head.fields.all()) exchange.waf->add_request_header(field.name, field.value);
  return act_on(exchange, exchange.waf->request_headers());
}

BodyNeed waf_body_need(const Exchange& exchange) {
  if (!exchange.waf || exchange.framing.kind == http::BodyKind::none) return {};
  const config::TenantWaf& policy = exchange.tenant->config->waf;
  return {true, policy.body_limit, policy.over_limit == config::OverLimit::block};
}

Step waf_on_request_body(Exchange& exchange) {
  if (!exchange.waf) return Step::next;
  const Stopwatch stopwatch(exchange);
  if (exchange.body_buffered) {
    if (!exchange.body.empty()) exchange.waf->append_request_body(exchange.body);
  } else if (exchange.framing.kind != http::BodyKind::none) {
    exchange.waf_bypassed = true;  // larger than the tenant's limit, which says to pass it on
  }
  return act_on(exchange, exchange.waf->request_body());
}

Step waf_on_response(Exchange& exchange) {
  if (!exchange.waf) return Step::next;
  const Stopwatch stopwatch(exchange);
  for (const http::Field& field : exchange.response.fields.all())
    exchange.waf->add_response_header(field.name, field.value);
  return act_on(exchange, exchange.waf->response_headers(exchange.response.status,
                                                         exchange.response.minor_version == 1 ? "1.1" : "1.0"));
}

std::size_t waf_response_body_limit(const Exchange& exchange) {
  return exchange.waf && exchange.tenant->config->waf.inspect_response_body ? exchange.tenant->config->waf.body_limit
                                                                            : 0;
}

Step waf_on_response_body(Exchange& exchange, std::string_view body) {
  if (!exchange.waf) return Step::next;
  const Stopwatch stopwatch(exchange);
  exchange.waf->append_response_body(body);
  return act_on(exchange, exchange.waf->response_body());
}

void waf_on_complete(Exchange& exchange) {
  if (exchange.tenant == nullptr || !exchange.tenant->waf_policy) return;
  if (exchange.waf) {
    const Stopwatch stopwatch(exchange);
    conclude(exchange, false);
  }
  if (exchange.verdict == WafVerdict::off) return;  // answered before the WAF was reached
  const Tenant& tenant = *exchange.tenant;
  tenant.waf_verdicts[static_cast<std::size_t>(exchange.verdict)]
      .get([&] {
        return exchange.worker.metrics.counter(runtime::families::waf_requests_total,
                                               {tenant.config->name, verdict_name(exchange.verdict)});
      })
      .add();
  tenant.waf_duration->observe_nanoseconds(exchange.waf_nanoseconds);
}

}  // namespace gatehouse::filter
