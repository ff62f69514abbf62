// The web application firewall as the gateway sees it: rule sets, one policy a tenant, one transaction a
// request. libmodsecurity stays behind this header. Called by gateway/filter/waf_filter.cpp, `check` and `explain`.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/gateway_config.hpp"
#include "config/problem.hpp"
#include "config/tenant_config.hpp"

namespace gatehouse::waf {

/// A rule that logs and has matched. Strings are already masked, cut and safe to print.
struct RuleMatch {
  std::uint32_t id = 0;
  std::string message;
  std::string severity;  // "CRITICAL" ...; lower case names as in the SecLang manual are not used
  std::string target;    // "ARGS:id"
  std::string match;     // masked, at most 100 bytes, valid UTF-8
};

/// What a phase decided.
enum class Step {
  proceed,
  deny,    // a disruptive rule fired and the policy blocks: answer Outcome::status
  error,   // the engine failed (match limit, time budget, exception): waf.on_error decides
};

/// What is known at the end of a transaction.
struct Outcome {
  bool denied = false;
  bool engine_error = false;
  bool body_unread = false;  // parsed in part, and the rule that refuses such a body is excluded, or not at all
  int status = 403;  // the denying rule's status
  unsigned inbound_score = 0;  // CRS's inbound anomaly score, 0 if none
  std::vector<RuleMatch> rules;  // rules that log, in order of matching, at most 100
};

/// One tenant's rules, ready to run. Immutable; shared by every worker; equal policies are one object.
class Policy {
 public:
  virtual ~Policy() = default;
  [[nodiscard]] virtual config::WafMode mode() const noexcept = 0;
  [[nodiscard]] virtual std::size_t rule_count() const noexcept = 0;
};

/// The request's first facts. Views must stay valid until the transaction ends.
struct RequestStart {
  std::string_view request_id;  // the transaction's id
  std::string_view client_ip;
  std::string_view client_shown;  // what rules' messages and matches may show of it; empty: all
  std::uint16_t client_port = 0;
  std::string_view server_ip;
  std::uint16_t server_port = 0;
  std::string_view method;
  std::string_view
      target;  // as received, absolute-form already reduced to its path; %3f is escaped inside (CVE-2024-1019)
  std::string_view received;  // the same without that escape, for REQUEST_URI_RAW and REQUEST_LINE; empty: as target
  std::string_view http_version;  // "1.1"
  std::string_view host;
  std::string_view
      path;  // normalised, as routing used it: what exclusions' paths are compared with; empty: those do not apply
};

/// One request and its response, on one thread at a time. Order: request headers, body, response headers, body, finish.
class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual void add_request_header(std::string_view name, std::string_view value) = 0;
  [[nodiscard]] virtual Step request_headers() = 0;  // phase 1
  virtual void append_request_body(std::string_view bytes) = 0;
  /// The body goes by uninspected (over_limit: pass_uninspected). Before request_body(), which then sees none and
  /// does not take it for malformed.
  virtual void pass_request_body() = 0;
  [[nodiscard]] virtual Step request_body() = 0;  // phase 2; also for requests without a body
  /// True if no rule has seen the body: it was passed, or is beyond what its parser may be given. That is refused by
  /// rules of ours, unless the policy only detects or excludes them.
  [[nodiscard]] virtual bool left_body_out() const noexcept = 0;
  /// What the tree of an XML body takes at most, before request_body(), or is taking still, after it; else 0.
  [[nodiscard]] virtual std::size_t tree_bytes() const noexcept = 0;
  virtual void add_response_header(std::string_view name, std::string_view value) = 0;
  [[nodiscard]] virtual Step response_headers(int status, std::string_view http_version) = 0;  // phase 3
  virtual void append_response_body(std::string_view bytes) = 0;
  [[nodiscard]] virtual Step response_body() = 0;  // phase 4
  /// Allows so much more CPU time than begin() did.
  virtual void extend_budget(std::chrono::nanoseconds by) noexcept = 0;
  /// Allows so much CPU time in all, with what has been used, if that is more than before.
  virtual void raise_budget(std::chrono::nanoseconds total) noexcept = 0;
  /// Whether the last Step::error was due to the time budget alone, so that a new transaction with a larger one may end.
  [[nodiscard]] virtual bool ran_out_of_time() const noexcept = 0;
  /// Whether it has cost more than its budget, or had to be ended, whatever came of it.
  [[nodiscard]] virtual bool was_costly() const noexcept = 0;
  /// Phase 5 and the harvest. Call once, whatever happened before.
  [[nodiscard]] virtual Outcome finish() = 0;
};

/// Header fields of which the access log has a part, and which audit_log.mask names.
struct MaskedFields {
  bool user_agent = false;
  bool host = false;
  bool x_forwarded_for = false;
  bool x_request_id = false;
  bool traceparent = false;
};

/// The process's WAF: the platform's base rule set, and the policies made from it.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Loads our base configuration and the platform's rule files. Fails when a file cannot be read or parsed, when no
  /// file matches a glob, or when the interposed PCRE2 is not active (waf.time_budget could not be kept).
  static std::expected<std::unique_ptr<Engine>, config::Problems> create(const config::PlatformWaf& platform,
                                                                         const std::vector<std::string>& masked_names);

  /// The policy for a tenant; the same object for equal settings. Problems carry the place of the SecLang line or
  /// of the exclusion. A tenant whose mode is off gets a null policy. `warnings` may be filled on success.
  virtual std::expected<std::shared_ptr<const Policy>, config::Problems> policy(const config::TenantConfig& tenant,
                                                                                config::TenantRules allowed,
                                                                                config::Problems& warnings) = 0;

  /// Begins a transaction on the calling thread that may use so much CPU time. `policy` must outlive it.
  [[nodiscard]] virtual std::unique_ptr<Transaction> begin(const Policy& policy, const RequestStart& start,
                                                           std::chrono::nanoseconds budget) = 0;
  /// waf.time_budget: what one transaction may use in all.
  [[nodiscard]] virtual std::chrono::nanoseconds time_budget() const noexcept = 0;

  /// Masks the values of secrets (waf event, access log) in a query string: "a=1&password=***".
  [[nodiscard]] virtual std::string masked_query(std::string_view query) const = 0;

  /// The same of a path: "/a;password=***/b".
  [[nodiscard]] virtual std::string masked_path(std::string_view path) const = 0;

  /// Which header fields neither the access log nor an event may tell.
  [[nodiscard]] virtual const MaskedFields& masked_fields() const noexcept = 0;
};

}  // namespace gatehouse::waf
