// The story of one request: who asks, for whom, may it pass, who answers, and the way back. serve_request() reads
// from top to bottom as that story; the steps are below it and in relay.cpp.
#include <algorithm>
#include <cctype>

#include "gateway/filter/filter.hpp"
#include "gateway/proxy/access_log.hpp"
#include "gateway/proxy/answers.hpp"
#include "gateway/proxy/failure.hpp"
#include "gateway/proxy/relay.hpp"
#include "gateway/proxy/server_stream.hpp"
#include "gateway/runtime/metric_families.hpp"

namespace gatehouse::proxy {

using filter::BodyNeed;
using filter::Exchange;
using filter::Reason;
using filter::Step;
using http::BodyKind;
using http::FieldId;
using runtime::Errc;
using runtime::Task;

namespace {

// Of a body whose length is known, for as long as an ordinary one takes to come; who is slower holds what has come.
constexpr std::size_t held_in_advance = 1024 * 1024;
constexpr auto held_in_advance_for = std::chrono::seconds(2);

bool is_token_like(std::string_view text, std::size_t max) noexcept {
  return !text.empty() && text.size() <= max && std::ranges::all_of(text, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  });
}

// Takes over a caller's trace, if the field is well-formed (W3C Trace Context, section 3.2.2).
void join_trace(Exchange& exchange, std::string_view value) {
  const auto is_hex = [](std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  };
  const auto is_zero = [](std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; };
  if (value.size() < 55 || value[2] != '-' || value[35] != '-' || value[52] != '-') return;
  const std::string_view version = value.substr(0, 2);
  const std::string_view id = value.substr(3, 32);
  const std::string_view parent = value.substr(36, 16);
  const std::string_view flags = value.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_hex(id) || is_zero(id) || !is_hex(parent) || is_zero(parent) ||
      !is_hex(flags) || (value.size() > 55 && (version == "00" || value[55] != '-')))
    return;
  exchange.trace_id = id;
  exchange.trace_flags = flags;
}

// The address behind the trusted proxies: X-Forwarded-For read from the right, up to the first that is not trusted.
// False: an entry is not an address.
bool find_client(Exchange& exchange) {
  const auto& trusted = exchange.settings->trusted_proxies;
  const auto is_trusted = [&](const IpAddress& ip) {
    return std::ranges::any_of(trusted, [&](const Cidr& cidr) { return cidr.contains(ip); });
  };
  exchange.client = exchange.peer.ip;
  exchange.peer_trusted = !trusted.empty() && is_trusted(exchange.peer.ip);
  if (!exchange.peer_trusted || !exchange.head.fields.has(FieldId::x_forwarded_for)) return true;

  // Several fields are one list, in order (RFC 9110 section 5.3). All entries are checked, those that are not used too.
  bool found = false;
  const auto fields = exchange.head.fields.all();
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (field->id != FieldId::x_forwarded_for) continue;
    std::string_view list = field->value;
    for (;;) {
      const std::size_t comma = list.rfind(',');
      std::string_view entry = comma == std::string_view::npos ? list : list.substr(comma + 1);
      while (!entry.empty() && (entry.front() == ' ' || entry.front() == '\t')) entry.remove_prefix(1);
      while (!entry.empty() && (entry.back() == ' ' || entry.back() == '\t')) entry.remove_suffix(1);
      const auto address = IpAddress::parse(entry);
      if (!address) return false;
      if (!found) exchange.client = *address;
      if (!is_trusted(*address)) found = true;
      if (comma == std::string_view::npos) break;
      list = list.substr(0, comma);
    }
  }
  return true;
}

void name_request(Exchange& exchange) {
  const http::Fields& fields = exchange.head.fields;
  if (exchange.peer_trusted) {
    if (const http::Field* const field = fields.find(FieldId::x_request_id);
        field != nullptr && is_token_like(field->value, 128))
      exchange.request_id = field->value;
    if (const http::Field* const field = fields.find(FieldId::traceparent)) join_trace(exchange, field->value);
  }
  if (exchange.request_id.empty()) exchange.worker.ids.append(exchange.request_id);
  if (exchange.trace_id.empty()) exchange.worker.ids.append(exchange.trace_id);
  char text[46];
  exchange.client_text.assign(text, exchange.client.format(text));
}

void refuse(Exchange& exchange, http::Refusal refusal) {
  if (refusal == http::Refusal::expectation_unknown) {
    exchange.answer(417, Reason::malformed, "The expectation cannot be met.");
  } else {
    exchange.answer(400, Reason::malformed, "The request is malformed or ambiguous.");
  }
  exchange.reply.close = true;
}

