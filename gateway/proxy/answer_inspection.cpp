// Answers' bodies before the rules; see answer_inspection.hpp.
#include "gateway/proxy/answer_inspection.hpp"

#include <algorithm>
#include <string_view>

#include "gateway/filter/filter.hpp"
#include "gateway/proxy/failure.hpp"
#include "waf/charsets.hpp"

namespace gatehouse::proxy {

using filter::Exchange;
using filter::Reason;
using filter::Step;
using http::BodyReader;
using http::FieldId;
using runtime::Errc;
using runtime::Task;
using upstream::UpstreamConnection;

namespace {

// Whether response rules want to see a body.
enum class Inspection {
  wanted,  // text
  not_wanted,  // of another type, or an event stream, which has no end
  impossible,  // encoded although that was not asked for, in a charset that rules cannot read, or of no type or none that
  // is one: the client may well read text
};

bool is_token(std::string_view text) noexcept {  // RFC 9110 section 5.6.2
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

// What browsers take for no type at all, so that they look at the text (MIME Sniffing, section 7).
bool is_type(std::string_view media) noexcept {
  const std::size_t slash = std::min(media.find('/'), media.size());
  const std::string_view type = media.substr(0, slash);
  const std::string_view subtype = media.substr(std::min(slash + 1, media.size()));
  return is_token(type) && is_token(subtype) && type != "*" && subtype != "*" &&
         !http::equals_ignore_case(media, "unknown/unknown") && !http::equals_ignore_case(media, "application/unknown");
}

Inspection inspection_of(const http::ResponseHead& head) noexcept {
  const http::Field* const coding = head.fields.find(FieldId::content_encoding);
  if (coding != nullptr &&
      (head.fields.repeated(FieldId::content_encoding) || !http::equals_ignore_case(coding->value, "identity")))
    return Inspection::impossible;
  const http::Field* const type = head.fields.find(FieldId::content_type);
  if (type == nullptr || head.fields.repeated(FieldId::content_type)) return Inspection::impossible;
  const std::string_view media = type->value.substr(0, type->value.find_first_of(";, \t"));
  if (!is_type(media)) return Inspection::impossible;
  for (const std::string_view text : {"text/html", "text/plain", "text/xml", "application/json", "application/xml",
                                      "application/xhtml+xml", "application/problem+json"})
    if (http::equals_ignore_case(media, text))
      return waf::has_known_charset(type->value) ? Inspection::wanted : Inspection::impossible;
  return Inspection::not_wanted;
}

// Buffers the answer's body up to `limit` for the filters. Errc::too_large: it is longer; `body` holds its beginning.
Task<Errc> buffer_response(Exchange& exchange, UpstreamConnection& upstream, BodyReader& reader, std::string& body,
                           std::size_t limit) {
  const auto timeout = exchange.route->config->timeout.value_or(exchange.settings->timeouts.response);
  for (;;) {
    const BodyReader::Result result = reader.next();
    switch (result.status) {
      case BodyReader::Status::piece:
        if (!exchange.hold(exchange.body.size() + body.size() + result.data.size())) co_return Errc::exhausted;
        body.append(result.data);
        if (body.size() > limit) co_return Errc::too_large;
        continue;
      case BodyReader::Status::end: co_return Errc::ok;
      case BodyReader::Status::malformed: co_return Errc::malformed;
      case BodyReader::Status::truncated: co_return Errc::end_of_stream;
      case BodyReader::Status::need_read: break;
    }
    upstream.stream.expires_after(timeout);
    const auto got = co_await upstream.stream.read(reader.room());
    if (got)
      reader.filled(*got);
    else if (got.error() == Errc::end_of_stream)
      reader.closed();
    else
      co_return got.error();
  }
}

}  // namespace

Task<bool> inspect_answer(Exchange& exchange, UpstreamConnection& upstream, BodyReader& body, std::string& inspected) {
  const Inspection inspection = inspection_of(exchange.response);
  bool have_inspected = false;
  for (const filter::Filter& filter : filter::builtin_filters()) {
    const std::size_t limit = filter.response_body_limit != nullptr ? filter.response_body_limit(exchange) : 0;
    if (limit == 0) continue;
    if (inspection == Inspection::impossible) exchange.waf_bypassed = true;
    if (inspection != Inspection::wanted) continue;
    if (!have_inspected) {
      const Errc error = co_await buffer_response(exchange, upstream, body, inspected, limit);
      if (error == Errc::exhausted) {
        exchange.answer_unavailable(Reason::overload, "Too much is being sent at the moment. Please try again.");
        co_return false;
      }
      if (error == Errc::cancelled) co_return false;
      if (error != Errc::ok && error != Errc::too_large) {
        answer_failure(exchange, upstream_error(error, false));
        co_return false;
      }
      have_inspected = true;
      if (error == Errc::too_large) exchange.waf_bypassed = true;
    }
    Step step = filter.on_response_body(exchange, inspected);
    if (step == Step::wait) step = co_await filter.on_response_body_wait(exchange, inspected);
    if (step == Step::answer) co_return false;
  }
  co_return true;
}

}  // namespace gatehouse::proxy
