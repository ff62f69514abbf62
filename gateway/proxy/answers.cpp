// Heads and answers; see answers.hpp.
#include "gateway/proxy/answers.hpp"

#include <algorithm>
#include <ctime>

#include "gateway/filter/forwarded_headers.hpp"
#include "gateway/runtime/json.hpp"

namespace gatehouse::proxy {

using filter::Exchange;
using http::BodyKind;
using http::Field;
using http::FieldId;

std::string_view status_text(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 451: return "Unavailable For Legal Reasons";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
    default: return status < 500 ? "Refused" : "Failed";
  }
}

std::string_view http_date() {
  thread_local std::time_t cached_second = -1;
  thread_local char cached[32];
  const std::time_t now = std::time(nullptr);
  if (now != cached_second) {
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    // Names are written here and not by strftime, which would follow the locale.
    std::snprintf(cached, sizeof cached, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[parts.tm_wday], parts.tm_mday,
                  months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    cached_second = now;
  }
  return cached;
}

namespace {

constexpr std::string_view strict_transport_security = "strict-transport-security";

void append_status_line(std::string& out, int status, std::string_view reason) {
  out += "HTTP/1.1 ";
  out += static_cast<char>('0' + status / 100);
  out += static_cast<char>('0' + status / 10 % 10);
  out += static_cast<char>('0' + status % 10);
  out += ' ';
  out += reason;
  out += "\r\n";
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

// Where the fields of an answer go: lines of HTTP/1, or a field section of HTTP/2. One list of fields serves both.
class Lines {
 public:
  explicit Lines(std::string& out) : out_(out) {}
  void add(std::string_view name, std::string_view value) { append_field(out_, name, value); }
  void add_kept(std::string_view name, std::string_view value) { append_field(out_, name, value); }
  void add_lines(std::string_view lines) { out_ += lines; }
  void add_number(std::string_view name, std::uint64_t number) {
    out_ += name;
    out_ += ": ";
    runtime::append_number(out_, number);
    out_ += "\r\n";
  }

 private:
  std::string& out_;
};

std::string_view without_blanks(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The weight of a media range in thousandths: its parameter q, 1000 without one (RFC 9110 section 12.4.2).
int weight_of(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    const std::size_t semicolon = parameters.find(';');
    const std::string_view parameter = without_blanks(parameters.substr(0, semicolon));
    parameters = semicolon == std::string_view::npos ? std::string_view() : parameters.substr(semicolon + 1);
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    int weight = 0;
    int scale = 1000;
    for (const char c : parameter.substr(2)) {
      if (c >= '0' && c <= '9') {
        weight += (c - '0') * scale;
        scale /= 10;
      } else if (c != '.') {
        break;
      }
    }
    return std::min(weight, 1000);
  }
  return 1000;
}

// True if the client would rather have JSON than HTML; HTML when it does not care (RFC 9110 section 12.5.1).
bool prefers_json(const http::Fields& fields) noexcept {
  // The most specific range that names a type gives its weight: 3 exact, 2 "type/*", 1 "*/*".
  struct Type {
    std::string_view full, range;
    int specificity = 0, weight = 0, order = 0;
  };
  Type json{"application/json", "application/*"};
  Type html{"text/html", "text/*"};
  int order = 0;
  for (const Field& field : fields.all()) {
    if (field.id != FieldId::accept) continue;
    std::string_view list = field.value;
    while (!list.empty()) {
      const std::size_t comma = list.find(',');
      std::string_view entry = list.substr(0, comma);
      list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
      const std::size_t semicolon = entry.find(';');
      const int weight = semicolon == std::string_view::npos ? 1000 : weight_of(entry.substr(semicolon));
      entry = without_blanks(entry.substr(0, semicolon));
      ++order;
      for (Type* const type : {&json, &html}) {
        const int specificity = http::equals_ignore_case(entry, type->full)    ? 3
                                : http::equals_ignore_case(entry, type->range) ? 2
                                : entry == "*/*"                               ? 1
                                                                               : 0;
        if (specificity > type->specificity) *type = {type->full, type->range, specificity, weight, order};
      }
    }
  }
  if (json.weight == 0) return false;
  if (json.weight != html.weight) return json.weight > html.weight;
  return json.specificity == 3 && (html.specificity < 3 || json.order < html.order);
}

// The body of the gateway's own answer.
std::string reply_body(const Exchange& exchange, bool json) {
  const filter::Reply& reply = exchange.reply;
  if (!reply.content.empty()) return reply.content;
  const std::string_view text = status_text(reply.status);
  std::string body;
  if (json) {
    runtime::JsonObject object(body);
    object.number("status", static_cast<std::uint64_t>(reply.status));
    object.text("error", text);
    object.text("detail", reply.detail);
    object.text("request_id", exchange.request_id);
    object.close();
    body += '\n';
  } else {
    // All parts are our own text; the request id is ours or checked.
    const std::string title = std::to_string(reply.status) + " " + std::string(text);
    body = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title +
           "</title></head>\n<body><h1>" + title + "</h1><p>" + reply.detail + "</p><p><small>Request " +
           exchange.request_id + "</small></p></body></html>\n";
  }
  return body;
}

// RFC 6797 section 7.1: over TLS only, and once: what the upstream says of it holds.
template <class Sink>
void add_strict_transport(Sink& sink, const Exchange& exchange) {
  if (!exchange.hsts) return;
  std::string value = "max-age=";
  runtime::append_number(value, static_cast<std::uint64_t>(exchange.hsts->count()));
  sink.add_kept(strict_transport_security, value);
}

template <class Sink>
void add_reply_fields(Sink& sink, const Exchange& exchange, bool json, std::size_t length) {
  sink.add("date", http_date());
  sink.add("content-type", !exchange.reply.content.empty() ? "application/octet-stream"
                           : json                          ? "application/json"
                                                           : "text/html; charset=utf-8");
  sink.add_number("content-length", length);
  sink.add("cache-control", "no-store");
  sink.add("x-request-id", exchange.request_id);
  add_strict_transport(sink, exchange);
  sink.add_lines(exchange.reply.fields);
  sink.add_lines(exchange.response_fields);
}

// `has_body`: the framing towards the client is said by somebody else. A 204 has no length (RFC 9110 section 8.6); a
// HEAD's or a 304's is that of what was not sent.
template <class Sink>
void add_client_fields(Sink& sink, const Exchange& exchange, bool has_body) {
  const http::ResponseHead& head = exchange.response;
  bool says_transport = false;
  for (const Field& field : head.fields.all()) {
    if (http::is_hop_by_hop(field, head.fields)) continue;
    says_transport = says_transport || http::equals_ignore_case(field.name, strict_transport_security);
    if (field.id == FieldId::content_length && (has_body || head.status == 204)) continue;
    sink.add(field.name, field.value);
  }
  if (!head.fields.has(FieldId::date)) sink.add("date", http_date());
  if (!says_transport) add_strict_transport(sink, exchange);
  sink.add_lines(exchange.response_fields);
}

template <class Sink>
void add_interim_fields(Sink& sink, const http::ResponseHead& head) {
  for (const Field& field : head.fields.all())
    if (!http::is_hop_by_hop(field, head.fields) && field.id != FieldId::content_length)
      sink.add(field.name, field.value);
}

}  // namespace

std::size_t append_reply(std::string& out, const Exchange& exchange, bool close) {
  const bool json = prefers_json(exchange.head.fields);
  const std::string body = reply_body(exchange, json);
  append_status_line(out, exchange.reply.status, status_text(exchange.reply.status));
  Lines lines(out);
  add_reply_fields(lines, exchange, json, body.size());
  if (exchange.reply.status == 426) out += "upgrade: websocket\r\nconnection: upgrade\r\n";  // RFC 9110 section 15.5.22
  if (close)
    out += "connection: close\r\n";
  else if (exchange.head.minor_version == 0)
    out += "connection: keep-alive\r\n";
  out += "\r\n";
  if (exchange.head.method == http::Method::head) return 0;
  out += body;
  return body.size();
}

void collect_reply(http::H2Fields& fields, std::string& body, const Exchange& exchange) {
  const bool json = prefers_json(exchange.head.fields);
  body = reply_body(exchange, json);
  add_reply_fields(fields, exchange, json, body.size());
  if (exchange.head.method == http::Method::head) body.clear();
}

void append_upstream_head(std::string& out, const Exchange& exchange, BodyKind body, std::uint64_t length) {
  const http::RequestHead& head = exchange.head;
  out += head.method_name;
  out += ' ';
  out += exchange.target.path;
  if (exchange.target.has_query) {
    out += '?';
    out += exchange.target.query;
  }
  out += " HTTP/1.1\r\nhost: ";
  if (const Field* const host = head.fields.find(FieldId::host)) out += http::without_empty_port(host->value);
  out += "\r\n";
  for (const Field& field : head.fields.all()) {
    if (field.id == FieldId::host || field.id == FieldId::content_length || field.id == FieldId::expect) continue;
    if (http::is_hop_by_hop(field, head.fields) || filter::is_replaced_field(field, exchange.peer_trusted)) continue;
    if (field.id == FieldId::max_forwards && http::hops_left(head)) continue;  // counted down, see request_fields
    if (http::equals_ignore_case(field.name, "proxy"))
      continue;  // CGI turns it into HTTP_PROXY (CVE-2016-5385, "httpoxy")
    // An answer that is inspected is asked for whole and as it is: in ranges it would pass piece by piece.
    if (exchange.plain_answer &&
        (http::equals_ignore_case(field.name, "accept-encoding") || http::equals_ignore_case(field.name, "range") ||
         http::equals_ignore_case(field.name, "if-range")))
      continue;
    append_field(out, field.name, field.value);
  }
  if (exchange.plain_answer) out += "accept-encoding: identity\r\n";
  out += exchange.request_fields;
  if (exchange.wants_websocket) out += "connection: upgrade\r\nupgrade: websocket\r\n";
  if (body == BodyKind::chunked) {
    out += "transfer-encoding: chunked\r\n";
  } else if (body == BodyKind::length) {
    out += "content-length: ";
    runtime::append_number(out, length);
    out += "\r\n";
  }
  out += "\r\n";
}

void append_client_head(std::string& out, const Exchange& exchange, ClientFraming framing, std::uint64_t length,
                        bool close) {
  append_status_line(out, exchange.response.status, exchange.response.reason);
  Lines lines(out);
  add_client_fields(lines, exchange, framing != ClientFraming::none);
  if (framing == ClientFraming::chunked)
    out += "transfer-encoding: chunked\r\n";
  else if (framing == ClientFraming::length)
    lines.add_number("content-length", length);
  if (close)
    out += "connection: close\r\n";
  else if (exchange.head.minor_version == 0)
    out += "connection: keep-alive\r\n";
  out += "\r\n";
}

void collect_client_head(http::H2Fields& fields, const Exchange& exchange, const http::BodyFraming& framing) {
  add_client_fields(fields, exchange, framing.kind != BodyKind::none);
  if (framing.kind == BodyKind::length) fields.add_number("content-length", framing.length);
}

void append_interim_head(std::string& out, const http::ResponseHead& head) {
  append_status_line(out, head.status, head.reason);
  Lines lines(out);
  add_interim_fields(lines, head);
  out += "\r\n";
}

void collect_interim_head(http::H2Fields& fields, const http::ResponseHead& head) { add_interim_fields(fields, head); }

void append_upgrade_head(std::string& out, const Exchange& exchange) {
  append_status_line(out, 101, "Switching Protocols");
  for (const Field& field : exchange.response.fields.all())
    if (!http::is_hop_by_hop(field, exchange.response.fields)) append_field(out, field.name, field.value);
  out += exchange.response_fields;
  out += "connection: upgrade\r\nupgrade: websocket\r\n\r\n";
}

void collect_upgrade_head(http::H2Fields& fields, const Exchange& exchange) {
  for (const Field& field : exchange.response.fields.all()) {
    if (http::is_hop_by_hop(field, exchange.response.fields) || field.id == FieldId::content_length) continue;
    if (!http::equals_ignore_case(field.name, "sec-websocket-accept")) fields.add(field.name, field.value);
  }
  fields.add_lines(exchange.response_fields);
}

}  // namespace gatehouse::proxy