// HTTP/1.0 in absolute-form: whoever looks for the field Host finds what the upstream will get (RFC 9112 section 3.2.2).
void name_host(Exchange& exchange) {
  if (exchange.target.host.empty() || exchange.head.fields.has(http::FieldId::host)) return;
  exchange.host_field = exchange.target.host;
  if (exchange.target.port != 0) exchange.host_field += ':' + std::to_string(exchange.target.port);
  exchange.head.fields.push({.id = http::FieldId::host, .name = "host", .value = exchange.host_field});
}

// Framing, target, client: what must be beyond doubt before anything else is asked. False: answered.
bool understand(ServerStream& stream) {
  Exchange& exchange = stream.exchange;
  const bool client_known = find_client(exchange);
  name_request(exchange);
  if (!client_known) {
    exchange.answer(400, Reason::malformed, "X-Forwarded-For is not a list of addresses.");
    exchange.reply.close = true;
    return false;
  }
  const auto framing = stream.framing();
  if (!framing) {
    refuse(exchange, framing.error());
    return false;
  }
  exchange.framing = *framing;
  const auto target = http::request_target(exchange.head, exchange.target);
  if (!target) {
    exchange.target = {};
    refuse(exchange, target.error());
    return false;
  }
  name_host(exchange);
  if (exchange.settings->limits.escaped_slashes_refused && http::has_escaped_slash(exchange.target.path)) {
    exchange.answer(400, Reason::malformed, "The path has an encoded slash or a backslash.");
    exchange.reply.close = true;
    return false;
  }
  if (exchange.settings->limits.path_parameters_refused && http::has_path_parameter(exchange.target.path)) {
    exchange.answer(400, Reason::malformed, "The path has a parameter.");
    exchange.reply.close = true;
    return false;
  }
  stream.start_body();
  exchange.wants_websocket = exchange.framing.kind == BodyKind::none && http::is_websocket_upgrade(exchange.head);
  if (exchange.wants_websocket && !http::has_websocket_version(exchange.head)) {
    exchange.wants_websocket = false;
    exchange.answer(426, Reason::malformed, "The WebSocket protocol is spoken in version 13 here.");
    exchange.reply.fields += "sec-websocket-version: 13\r\n";  // RFC 6455 section 4.4
    return false;
  }
  return true;
}

// Host -> tenant -> route. False: answered.
bool find_way(ServerStream& stream) {
  Exchange& exchange = stream.exchange;
  const HostEntry* const host = stream.snapshot->find_host(exchange.target.host);
  const bool unavailable = host != nullptr && host->tenant->unavailable;
  if (unavailable) {
    // Whatever the connection: such a host has no certificate that one could have been made for.
  } else if (exchange.is_tls) {
    // RFC 9110 section 15.5.20: a connection made for one host does not speak for another whose TLS differs.
    if (host == nullptr || !host->is_spoken_for_by(*stream.connection_facts().tls)) {
      exchange.answer(421, Reason::misdirected, "This connection was not made for the requested host.");
      exchange.reply.close = true;
      return false;
    }
    if (host->config->hsts) exchange.hsts = std::chrono::duration_cast<std::chrono::seconds>(*host->config->hsts);
  } else if (host == nullptr) {
    exchange.answer(404, Reason::no_route, "There is no site of this name here.");
    return false;
  } else if (exchange.target.is_https && !exchange.peer_trusted) {
    exchange.answer(421, Reason::misdirected, "The request asks for https on a connection without TLS.");
    exchange.reply.close = true;
    return false;
  } else if (host->has_tls()) {
    exchange.redirect_to_https = true;
    exchange.redirect_port = stream.connection_facts().redirect_port;
  }
  exchange.tenant = &host->tenant->tenant;
  exchange.tenant->load->requests.fetch_add(1, std::memory_order_relaxed);
  if (unavailable) {
    exchange.answer_unavailable(Reason::no_endpoint, "This site is not available at the moment.");
    return false;
  }
  if (exchange.redirect_to_https) return true;
  // What is asked of the server as a whole (RFC 9110 section 9.3.7) goes to whoever serves its root.
  const std::string_view path = exchange.target.path == "*" ? std::string_view("/") : exchange.target.path;
  exchange.route =
      find_route(*host->tenant, path, exchange.head.method_name, exchange.head.fields, exchange.peer_trusted);
  if (exchange.route == nullptr) {
    exchange.answer(404, Reason::no_route, "There is nothing at this address.");
    return false;
  }
  return true;
}

