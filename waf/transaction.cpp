#include "waf/transaction.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "waf/base_rules.hpp"
#include "waf/body_bounds.hpp"
#include "waf/charsets.hpp"
#include "waf/cookies.hpp"
#include "waf/interpose.hpp"
#include "waf/json_names.hpp"
#include "waf/library.hpp"
#include "waf/phase_runner.hpp"
#include "waf/seclang.hpp"

// The library's own, whose header is not installed: what it is made and unmade with. It holds the tree of an XML body.
namespace modsecurity::RequestBodyProcessor {
class XML {
 public:
  explicit XML(modsecurity::Transaction* transaction);
  ~XML();
};
}  // namespace modsecurity::RequestBodyProcessor

namespace gatehouse::waf {
namespace {

constexpr std::size_t long_field_bytes = 1024;
// A long name around many empty ones is in the name of each of them.
constexpr std::size_t max_empty_names_bytes = max_json_names_bytes;
constexpr std::size_t work_per_argument = 20;  // to compare one, in nanoseconds

const unsigned char* bytes(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

class RuleTransaction final : public Transaction {
 public:
  RuleTransaction(const RulePolicy& policy, const RequestStart& start, std::chrono::nanoseconds time_budget,
                  const Masker& masker)
      : policy_(policy),
        id_(start.request_id),
        budget_(time_budget),
        t_(thread_library(), policy.set(), id_.data(), masker) {
    t_.before_body_rules = [this] {
      allow_quoted_boundary();
      restore_line_ends();
      add_empty_containers();
    };
    if (!start.client_shown.empty()) t_.harvest.show_client(start.client_ip, start.client_shown);
    if (policy_.own_rules_encode()) t_.harvest.secrets().may_be_encoded();
    // Also what is done before the first phase is charged: a query of many arguments takes its time.
    run([&] {
      t_.processConnection(std::string(start.client_ip).c_str(), start.client_port,
                           std::string(start.server_ip).c_str(), start.server_port);
      t_.processURI(std::string(start.target).c_str(), std::string(start.method).c_str(),
                    std::string(start.http_version).c_str());
      // The escape is for the variables whose path the library cuts; these two it takes as they are.
      if (!start.received.empty() && start.received != start.target) {
        t_.m_variableRequestURIRaw.set(std::string(start.received), t_.m_variableOffset);
        t_.m_variableRequestLine.set(
            std::string(start.method) + ' ' + std::string(start.received) + " HTTP/" + std::string(start.http_version),
            t_.m_variableOffset);
      }
      t_.exclusions = policy_.exclusions().activate(start.path);
    });
  }

  void add_request_header(std::string_view name, std::string_view value) override {
    charged(value.size(), [&] {
      t_.addRequestHeader(bytes(name), name.size(), bytes(value), value.size());
      if (!seclang::equals_ignoring_case(name, "cookie")) return;
      unseen_cookies(value, [&](const std::string& cookie, const std::string& content) {
        t_.m_variableRequestCookies.set(cookie, content, t_.m_variableOffset);
      });
    });
  }

  Step request_headers() override {
    return run([&] { t_.processRequestHeaders(); });
  }

  void append_request_body(std::string_view data) override {
    if (over_limit_) return;
    if (data.size() > policy_.body_limit() - body_bytes_) {
      // The gateway's own limit comes first; if this is ever reached, rule 200005 refuses what it cannot see whole.
      over_limit_ = true;
      guarded([&] { t_.m_variableInboundDataError.set("1", 0); });
      return;
    }
    body_bytes_ += data.size();
    guarded([&] { t_.m_requestBody.write(data.data(), static_cast<std::streamsize>(data.size())); });
  }

  void pass_request_body() override {
    guarded([&] { leave_body_out(); });
  }

  bool left_body_out() const noexcept override { return left_body_out_; }

  std::size_t tree_bytes() const noexcept override {
    if (released_ || left_body_out_ || t_.m_requestBodyProcessor != modsecurity::Transaction::XMLRequestBody) return 0;
    return std::min(body_bytes_, max_xml_tree_bytes / xml_tree_factor) * xml_tree_factor + body_bytes_;
  }

  Step request_body() override {
    const Step step = run([&] {
      if (const int code = beyond_bounds(); code != 0) {
        leave_body_out();
        if (!over_limit_) t_.m_variableInboundDataError.set(std::to_string(code), 0);
      } else if (!left_body_out_ && !over_limit_ && body_bytes_ > 0 && !has_known_charset(content_type())) {
        charset_unknown_ = true;
        t_.m_variableInboundDataError.set(std::to_string(unknown_charset), 0);
      }
      t_.processRequestBody();
      body_unparsed_ = !left_body_out_ && body_bytes_ > 0 && has_no_parser();
      body_unread_ = !left_body_out_ && (charset_unknown_ || body_read_otherwise_ || is_read_in_part());
      release_request_body();
    });
    guarded([&] { release_request_body(); });  // whatever was in the way
    if (step != Step::error) guarded([&] { score_ = inbound_score(); });  // answers' rules of CRS 3 add to the same sum
    return step;
  }

  void add_response_header(std::string_view name, std::string_view value) override {
    charged(value.size(), [&] { t_.addResponseHeader(bytes(name), name.size(), bytes(value), value.size()); });
  }

  Step response_headers(int status, std::string_view http_version) override {
    return run([&] { t_.processResponseHeaders(status, "HTTP/" + std::string(http_version)); });
  }

  void append_response_body(std::string_view data) override {
    guarded([&] { t_.appendResponseBody(bytes(data), data.size()); });
  }

  Step response_body() override {
    return run([&] { t_.processResponseBody(); });
  }

  void extend_budget(std::chrono::nanoseconds by) noexcept override { budget_.extend(by); }

  void raise_budget(std::chrono::nanoseconds total) noexcept override { budget_.raise(total); }

  bool ran_out_of_time() const noexcept override { return !threw_ && budget_.state() == BudgetState::time; }

  bool was_costly() const noexcept override { return budget_.spent() || budget_.overdrawn(); }

  Outcome finish() override {
    if (!failed()) {
      // Phase 5 runs whatever was decided; the library would stop at a decision that nobody took away.
      const bool denied = std::exchange(denied_, false);
      t_.m_it.disruptive = 0;
      run([&] {
        if (policy_.has_rules(modsecurity::LoggingPhase)) t_.processLogging();
      });
      denied_ = denied;
    }
    Outcome outcome;
    outcome.denied = denied_;
    outcome.engine_error = failed() && !denied_;
    outcome.status = status_;
    outcome.inbound_score = score_ ? *score_ : inbound_score();
    outcome.rules = t_.harvest.release();
    const auto refuses_bodies = [](const RuleMatch& match) {
      return (match.id >= 200'002 && match.id <= 200'009) || match.id == 200'012;
    };
    // Where rules refuse nothing, the one that would have is no reason to take the body for read.
    outcome.body_unread = body_unparsed_ || (body_unread_ && (policy_.mode() == config::WafMode::detect ||
                                                              std::ranges::none_of(outcome.rules, refuses_bodies)));
    return outcome;
  }

 private:
  // Nothing is parsed, so that nothing can be malformed; phase 2 sees the query, headers and cookies.
  void leave_body_out() {
    left_body_out_ = true;
    t_.m_requestBodyType = modsecurity::Transaction::UnknownFormat;
    t_.m_requestBodyProcessor = modsecurity::Transaction::UnknownFormat;
    t_.m_requestBody.str({});
    t_.m_variableReqbodyProcessor.unset();
  }

  // What rules 200002 to 200004 and 200007 refuse: the parser has given up, or may have seen another body than the
  // upstream will, or has dropped arguments.
  [[nodiscard]] bool is_read_in_part() {
    const auto is_set = [](const modsecurity::AnchoredVariable& v) { return !v.m_value.empty() && v.m_value != "0"; };
    return is_set(t_.m_variableReqbodyError) || is_set(t_.m_variableMultipartStrictError) ||
           t_.m_variableMultipartUnmatchedBoundary.m_value == "1" || t_.m_variableArgs.size() > max_arguments;
  }

  // Rules have seen such a body as REQUEST_BODY alone, which few look at. Only by configuration: the rule that would have
  // chosen the parser is taken out, or the ones that refuse types without one (200010, CRS's 920420 and 920470).
  [[nodiscard]] bool has_no_parser() const noexcept {
    using Library = modsecurity::Transaction;
    return t_.m_requestBodyProcessor != Library::XMLRequestBody &&
           t_.m_requestBodyProcessor != Library::JSONRequestBody &&
           t_.m_requestBodyType != Library::MultiPartRequestBody && t_.m_requestBodyType != Library::WWWFormUrlEncoded;
  }

  // Which rule refuses the body (see base_rules.cpp) because the parser that processRequestBody() would choose may not
  // be let at it; 0: none.
  [[nodiscard]] int beyond_bounds() {
    using Library = modsecurity::Transaction;
    const std::string_view body = t_.m_requestBody.view();
    if (t_.m_requestBodyProcessor == Library::XMLRequestBody) return xml_is_within_bounds(body) ? 0 : xml_beyond_bounds;
    if (t_.m_requestBodyProcessor == Library::JSONRequestBody)
      return json_is_within_bounds(body) ? 0 : json_beyond_bounds;
    return !is_multipart() || multipart_is_within_bounds(body, content_type()) ? 0 : multipart_beyond_bounds;
  }

  // Whether processRequestBody() chooses that parser.
  [[nodiscard]] bool is_multipart() const noexcept {
    using Library = modsecurity::Transaction;
    return t_.m_requestBodyProcessor != Library::XMLRequestBody &&
           t_.m_requestBodyProcessor != Library::JSONRequestBody &&
           t_.m_requestBodyType == Library::MultiPartRequestBody;
  }

  [[nodiscard]] std::string content_type() {
    const std::unique_ptr<std::string> type = t_.m_variableRequestHeaders.resolveFirst("Content-Type");
    return type ? *type : std::string{};
  }

  // A boundary in quotes, as RFC 2046 has it and many clients send it, is no error, if it is the only one.
  void allow_quoted_boundary() {
    if (t_.m_variableMultipartBoundaryQuoted.m_value != "1" || has_parse_error()) return;
    for (const modsecurity::AnchoredVariable* const flag :
         {&t_.m_variableMultipartBoundaryWhiteSpace, &t_.m_variableMultipartDataBefore,
          &t_.m_variableMultipartDataAfter, &t_.m_variableMultipartHeaderFolding, &t_.m_variableMultipartLFLine,
          &t_.m_variableMultipartMissingSemicolon, &t_.m_variableMultipartInvalidQuoting,
          &t_.m_variableMultipartInvalidPart, &t_.m_variableMultipartInvalidHeaderFolding,
          &t_.m_variableMultipartFileLimitExceeded})
      if (flag->m_value == "1") return;
    t_.m_variableMultipartStrictError.set("0", 0);
  }

  // The parser has left them out of the values of multipart fields. Of arguments with the same name and value it does
  // not matter which one is the field. A body that it has read in another way than we is refused, unless it has refused
  // it already.
  void restore_line_ends() {
    if (left_body_out_ || !is_multipart()) return;
    bool agreed = true;
    agreed &= fields_of_several_lines(
        t_.m_requestBody.view(), content_type(),
        [&](const std::string& name, const std::string& as_read, const std::string& value) {
          for (modsecurity::AnchoredSetVariable* const set : {&t_.m_variableArgs, &t_.m_variableArgsPost}) {
            const auto [first, last] = set->equal_range(name);
            const auto found = std::find_if(first, last, [&](const auto& argument) {
              if (budget_spent(work_per_argument)) return false;
              return argument.second->getValue() == as_read || argument.second->getValue() == value;
            });
            if (found != last)
              found->second->setValue(value);
            else
              agreed = false;
          }
        });
    if (agreed || has_parse_error()) return;
    body_read_otherwise_ = true;
    const int code = charset_unknown_ ? unknown_charset_and_multipart : multipart_beyond_bounds;
    t_.m_variableInboundDataError.set(std::to_string(code), 0);
  }

  [[nodiscard]] bool has_parse_error() const noexcept {
    const std::string& error = t_.m_variableReqbodyError.m_value;
    return !error.empty() && error != "0";
  }

  // Names of JSON are in those of the arguments that values make; what has no value in it would not be seen.
  void add_empty_containers() {
    if (left_body_out_ || t_.m_requestBodyProcessor != modsecurity::Transaction::JSONRequestBody) return;
    if (has_parse_error()) return;
    std::size_t bytes = 0;
    empty_json_containers(t_.m_requestBody.view(), [&](const std::string& name) {
      if (budget_spent(name.size())) return false;
      if ((bytes += name.size()) > max_empty_names_bytes) {
        fail_budget(BudgetState::size);
        return false;
      }
      return t_.addArgument("JSON", name, {}, 0);  // one more than rule 200007 lets pass, at the most
    });
  }

  // What came of the body takes up to nine times its size, and the answer may be long in coming.
  void release_request_body() {
    if (released_ || policy_.needs_request_body_later()) return;
    released_ = true;
    t_.harvest.secrets().body_goes(t_, policy_.copies_later());
    t_.m_requestBody = std::ostringstream();
    // Unmade and made anew in its place, which is the library's: the transaction's end deletes it.
    std::destroy_at(t_.m_xml);
    ::new (static_cast<void*>(t_.m_xml)) modsecurity::RequestBodyProcessor::XML(&t_);
    std::string().swap(t_.m_variableRequestBody.m_value);
    std::string().swap(t_.m_variableFullRequest.m_value);
    for (modsecurity::AnchoredSetVariable* const set :
         {&t_.m_variableArgs, &t_.m_variableArgsGet, &t_.m_variableArgsPost, &t_.m_variableFiles,
          &t_.m_variableFilesTmpContent, &t_.m_variableMultipartPartHeaders})
      set->unset();
  }

  [[nodiscard]] bool failed() const noexcept { return threw_ || budget_.spent(); }

  template <typename Work>
  void guarded(Work work) noexcept {
    try {
      work();
    } catch (...) {  // std::bad_alloc, and what the library lets out for variables that it does not know
      threw_ = true;
    }
  }

  // What the library does with a field outside of the phases: it splits cookies. Short ones are not worth two clocks.
  template <typename Work>
  void charged(std::size_t length, Work work) noexcept {
    if (length < long_field_bytes || failed()) return guarded(work);
    const BudgetScope scope(budget_);
    guarded(work);
  }

  template <typename Work>
  Step run(Work work) {
    if (denied_) return Step::deny;
    if (failed()) return Step::error;
    {
      const BudgetScope scope(budget_);
      guarded(work);
    }
    if (t_.m_it.disruptive != 0) {
      // A match is a match, whatever failed after it.
      denied_ = true;
      status_ = t_.m_it.status >= 400 && t_.m_it.status <= 599 ? t_.m_it.status : 403;
      return Step::deny;
    }
    return failed() ? Step::error : Step::proceed;
  }

  // CRS 3: tx.anomaly_score; CRS 4: tx.blocking_inbound_anomaly_score. Both are added up at the end of phase 2; a
  // request that was decided before has the parts.
  unsigned inbound_score() {
    const auto value = [&](const std::string& name) {
      const auto text = t_.m_collections.m_tx_collection->resolveFirst(name);
      int number = 0;
      if (text) std::from_chars(text->data(), text->data() + text->size(), number);
      return static_cast<unsigned>(std::max(number, 0));
    };
    unsigned score = 0;
    try {
      for (const char* name : {"blocking_inbound_anomaly_score", "anomaly_score"}) score = std::max(score, value(name));
      for (const std::string prefix : {"inbound_anomaly_score_pl", "anomaly_score_pl"}) {
        if (score != 0) break;
        for (const char level : {'1', '2', '3', '4'}) score += value(prefix + level);
      }
    } catch (...) {
      threw_ = true;
    }
    return score;
  }

  const RulePolicy& policy_;  // outlives the transaction: the exchange holds its snapshot
  std::string id_;
  Budget budget_;
  RunTransaction t_;
  std::size_t body_bytes_ = 0;
  bool over_limit_ = false;
  bool left_body_out_ = false;
  bool body_unparsed_ = false;
  bool body_unread_ = false;
  bool charset_unknown_ = false;
  bool body_read_otherwise_ = false;
  std::optional<unsigned> score_;  // of the request
  bool released_ = false;
  bool denied_ = false;
  bool threw_ = false;
  int status_ = 403;
};

}  // namespace

std::unique_ptr<Transaction> begin_transaction(const RulePolicy& policy, const RequestStart& start,
                                               std::chrono::nanoseconds time_budget, const Masker& masker) {
  return std::make_unique<RuleTransaction>(policy, start, time_budget, masker);
}

}  // namespace gatehouse::waf
