// The names of all metrics, in one place: dashboards and alerts depend on them. No label takes its value from what a
// client sends.
#pragma once

#include "gateway/runtime/metrics.hpp"

namespace gatehouse::runtime::families {

using K = MetricKind;

inline constexpr MetricFamily requests_total{"gatehouse_requests_total",
                                             "Requests by what became of them",
                                             K::counter,
                                             {"tenant", "route", "service", "site", "code"},
                                             true};
inline constexpr MetricFamily request_duration{"gatehouse_request_duration_seconds",
                                               "From the first byte of a request to the last of its answer",
                                               K::histogram,
                                               {"tenant", "route"},
                                               true};
inline constexpr MetricFamily upstream_duration{
    "gatehouse_upstream_duration_seconds",
    "From the choice of an endpoint to the head of its answer, or to its failure",
    K::histogram,
    {"tenant", "service", "site"},
    true};
inline constexpr MetricFamily local_replies_total{
    "gatehouse_local_replies_total", "Answers of the gateway's own, by reason", K::counter, {"tenant", "reason"}, true};
inline constexpr MetricFamily answers_cut_total{"gatehouse_answers_cut_total",
                                                "Answers and tunnels that have begun and were cut, by who cut them",
                                                K::counter,
                                                {"tenant", "service", "cause"},
                                                true};
inline constexpr MetricFamily upstream_errors_total{
    "gatehouse_upstream_errors_total",
    "Requests that ended with a failure of their endpoint, by what failed",
    K::counter,
    {"tenant", "service", "error"},
    true};
inline constexpr MetricFamily waf_requests_total{"gatehouse_waf_requests_total",
                                                 "Requests of tenants whose WAF is on, by verdict",
                                                 K::counter,
                                                 {"tenant", "verdict"},
                                                 true};
inline constexpr MetricFamily waf_duration{
    "gatehouse_waf_duration_seconds", "Time in the WAF for one request and its answer", K::histogram, {"tenant"}, true};
inline constexpr MetricFamily waf_rule_matches_total{
    "gatehouse_waf_rule_matches_total",
    "Matches of rules that log; at most 500 rules a tenant, then rule=\"other\"",
    K::counter,
    {"tenant", "rule"},
    true};
inline constexpr MetricFamily ratelimit_decisions_total{"gatehouse_ratelimit_decisions_total",
                                                        "Decisions of rate limits",
                                                        K::counter,
                                                        {"tenant", "limit", "decision"},
                                                        true};
inline constexpr MetricFamily ratelimit_store_up{
    "gatehouse_ratelimit_store_up",
    "Whether Redis decides the rate limits, as 1 when it does for all workers and else 0",
    K::gauge,
    {},
    false};
inline constexpr MetricFamily ratelimit_gateways{
    "gatehouse_ratelimit_gateways",
    "Gateways that share Redis; when it is lost, each has its share of a limit that says local",
    K::gauge,
    {},
    false};
inline constexpr MetricFamily ratelimit_store_requests_total{
    "gatehouse_ratelimit_store_requests_total", "Calls to Redis for rate limits", K::counter, {"result"}, false};
inline constexpr MetricFamily ratelimit_store_duration{
    "gatehouse_ratelimit_store_duration_seconds", "Time of one call to Redis for rate limits", K::histogram, {}, false};
inline constexpr MetricFamily endpoint_healthy{"gatehouse_endpoint_healthy",
                                               "1 when health checks say so or have not spoken yet",
                                               K::gauge,
                                               {"tenant", "service", "site", "endpoint"},
                                               true};
inline constexpr MetricFamily site_active{"gatehouse_site_active",
                                          "1 for the site that requests go to first now",
                                          K::gauge,
                                          {"tenant", "service", "site"},
                                          true};
inline constexpr MetricFamily connections{
    "gatehouse_connections", "Open client connections", K::gauge, {"listener"}, false};
inline constexpr MetricFamily connections_refused_total{"gatehouse_connections_refused_total",
                                                        "Client connections closed at once, by reason",
                                                        K::counter,
                                                        {"listener", "reason"},
                                                        false};
inline constexpr MetricFamily accept_pauses_total{"gatehouse_accept_pauses_total",
                                                  "Times that accepting paused for want of descriptors or memory",
                                                  K::counter,
                                                  {"listener"},
                                                  false};
inline constexpr MetricFamily http2_abuse_total{"gatehouse_http2_abuse_total",
                                                "HTTP/2 connections closed for abuse, by what it was",
                                                K::counter,
                                                {"reason"},
                                                false};
inline constexpr MetricFamily requests_in_flight{
    "gatehouse_requests_in_flight", "Requests under way", K::gauge, {"tenant"}, true};
inline constexpr MetricFamily tls_handshakes_total{
    "gatehouse_tls_handshakes_total", "TLS handshakes with clients", K::counter, {"result"}, false};
inline constexpr MetricFamily certificate_not_after{"gatehouse_certificate_not_after_seconds",
                                                    "When a host's certificate ends, in Unix time",
                                                    K::gauge,
                                                    {"host"},
                                                    false};
inline constexpr MetricFamily acme_orders_total{
    "gatehouse_acme_orders_total", "Orders of certificates that have come to their end", K::counter, {"result"}, false};
inline constexpr MetricFamily config_reloads_total{
    "gatehouse_config_reloads_total", "Reloads of the configuration", K::counter, {"result"}, false};
inline constexpr MetricFamily config_last_reload_successful{
    "gatehouse_config_last_reload_successful", "1 when the last reload was applied", K::gauge, {}, false};
inline constexpr MetricFamily tenant_config_valid{
    "gatehouse_tenant_config_valid",
    "0 when a tenant's file has errors: its last valid version or what is valid of it serves, or none",
    K::gauge,
    {"tenant"},
    false};
inline constexpr MetricFamily build_info{"gatehouse_build_info", "Always 1", K::gauge, {"version"}, false};
inline constexpr MetricFamily buffered_bytes{
    "gatehouse_buffered_bytes", "Memory in which bodies wait to be inspected", K::gauge, {}, false};
inline constexpr MetricFamily relay_buffer_bytes{
    "gatehouse_relay_buffer_bytes", "Buffers of bodies that are being passed on", K::gauge, {}, false};
inline constexpr MetricFamily upstream_connections{
    "gatehouse_upstream_connections", "Open connections to endpoints", K::gauge, {"state"}, false};
inline constexpr MetricFamily pool_waiting{
    "gatehouse_pool_waiting", "Requests that wait for a thread to inspect them", K::gauge, {"lane"}, false};
inline constexpr MetricFamily pool_jobs_total{
    "gatehouse_pool_jobs_total", "Costly inspections by what became of them", K::counter, {"lane", "result"}, false};
inline constexpr MetricFamily log_dropped_bytes{
    "gatehouse_log_dropped_bytes", "Bytes of log lines that could not be written", K::gauge, {"log"}, false};
inline constexpr MetricFamily log_queued_bytes{
    "gatehouse_log_queued_bytes", "Bytes of log lines that wait to be written", K::gauge, {"log"}, false};
inline constexpr MetricFamily log_write_errors{
    "gatehouse_log_write_errors", "Failed writes to a log", K::gauge, {"log"}, false};

}  // namespace gatehouse::runtime::families