// All filters' first phase. False: one of them answered.
Task<bool> pass_filters(Exchange& exchange) {
  for (const filter::Filter& filter : filter::builtin_filters()) {
    if (filter.on_request == nullptr) continue;
    Step step = filter.on_request(exchange);
    if (step == Step::wait) step = co_await filter.on_wait(exchange);
    if (step == Step::answer) co_return false;
  }
  co_return true;
}

BodyNeed strictest_need(const Exchange& exchange) {
  BodyNeed need;
  for (const filter::Filter& filter : filter::builtin_filters()) {
    if (filter.body_need == nullptr) continue;
    const BodyNeed wanted = filter.body_need(exchange);
    if (wanted.whole && (!need.whole || wanted.limit < need.limit)) need = wanted;
  }
  return need;
}

void answer_too_large(Exchange& exchange) {
  exchange.answer(413, Reason::too_large, "The request's body is too large.");
}

// Reads the body as far as the filters need it, then asks them again. False: answered, or the client is gone.
Task<bool> pass_body_filters(ServerStream& stream) {
  Exchange& exchange = stream.exchange;
  const std::size_t hard_limit = exchange.settings->limits.body_bytes;
  if (exchange.framing.kind == BodyKind::length && exchange.framing.length > hard_limit) {
    answer_too_large(exchange);
    co_return false;
  }
  const BodyNeed need = strictest_need(exchange);
  if (need.whole) {
    bool over = exchange.framing.kind == BodyKind::length && exchange.framing.length > need.limit;
    if (!over) {
      // What fits is known before it comes, for most bodies: else many that come at once would all be refused halfway.
      BufferResult result = BufferResult::whole;
      runtime::Deadline patience(
          exchange.worker.loop,
          [](void* slow) {
            auto& late = *static_cast<Exchange*>(slow);
            late.hold_at_most(late.body.size());
          },
          &exchange);
      patience.set_after(held_in_advance_for);
      if (exchange.framing.kind == BodyKind::length) {
        if (exchange.hold(std::min<std::size_t>(exchange.framing.length, held_in_advance)))
          exchange.body.reserve(exchange.framing.length);
        else
          result = BufferResult::no_memory;
      }
      if (result == BufferResult::whole) result = co_await buffer_body(stream, std::min(need.limit, hard_limit));
      patience.cancel();
      switch (result) {
        case BufferResult::whole: exchange.body_buffered = true; break;
        case BufferResult::over_limit:
          over = true;
          if (need.limit >= hard_limit) {
            answer_too_large(exchange);
            co_return false;
          }
          break;
        case BufferResult::no_memory:
          exchange.answer_unavailable(Reason::overload, "Too much is being received at the moment. Please try again.");
          exchange.reply.close = true;
          co_return false;
        case BufferResult::malformed:
          exchange.answer(400, Reason::malformed, "The request's body is malformed.");
          exchange.reply.close = true;
          co_return false;
        case BufferResult::late:
          exchange.answer(408, Reason::timeout, "The request's body did not arrive in time.");
          exchange.reply.close = true;
          co_return false;
        case BufferResult::client_gone: exchange.status = 499; co_return false;
      }
    }
    if (over && need.over_limit_blocks) {
      exchange.body_over_limit = true;
      answer_too_large(exchange);
      co_return false;
    }
  }
  for (const filter::Filter& filter : filter::builtin_filters()) {
    if (filter.on_request_body == nullptr) continue;
    Step step = filter.on_request_body(exchange);
    if (step == Step::wait) step = co_await filter.on_body_wait(exchange);
    if (step == Step::answer) co_return false;
  }
  co_return true;
}

// The connection counts for each tenant that it has served.
bool take_connection_share(Exchange& exchange, TenantLoads& taken) {
  const std::shared_ptr<filter::TenantLoad>& load = exchange.tenant->load;
  if (std::ranges::find(taken, load) != taken.end()) return true;
  const std::size_t limit = exchange.tenant->config->limits.connections;
  taken.push_back(load);
  if (load->connections.fetch_add(1, std::memory_order_relaxed) < limit || limit == 0) return true;
  load->connections.fetch_sub(1, std::memory_order_relaxed);
  taken.pop_back();
  exchange.answer_unavailable(Reason::overload, "Too many connections are open. Please try again.");
  exchange.reply.close = true;
  return false;
}

