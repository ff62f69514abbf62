// Forwarding headers; see forwarded_headers.hpp.
#include "gateway/filter/forwarded_headers.hpp"

#include <algorithm>

namespace gatehouse::filter {

using http::FieldId;

namespace {

// Long enough for every name below.
constexpr std::size_t longest_folded = 32;

// The beginning of a name as CGI reads it, which makes one variable of "_" and "-".
std::string_view folded(std::string_view name, char (&room)[longest_folded]) noexcept {
  const std::size_t size = std::min(name.size(), longest_folded);
  std::replace_copy(name.begin(), name.begin() + size, room, '_', '-');
  return {room, size};
}

bool is_replaced(FieldId id, std::string_view name, bool peer_trusted) noexcept {
  switch (id) {
    case FieldId::x_request_id:
    case FieldId::x_forwarded_for:
    case FieldId::x_forwarded_proto:
    case FieldId::x_forwarded_host:
    case FieldId::x_forwarded_port:
    case FieldId::x_forwarded_client_cert:
    case FieldId::x_real_ip:
    case FieldId::forwarded:
    case FieldId::traceparent:
    case FieldId::tracestate:
    case FieldId::cdn_loop: return true;
    default: break;
  }
  // X-Forwarded-Prefix, -Server, -User and whatever else upstreams take as said by their own proxies.
  constexpr std::string_view prefix = "x-forwarded-";
  return !peer_trusted && name.size() > prefix.size() &&
         http::equals_ignore_case(name.substr(0, prefix.size()), prefix);
}

}  // namespace

bool is_replaced_field(const http::Field& field, bool peer_trusted) noexcept {
  if (!field.name.contains('_')) return is_replaced(field.id, field.name, peer_trusted);
  char room[longest_folded];
  const std::string_view name = folded(field.name, room);
  const FieldId id = field.name.size() == name.size() ? http::field_id(name) : FieldId::other;
  return is_replaced(id, name, peer_trusted);
}

bool is_believed_field(const http::Field& field, const http::Fields& fields, bool peer_trusted) noexcept {
  if (http::is_taken_out(field, fields)) return false;
  return peer_trusted || field.id == FieldId::cdn_loop || !is_replaced_field(field, false);
}

namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

}  // namespace

Step forwarded_headers_on_request(Exchange& exchange) {
  const http::Fields& fields = exchange.head.fields;
  std::string& out = exchange.request_fields;
  append_field(out, "x-request-id", exchange.request_id);

  // The chain as a trusted proxy gave it, with the proxy itself at its end; else the client alone.
  out += "x-forwarded-for: ";
  if (exchange.peer_trusted && fields.has(FieldId::x_forwarded_for)) {
    for (const http::Field& field : fields.all())
      if (field.id == FieldId::x_forwarded_for) out.append(field.value).append(", ");
    char text[46];
    out.append(text, exchange.peer.ip.format(text));
  } else {
    out += exchange.client_text;
  }
  out += "\r\n";

  std::string_view proto = exchange.is_tls ? "https" : "http";
  std::string_view host = {};
  if (const http::Field* const field = fields.find(FieldId::host)) host = http::without_empty_port(field->value);
  if (exchange.peer_trusted) {
    if (const http::Field* const field = fields.find(FieldId::x_forwarded_proto))
      if (http::equals_ignore_case(field->value, "https") || http::equals_ignore_case(field->value, "http"))
        proto = field->value;
    if (const http::Field* const field = fields.find(FieldId::x_forwarded_host)) host = field->value;
  }
  append_field(out, "x-forwarded-proto", proto);
  append_field(out, "x-forwarded-host", host);

  // Every hop is a span of its own; the trace is the caller's if the caller is trusted (W3C Trace Context, section 3.2).
  // One that begins here is marked as sampled: whoever samples by the parent would never record anything else.
  out += "traceparent: 00-";
  out += exchange.trace_id;
  out += '-';
  exchange.worker.ids.append_short(out);
  out += '-';
  out += exchange.trace_flags.empty() ? std::string_view("01") : std::string_view(exchange.trace_flags);
  out += "\r\n";
  if (!exchange.trace_flags.empty())
    for (const http::Field& field : fields.all())
      if (field.id == FieldId::tracestate) append_field(out, "tracestate", field.value);

  out += "cdn-loop: ";
  for (const http::Field& field : fields.all())
    if (field.id == FieldId::cdn_loop) out.append(field.value).append(", ");
  out += "gatehouse\r\n";

  if (!exchange.client_certificate_subject.empty()) {
    // Envoy's form; quotes and backslashes of the subject are escaped, controls cannot occur in RFC 2253 text.
    out += "x-forwarded-client-cert: Subject=\"";
    for (const char c : exchange.client_certificate_subject) {
      if (c == '"' || c == '\\') out += '\\';
      if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out += c;
    }
    out += "\"\r\n";
  }
  return Step::next;
}

}  // namespace gatehouse::filter
