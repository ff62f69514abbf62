// The WAF as a filter; see waf_filter.hpp.
//
// Where a request and its answer are inspected: what is cheap for certain, on the worker, under a budget of some
// milliseconds; what is not, or turns out not to be, on the pool, so that nobody else on the worker waits for it. There
// the light lane has what is long and ordinary; what takes longer begins anew on the heavy lane, with all of
// waf.time_budget.
#include "gateway/filter/waf_filter.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include "gateway/filter/waf_event.hpp"
#include "gateway/runtime/metric_families.hpp"
#include "gateway/runtime/work_pool.hpp"

namespace gatehouse::filter {

namespace {

using runtime::Clock;

using std::chrono_literals::operator""ms;

// CPU time that one request, or its answer, may use before it goes on elsewhere.
constexpr std::chrono::nanoseconds worker_budget = 10ms;
constexpr std::chrono::nanoseconds light_budget = 50ms;
// A loop's turn that has lasted so long gives no more of itself to requests of more than this, and less to others.
constexpr auto long_turn = 20ms;
constexpr std::size_t tiny_bytes = 1024;
constexpr std::chrono::nanoseconds late_budget = 2ms;
// Of a turn that has lasted so long, a client that has had so much gets no more: the others on the loop are next.
constexpr auto shared_turn = 6ms;
constexpr std::chrono::nanoseconds turn_share = 3ms;
constexpr std::size_t worker_response_bytes = 4 * 1024;  // of a response's body

// Nobody can know whose entries in a table lie in one place.
std::uint64_t seeded(std::uint64_t value) noexcept {
  static const std::uint64_t seed = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
  constexpr std::uint64_t odd = 0xD6E8FEB86659FD93U;
  value = (value ^ seed) * odd;
  value = (value ^ value >> 32) * odd;
  return value ^ value >> 32;
}

// Clients with IPv6 have a /64 each, at the least.
std::uint64_t client_of(const Exchange& exchange) noexcept {
  if (exchange.client.is_v4()) return seeded(exchange.client.v4_value());
  std::uint64_t client = 0;
  std::memcpy(&client, exchange.client.bytes().data(), sizeof client);
  return seeded(client);
}

// A client of one tenant: what it costs there, through that tenant's rules and upstreams, is nothing to the others.
std::uint64_t visitor_of(const Exchange& exchange) noexcept {
  return seeded(client_of(exchange) ^ reinterpret_cast<std::uintptr_t>(exchange.tenant->load.get()));
}

// What the tenant's share of processors is charged with (limits.waf_cpu).
void charge_tenant(const Exchange& exchange, std::chrono::nanoseconds used) noexcept {
  const std::uint32_t share = exchange.tenant->config->limits.waf_cpu_thousandths;
  if (share != 0) exchange.tenant->load->waf_share.charge(Clock::now(), used, share);
}

bool has_spent_share(const Exchange& exchange) noexcept {
  return exchange.tenant->config->limits.waf_cpu_thousandths != 0 &&
         exchange.tenant->load->waf_share.is_spent(Clock::now());
}

// Adds the time of a scope to the exchange's WAF time.
class Stopwatch {
 public:
  explicit Stopwatch(Exchange& exchange) : exchange_(exchange), start_(Clock::now()) {}
  ~Stopwatch() { exchange_.waf_nanoseconds += static_cast<std::uint64_t>(elapsed().count()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  [[nodiscard]] std::chrono::nanoseconds elapsed() const noexcept { return Clock::now() - start_; }
  [[nodiscard]] Exchange& exchange() const noexcept { return exchange_; }

 private:
  Exchange& exchange_;
  Clock::time_point start_;
};

// The same where it is the worker's time as well.
class WorkerStopwatch : public Stopwatch {
 public:
  explicit WorkerStopwatch(Exchange& exchange)
      : Stopwatch(exchange), worker_(exchange.worker), client_(client_of(exchange)) {}
  ~WorkerStopwatch() {
    const std::chrono::nanoseconds used = elapsed();
    worker_.turn_shares.add(client_, worker_.loop.now(), used);
    charge_tenant(exchange(), used);
  }
  WorkerStopwatch(const WorkerStopwatch&) = delete;
  WorkerStopwatch& operator=(const WorkerStopwatch&) = delete;

 private:
  WorkerContext& worker_;
  std::uint64_t client_;
};

// Ends the transaction: verdict, event and metrics; returns the denying rule's status. Before a blocked request is answered, so that its event is
// queued first; after the answer otherwise.
int conclude(Exchange& exchange, bool blocked) {
  const waf::Outcome outcome = exchange.waf->finish();
  exchange.waf.reset();
  const Tenant& tenant = *exchange.tenant;
  if (outcome.engine_error) exchange.waf_error = true;
  if (outcome.body_unread) exchange.waf_bypassed = true;
  exchange.verdict = blocked                  ? WafVerdict::blocked
                     : exchange.waf_error     ? WafVerdict::error
                     : exchange.waf_bypassed  ? WafVerdict::bypassed
                     : !outcome.rules.empty() ? WafVerdict::flagged
                     : !exchange.waf_judged   ? WafVerdict::screened
                                              : WafVerdict::clean;
  for (const waf::RuleMatch& match : outcome.rules) {
    const std::string rule = tenant.load->rule_labels.admit(match.id) ? std::to_string(match.id) : "other";
    exchange.worker.metrics.counter(runtime::families::waf_rule_matches_total, {tenant.config->name, rule})->add();
  }
  if (!outcome.rules.empty() && exchange.worker.audit_log != nullptr) {
    std::string line;
    append_waf_event(line, exchange, outcome, blocked);
    exchange.worker.audit_log->submit(line);
  }
  return outcome.status;
}

bool only_detects(const Exchange& exchange) noexcept {
  return exchange.tenant->waf_policy->mode() == config::WafMode::detect;
}

Step fail(Exchange& exchange, Reason reason, const char* detail) {
  exchange.waf_error = true;
  if (exchange.settings->waf.on_error == config::OnError::pass || only_detects(exchange)) return Step::next;
  exchange.answer_unavailable(reason, detail);
  return Step::answer;
}

Step act_on(Exchange& exchange, waf::Step step) {
  switch (step) {
    case waf::Step::proceed: return Step::next;
    case waf::Step::deny: {
      const int status = conclude(exchange, true);
      exchange.answer(status, Reason::waf, "The request was refused by the web application firewall.");
      return Step::answer;
    }
    case waf::Step::error: return fail(exchange, Reason::waf_error, "The request could not be inspected.");
  }
  return Step::next;
}

// --- the phases, on whatever thread

waf::Step inspect_head(Exchange& exchange, std::chrono::nanoseconds budget) {
  const http::Field* const host = exchange.head.fields.find(http::FieldId::host);
  waf::RequestStart start;
  start.request_id = exchange.request_id;
  start.client_ip = exchange.client_text;
  const std::string shown = shown_client(exchange);
  if (shown != exchange.client_text) start.client_shown = shown;
  start.client_port = exchange.peer.port;
  start.server_ip = "127.0.0.1";
  start.server_port = exchange.local.port;
  start.method = exchange.head.method_name;
  start.target = http::target_for_waf(exchange.target.as_received, exchange.waf_target);
  start.received = exchange.target.as_received;
  start.path = exchange.target.path;
  start.http_version = exchange.head.version();
  start.host = host != nullptr ? host->value : std::string_view{};
  exchange.waf = exchange.waf_engine->begin(*exchange.tenant->waf_policy, start, budget);
  for (const http::Field& field : exchange.head.fields.all()) exchange.waf->add_request_header(field.name, field.value);
  if (exchange.waf_tells_body) exchange.waf->add_request_header("transfer-encoding", "chunked");
  return exchange.waf->request_headers();
}

waf::Step inspect_body(Exchange& exchange) {
  if (exchange.body_buffered) {
    if (!exchange.body.empty()) exchange.waf->append_request_body(exchange.body);
  } else if (exchange.framing.kind != http::BodyKind::none) {
    exchange.waf->pass_request_body();  // larger than the tenant's limit, which says to pass it on
  }
  const std::size_t held = exchange.held.held();
  if (!exchange.hold_beside_body(exchange.waf->tree_bytes())) return waf::Step::error;
  const waf::Step step = exchange.waf->request_body();
  if (exchange.waf->tree_bytes() == 0) exchange.held.shrink(held);
  if (exchange.waf->left_body_out()) exchange.waf_bypassed = true;
  exchange.waf_judged = step != waf::Step::error;
  return step;
}

waf::Step inspect_response_head(Exchange& exchange) {
  for (const http::Field& field : exchange.response.fields.all())
    exchange.waf->add_response_header(field.name, field.value);
  return exchange.waf->response_headers(exchange.response.status, exchange.response.minor_version == 1 ? "1.1" : "1.0");
}

waf::Step inspect_response_body(Exchange& exchange, std::string_view body) {
  exchange.waf->append_response_body(body);
  return exchange.waf->response_body();
}

bool is_out_of_time(const Exchange& exchange, waf::Step step) {
  return step == waf::Step::error && exchange.waf && exchange.waf->ran_out_of_time();
}

// A body over HTTP/2 needs no field that announces it, which rules look for: they are told as HTTP/1.1 would have said it
// (RFC 9112 section 6.1), so that a request is the same whatever its version.
bool is_unannounced(const Exchange& exchange) noexcept {
  return exchange.head.is_http2 && exchange.framing.kind == http::BodyKind::chunked &&
         !exchange.head.fields.has(http::FieldId::content_length);
}
// Whether there is a body is known behind the head, of methods that usually have none: their streams often end with an
// empty frame.
bool expects_no_body(const Exchange& exchange) noexcept {
  return exchange.head.method == http::Method::get || exchange.head.method == http::Method::head;
}

// --- the pool

bool has_pool(const Exchange& exchange) noexcept { return exchange.worker.work_pool != nullptr; }

bool is_costly_client(const Exchange& exchange) noexcept {
  return exchange.worker.costly_clients.contains(visitor_of(exchange), exchange.worker.loop.now());
}

bool is_turn_longer(const Exchange& exchange, runtime::Duration than) noexcept {
  return Clock::now() - exchange.worker.loop.now() > than;
}
bool is_long_turn(const Exchange& exchange) noexcept { return is_turn_longer(exchange, long_turn); }

// What the worker may spend on it here and now.
std::chrono::nanoseconds budget_here(Exchange& exchange) noexcept {
  const std::chrono::nanoseconds whole = exchange.waf_engine->time_budget();
  if (!has_pool(exchange)) return whole;
  exchange.waf_hurried = is_long_turn(exchange);
  return std::min(exchange.waf_hurried ? late_budget : worker_budget, whole);
}

// Where to inspect what has come of the request so far; false: here.
bool belongs_to_pool(Exchange& exchange) noexcept {
  if (!has_pool(exchange)) return false;
  const waf::Weight& weight = exchange.waf_weight;
  switch (weight.cost()) {
    case waf::Cost::small:
      exchange.waf_lane = runtime::WorkPool::Lane::light;
      return is_costly_client(exchange) || (weight.bytes() > tiny_bytes && is_long_turn(exchange));
    case waf::Cost::moderate: exchange.waf_lane = runtime::WorkPool::Lane::light; return true;
    case waf::Cost::high: exchange.waf_lane = runtime::WorkPool::Lane::heavy; return true;
  }
  return true;
}

// What is to be inspected, on top of what the transaction has behind it.
enum class Work { head, body, response_head, response_body };

// One visit of an exchange to the pool, while its coroutine waits.
struct Visit {
  Exchange& exchange;
  Work work;
  bool anew;  // with a transaction of its own, from the request's head on
  std::chrono::nanoseconds budget;
  std::string_view response_body;
  waf::Step result = waf::Step::error;

  void run() {
    if (anew) {
      result = inspect_head(exchange, budget);
      if (work != Work::head && result == waf::Step::proceed) result = inspect_body(exchange);
      if (work > Work::body && result == waf::Step::proceed) {
        exchange.waf->extend_budget(budget);
        result = inspect_response_head(exchange);
      }
      if (work > Work::response_head && result == waf::Step::proceed)
        result = inspect_response_body(exchange, response_body);
      return;
    }
    // The request has one budget, head and body together; the answer has another.
    if (work == Work::body)
      exchange.waf->raise_budget(budget);
    else
      exchange.waf->extend_budget(budget);
    switch (work) {
      case Work::head: break;  // always anew
      case Work::body: result = inspect_body(exchange); break;
      case Work::response_head: result = inspect_response_head(exchange); break;
      case Work::response_body: result = inspect_response_body(exchange, response_body); break;
    }
  }
  static void run(void* self) noexcept {
    const auto begin = Clock::now();
    const Exchange& exchange = static_cast<Visit*>(self)->exchange;
    try {
      static_cast<Visit*>(self)->run();
    } catch (...) {  // out of memory: not inspected
      static_cast<Visit*>(self)->result = waf::Step::error;
    }
    charge_tenant(exchange, Clock::now() - begin);
  }
};

runtime::Task<Step> visit_pool(Exchange& exchange, Work work, std::string_view response_body = {}) {
  using Lane = runtime::WorkPool::Lane;
  const Stopwatch stopwatch(exchange);
  const std::chrono::nanoseconds whole = exchange.waf_engine->time_budget();
  const bool restart = std::exchange(exchange.waf_restart, false);
  bool anew = work == Work::head || restart;
  for (;;) {
    const bool is_light = exchange.waf_lane == Lane::light;
    Visit visit{exchange, work, anew, is_light ? std::min(light_budget, whole) : whole, response_body};
    runtime::WorkPool::Job job(*exchange.worker.work_pool, exchange.worker.loop, exchange.waf_lane,
                               {exchange.tenant->load.get(), client_of(exchange)}, &Visit::run, &visit);
    const bool ran = co_await job;
    if (!ran && (!is_light || exchange.waf_weight.cost() != waf::Cost::small || is_costly_client(exchange)))
      co_return fail(exchange, Reason::overload, "Too many requests wait to be inspected. Please try again.");
    if (!ran) {  // the turn was long, the request is not
      visit.budget = std::min(worker_budget, whole);
      Visit::run(&visit);
    }
    if (is_light && is_out_of_time(exchange, visit.result)) {
      exchange.waf_lane = Lane::heavy;
      anew = true;
      continue;
    }
    co_return act_on(exchange, visit.result);
  }
}

// Whether the loop has others to serve first.
bool must_yield(const Exchange& exchange) noexcept {
  return is_turn_longer(exchange, shared_turn) &&
         exchange.worker.turn_shares.spent(client_of(exchange), exchange.worker.loop.now()) > turn_share;
}

// The same of a request that comes in, behind those of its client that wait already.
bool must_wait(const Exchange& exchange) noexcept {
  return must_yield(exchange) || exchange.worker.turn_shares.has_waiting(client_of(exchange));
}

// What the worker found, unless it ran out of the time that it has for one request: the pool begins anew then.
Step settle(Exchange& exchange, waf::Step step) {
  if (!has_pool(exchange)) return act_on(exchange, step);
  const bool out_of_time = is_out_of_time(exchange, step);
  // What a pattern's bound has ended took about as long, and so may what was refused. Once a request.
  const bool ended = step == waf::Step::error && !out_of_time;
  const bool costly =
      exchange.waf && !exchange.waf_error && exchange.waf->was_costly() && (ended || !exchange.waf_hurried);
  if (costly) exchange.worker.costly_clients.note(visitor_of(exchange), exchange.worker.loop.now());
  if (!out_of_time) return act_on(exchange, step);
  exchange.waf_lane = exchange.waf_hurried ? runtime::WorkPool::Lane::light : runtime::WorkPool::Lane::heavy;
  exchange.waf_restart = true;
  return Step::wait;
}

Step inspect_head_here(Exchange& exchange) {
  const WorkerStopwatch stopwatch(exchange);
  return settle(exchange, inspect_head(exchange, budget_here(exchange)));
}

Step inspect_body_here(Exchange& exchange) {
  const WorkerStopwatch stopwatch(exchange);
  return settle(exchange, inspect_body(exchange));
}

// What a client's request waits for: its turn on the loop, or the pool.
runtime::Task<Step> wait_for(Exchange& exchange, Work work) {
  if (std::exchange(exchange.waf_later, false)) {
    const bool others_wait = exchange.worker.turn_shares.has_waiting(client_of(exchange));
    const TurnShares::Waiting waiting(exchange.worker.turn_shares, client_of(exchange));
    // Who comes while those that wait have their turn would be before them in the next.
    if (others_wait) co_await exchange.worker.loop.yield();
    do co_await exchange.worker.loop.yield();
    while (must_yield(exchange));
    const Step step = work == Work::head ? inspect_head_here(exchange) : inspect_body_here(exchange);
    if (step != Step::wait) co_return step;
  }
  co_return co_await visit_pool(exchange, work);
}

}  // namespace

Step waf_on_request(Exchange& exchange) {
  const Tenant& tenant = *exchange.tenant;
  if (!tenant.waf_policy) return Step::next;
  if (has_spent_share(exchange))
    return fail(exchange, Reason::overload,
                "This site's inspection has used its share of the processors. Please try again.");
  // A body that only the upstream can decode is a body that nobody inspected.
  const http::Field* const coding = exchange.head.fields.find(http::FieldId::content_encoding);
  const bool is_coded = coding != nullptr && !http::equals_ignore_case(coding->value, "identity");
  if (is_coded && only_detects(exchange)) {
    exchange.waf_bypassed = true;
  } else if (is_coded) {
    exchange.verdict = WafVerdict::blocked;
    exchange.answer(415, Reason::waf, "A request's body must not be compressed here.");
    return Step::answer;
  }
  exchange.plain_answer = waf_response_body_limit(exchange) != 0;
  exchange.waf_tells_body = is_unannounced(exchange) && !expects_no_body(exchange);
  exchange.waf_weight.add_values(exchange.target.as_received, "&");
  for (const http::Field& field : exchange.head.fields.all())
    if (http::equals_ignore_case(field.name, "cookie"))
      exchange.waf_weight.add_values(field.value, ";");
    else
      exchange.waf_weight.add(field.value);
  if (belongs_to_pool(exchange)) return Step::wait;
  exchange.waf_later = has_pool(exchange) && must_wait(exchange);
  return exchange.waf_later ? Step::wait : inspect_head_here(exchange);
}

runtime::Task<Step> waf_on_wait(Exchange& exchange) { return wait_for(exchange, Work::head); }

BodyNeed waf_body_need(const Exchange& exchange) {
  if (!exchange.waf || exchange.framing.kind == http::BodyKind::none) return {};
  const config::TenantWaf& policy = exchange.tenant->config->waf;
  return {true, policy.body_limit, policy.over_limit == config::OverLimit::block && !only_detects(exchange)};
}

Step waf_on_request_body(Exchange& exchange) {
  if (!exchange.waf) return Step::next;
  exchange.waf_weight.add_values(exchange.body, "&,");
  if (!exchange.waf_tells_body && is_unannounced(exchange) && (!exchange.body.empty() || !exchange.body_buffered)) {
    exchange.waf_tells_body = true;
    exchange.waf_restart = has_pool(exchange);
    const Step step =
        exchange.waf_restart ? Step::wait : act_on(exchange, inspect_head(exchange, budget_here(exchange)));
    if (step == Step::answer) return step;
  }
  if (belongs_to_pool(exchange) || exchange.waf_restart) return Step::wait;
  exchange.waf_later = has_pool(exchange) && must_yield(exchange);  // its head has waited
  return exchange.waf_later ? Step::wait : inspect_body_here(exchange);
}

runtime::Task<Step> waf_on_body_wait(Exchange& exchange) { return wait_for(exchange, Work::body); }

Step waf_on_response(Exchange& exchange) {
  if (!exchange.waf) return Step::next;
  const WorkerStopwatch stopwatch(exchange);
  // The upstream is the tenant's: what it answers must not hold the worker up either.
  exchange.waf->extend_budget(budget_here(exchange));
  return settle(exchange, inspect_response_head(exchange));
}

runtime::Task<Step> waf_on_response_wait(Exchange& exchange) { return visit_pool(exchange, Work::response_head); }

std::size_t waf_response_body_limit(const Exchange& exchange) {
  const Tenant& tenant = *exchange.tenant;
  return tenant.waf_policy && tenant.config->waf.inspect_response_body ? tenant.config->waf.body_limit : 0;
}

Step waf_on_response_body(Exchange& exchange, std::string_view body) {
  if (!exchange.waf) return Step::next;
  if (has_pool(exchange) && body.size() > worker_response_bytes) {
    exchange.waf_weight = {};
    exchange.waf_weight.add(body);
    const bool heavy = exchange.waf_weight.cost() == waf::Cost::high;
    exchange.waf_lane = heavy ? runtime::WorkPool::Lane::heavy : runtime::WorkPool::Lane::light;
    return Step::wait;
  }
  const WorkerStopwatch stopwatch(exchange);
  return settle(exchange, inspect_response_body(exchange, body));
}

runtime::Task<Step> waf_on_response_body_wait(Exchange& exchange, std::string_view body) {
  return visit_pool(exchange, Work::response_body, body);
}

void waf_on_complete(Exchange& exchange) {
  if (exchange.tenant == nullptr || !exchange.tenant->waf_policy) return;
  if (exchange.waf) {
    const Stopwatch stopwatch(exchange);
    conclude(exchange, exchange.body_over_limit);
  } else if (exchange.verdict == WafVerdict::off) {
    // It never got as far as a transaction: overload, or what was answered before the WAF's turn.
    exchange.verdict = exchange.waf_error ? WafVerdict::error : WafVerdict::screened;
  }
  const Tenant& tenant = *exchange.tenant;
  tenant.waf_verdicts[static_cast<std::size_t>(exchange.verdict)]
      .get([&] {
        return exchange.worker.metrics.counter(runtime::families::waf_requests_total,
                                               {tenant.config->name, verdict_name(exchange.verdict)});
      })
      .add();
  if (exchange.waf_nanoseconds != 0) tenant.waf_duration->observe_nanoseconds(exchange.waf_nanoseconds);
}

}  // namespace gatehouse::filter