// Whatever ends a request, want of memory too, it is no longer one of its tenant's.
struct LeaveTenant {
  const Exchange& exchange;
  ~LeaveTenant() {
    if (exchange.tenant != nullptr) exchange.tenant->load->requests.fetch_sub(1, std::memory_order_relaxed);
  }
};

}  // namespace

Task<void> serve_request(ServerStream& stream) {
  Exchange& exchange = stream.exchange;
  const LeaveTenant leave{exchange};

  bool passed =
      understand(stream) && find_way(stream) && take_connection_share(exchange, stream.connection_facts().tenant_loads);
  if (passed) passed = co_await pass_filters(exchange);
  if (passed) passed = co_await pass_body_filters(stream);
  if (passed) co_await forward(stream);
  if (exchange.reply.status != 0 && exchange.status != 499 && !exchange.response_started) {
    const bool sent = co_await stream.reply();
    if (!sent) note_client_cut(exchange);
  }
  complete(exchange);
}

namespace {

void count_failures(const Exchange& exchange, const filter::Route& route, const std::string& tenant_name) {
  namespace families = runtime::families;
  const auto count = [&](runtime::LazyCounter& counter, const runtime::MetricFamily& family, const char* what) {
    counter
        .get([&] { return exchange.worker.metrics.counter(family, {tenant_name, route.service->config.name, what}); })
        .add();
  };
  if (exchange.cut != filter::Cut::none && exchange.status != 499)
    count(route.answers_cut[static_cast<std::size_t>(exchange.cut)], families::answers_cut_total,
          filter::cut_name(exchange.cut));
  if (exchange.upstream_error != filter::UpstreamError::none)
    count(route.upstream_errors[static_cast<std::size_t>(exchange.upstream_error)], families::upstream_errors_total,
          filter::upstream_error_name(exchange.upstream_error));
}

}  // namespace

void complete(Exchange& exchange) {
  filter::WorkerContext& worker = exchange.worker;
  if (exchange.status == 0) exchange.status = 499;
  if (exchange.status == 499) note_client_cut(exchange);
  for (const filter::Filter& filter : filter::builtin_filters())
    if (filter.on_complete != nullptr) filter.on_complete(exchange);

  const auto duration = static_cast<std::uint64_t>((runtime::Clock::now() - exchange.started).count());
  const auto code = upstream::code_class(exchange.status);
  const auto code_index = static_cast<std::size_t>(code);
  namespace families = runtime::families;
  const filter::Tenant* const tenant = exchange.tenant;
  const std::string tenant_name = tenant != nullptr ? tenant->config->name : "-";
  if (exchange.route != nullptr) {
    const filter::Route& route = *exchange.route;
    const std::size_t site = exchange.choice.found() ? exchange.choice.site : route.service->sites.size();
    route.requests[site][code_index]
        .get([&] {
          const std::string site_name = exchange.choice.found() ? route.service->sites[site].name : "-";
          return worker.metrics.counter(families::requests_total,
                                        {tenant_name, route.config->name, route.service->config.name, site_name,
                                         upstream::code_class_name(code)});
        })
        .add();
    route.duration->observe_nanoseconds(duration);
    count_failures(exchange, route, tenant_name);
  } else if (tenant != nullptr) {
    tenant->unrouted_requests[code_index]
        .get([&] {
          return worker.metrics.counter(families::requests_total,
                                        {tenant_name, "-", "-", "-", upstream::code_class_name(code)});
        })
        .add();
    tenant->unrouted_duration->observe_nanoseconds(duration);
  } else {
    worker.metrics.counter(families::requests_total, {"-", "-", "-", "-", upstream::code_class_name(code)})->add();
    worker.metrics.histogram(families::request_duration, {"-", "-"})->observe_nanoseconds(duration);
  }
  if (exchange.reply.status != 0 && exchange.status == exchange.reply.status) {
    const auto make = [&] {
      return worker.metrics.counter(families::local_replies_total,
                                    {tenant_name, filter::reason_name(exchange.reply.reason)});
    };
    if (tenant != nullptr)
      tenant->local_replies[static_cast<std::size_t>(exchange.reply.reason)].get(make).add();
    else
      make()->add();
  }
  if (worker.access_log != nullptr) {
    append_access_record(worker.access_records, exchange, duration);
    if (worker.access_records.size() > 32 * 1024) worker.flush_access_records();
  }
}

}  // namespace gatehouse::proxy
