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

void append_http_date(std::string& out) {
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
  out += cached;
}

namespace {

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

// The weight of a media range in thousandths: its q parameter, 1000 without one (RFC 9110 section 12.4.2).
int weight_of(std::string_view parameters) noexcept {
  const std::size_t at = parameters.find("q=");
  if (at == std::string_view::npos) return 1000;
  int weight = 0;
  int scale = 1000;
  for (const char c : parameters.substr(at + 2)) {
    if (c >= '0' && c <= '9') {
      weight += (c - '0') * scale;
      scale /= 10;
    } else if (c != '.') {
      break;
    }
  }
  return std::min(weight, 1000);
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
      entry = entry.substr(0, semicolon);
      while (!entry.empty() && entry.front() == ' ') entry.remove_prefix(1);
      while (!entry.empty() && entry.back() == ' ') entry.remove_suffix(1);
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
  if (json.weight != html.weight) return json.weight > html.weight;
  return json.specificity == 3 && (html.specificity < 3 || json.order < html.order);
}

}  // namespace

std::size_t append_reply(std::string& out, const Exchange& exchange, bool close) {
  const filter::Reply& reply = exchange.reply;
  const std::string_view text = status_text(reply.status);
  const bool json = prefers_json(exchange.head.fields);
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
  append_status_line(out, reply.status, text);
  out += "date: ";
  append_http_date(out);
  out += json ? "\r\ncontent-type: application/json\r\n" : "\r\ncontent-type: text/html; charset=utf-8\r\n";
  append_field(out, "content-length", std::to_string(body.size()));
  out += "cache-control: no-store\r\n";
  append_field(out, "x-request-id", exchange.request_id);
  out += reply.fields;
  out += exchange.response_fields;
  if (close)
    out += "connection: close\r\n";
  else if (exchange.head.minor_version == 0)
    out += "connection: keep-alive\r\n";
  out += "\r\n";
  if (exchange.head.method == http::Method::head) return 0;
  out += body;
  return body.size();
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
  if (const Field* const host = head.fields.find(FieldId::host)) {
    out += host->value;
  } else {  // HTTP/1.0 in absolute-form
    out += exchange.target.host;
    if (exchange.target.port != 0) out += ':' + std::to_string(exchange.target.port);
  }
  out += "\r\n";
  for (const Field& field : head.fields.all()) {
    if (field.id == FieldId::host || field.id == FieldId::content_length || field.id == FieldId::expect) continue;
    if (http::is_hop_by_hop(field, head.fields) || filter::is_replaced_field(field, exchange.peer_trusted)) continue;
    if (field.id == FieldId::max_forwards && http::hops_left(head)) continue;  // counted down, see request_fields
    if (http::equals_ignore_case(field.name, "proxy"))
      continue;  // CGI turns it into HTTP_PROXY (CVE-2016-5385, "httpoxy")
    if (exchange.plain_answer && http::equals_ignore_case(field.name, "accept-encoding")) continue;
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
  const http::ResponseHead& head = exchange.response;
  append_status_line(out, head.status, head.reason);
  for (const Field& field : head.fields.all()) {
    if (http::is_hop_by_hop(field, head.fields)) continue;
    // A 204 has no length (RFC 9110 section 8.6); a HEAD's or a 304's is that of what was not sent.
    if (field.id == FieldId::content_length && (framing != ClientFraming::none || head.status == 204)) continue;
    append_field(out, field.name, field.value);
  }
  if (!head.fields.has(FieldId::date)) {
    out += "date: ";
    append_http_date(out);
    out += "\r\n";
  }
  out += exchange.response_fields;
  if (framing == ClientFraming::chunked) {
    out += "transfer-encoding: chunked\r\n";
  } else if (framing == ClientFraming::length) {
    out += "content-length: ";
    runtime::append_number(out, length);
    out += "\r\n";
  }
  if (close)
    out += "connection: close\r\n";
  else if (exchange.head.minor_version == 0)
    out += "connection: keep-alive\r\n";
  out += "\r\n";
}

void append_interim_head(std::string& out, const http::ResponseHead& head) {
  append_status_line(out, head.status, head.reason);
  for (const Field& field : head.fields.all())
    if (!http::is_hop_by_hop(field, head.fields) && field.id != FieldId::content_length)
      append_field(out, field.name, field.value);
  out += "\r\n";
}

void append_upgrade_head(std::string& out, const Exchange& exchange) {
  append_status_line(out, 101, "Switching Protocols");
  for (const Field& field : exchange.response.fields.all())
    if (!http::is_hop_by_hop(field, exchange.response.fields)) append_field(out, field.name, field.value);
  out += exchange.response_fields;
  out += "connection: upgrade\r\nupgrade: websocket\r\n\r\n";
}

}  // namespace gatehouse::proxy
