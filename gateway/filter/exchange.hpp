// One request and its answer: everything that is known of it, from the first byte to the access record. Owned by
// proxy/proxy.cpp, read and written by the filters.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/gateway_config.hpp"
#include "gateway/filter/held_bytes.hpp"
#include "gateway/filter/tenant.hpp"
#include "gateway/filter/worker_context.hpp"
#include "gateway/http/head.hpp"
#include "gateway/http/validate.hpp"
#include "gateway/runtime/work_pool.hpp"
#include "waf/cost.hpp"

namespace gatehouse::filter {

/// An answer of the gateway's own.
struct Reply {
  int status = 0;
  Reason reason = Reason::none;
  const char* detail = "";       // a sentence for the client; static, nothing of the inside
  std::string content;           // the whole body, as bytes; empty: a short one that says what happened
  std::string fields;            // further header lines, each ending in CRLF
  bool close = false;            // the connection cannot be used any more
};

struct Exchange {
  explicit Exchange(WorkerContext& owner) : worker(owner) {}

  WorkerContext& worker;
  const config::GatewayConfig* settings = nullptr;
  waf::Engine* waf_engine = nullptr;

  // --- the connection
  SocketAddress peer;                // of the socket, or of the PROXY header
  SocketAddress local;
  bool is_tls = false;
  bool redirect_to_https = false;    // an http listener, and the host has TLS
  std::uint16_t redirect_port = 443;
  std::string client_certificate_subject;
  std::optional<std::chrono::seconds> hsts;  // max-age of Strict-Transport-Security, if the upstream does not say it

  // --- the request
  http::RequestHead head;
  http::RequestTarget target;
  std::string host_field;            // the value of a field that the target had to stand in for
  http::BodyFraming framing;
  IpAddress client;                  // who asks, behind trusted proxies
  std::string client_text;
  bool peer_trusted = false;         // the peer is one of trusted_proxies
  std::string request_id;
  std::string trace_id;              // 32 hex digits
  std::string trace_flags;           // 2 hex digits of the caller's, who is trusted; empty: the trace begins here
  std::string body;                  // buffered when the WAF asks for it
  bool body_buffered = false;        // `body` is the whole body
  HeldBytes held;                    // for `body` and an inspected answer
  bool wants_websocket = false;
  std::string request_fields;        // header lines for the upstream that replace what clients may not set

  // --- who serves it
  const Tenant* tenant = nullptr;
  const Route* route = nullptr;
  upstream::Service::Choice choice;

  // --- the answer
  Reply reply;                       // status 0: the upstream answers
  bool body_over_limit = false;      // the answer is that of a filter that must see a body larger than it takes
  bool plain_answer = false;         // the upstream is asked not to compress: the answer is to be inspected
  http::ResponseHead response;
  std::string response_fields;       // header lines that are added to whatever answer
  int status = 0;
  bool response_started = false;
  Cut cut = Cut::none;
  UpstreamError upstream_error = UpstreamError::none;  // of the last endpoint that was asked

  // --- the WAF
  std::unique_ptr<waf::Transaction> waf;
  std::string waf_target;            // storage for http::target_for_waf
  waf::Weight waf_weight;            // of what has been or is to be inspected
  runtime::WorkPool::Lane waf_lane = runtime::WorkPool::Lane::light;  // where a filter that waits goes
  bool waf_later = false;            // not before others have had their turn
  bool waf_hurried = false;          // it has less of its worker's time than others have
  bool waf_restart = false;  // a new transaction begins: the worker's time was spent, or there is more to tell
  bool waf_tells_body = false;  // the engine is told of a body whose length no field says
  WafVerdict verdict = WafVerdict::off;
  bool waf_judged = false;  // the whole request was inspected
  bool waf_bypassed = false;  // some part was not inspected, by configuration
  bool waf_error = false;
  std::uint64_t waf_nanoseconds = 0;

  // --- figures
  runtime::TimePoint started;
  std::uint64_t upstream_nanoseconds = 0;
  std::uint64_t request_body_bytes = 0;
  std::uint64_t response_body_bytes = 0;

  /// Asks for memory for so many bytes of bodies beyond what is held already; false: there is too little, an answer
  /// is to be given.
  [[nodiscard]] bool hold(std::size_t bytes) noexcept;
  /// Gives back what was asked for beyond so many bytes of bodies.
  void hold_at_most(std::size_t bytes) noexcept;

  /// The same for what comes of the body that is held while it is inspected, on whatever thread that is.
  [[nodiscard]] bool hold_beside_body(std::size_t bytes) noexcept;

  /// Answers the request itself.
  void answer(int status_code, Reason reason, const char* detail) {
    reply.status = status_code;
    reply.reason = reason;
    reply.detail = detail;
  }

  /// 503 with Retry-After: not now.
  void answer_unavailable(Reason reason, const char* detail) {
    answer(503, reason, detail);
    reply.fields += "retry-after: 1\r\n";
  }

  /// Forgets the request, keeps the connection's facts and the memory.
  void reset();

 private:
  [[nodiscard]] std::size_t held_for(std::size_t bytes) const noexcept;
};

}  // namespace gatehouse::filter
