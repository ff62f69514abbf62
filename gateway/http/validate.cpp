// Framing of bodies and the fields about the connection. Called once per message by gateway/proxy.
#include "gateway/http/validate.hpp"

#include <limits>
#include <optional>

#include "gateway/http/characters.hpp"
#include "gateway/http/names.hpp"

namespace gatehouse::http {

namespace {

using detail::is;
using detail::is_name;

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is(text.front(), detail::blank)) text.remove_prefix(1);
  while (!text.empty() && is(text.back(), detail::blank)) text.remove_suffix(1);
  return text;
}

/// Calls `visit` with each element of a comma-separated list, without blanks around it, until one returns false.
/// Empty elements are passed over (RFC 9110 section 5.6.1.2). Returns false if a call did.
template <typename Visit>
bool each_element(std::string_view list, Visit visit) noexcept {
  for (;;) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    if (!element.empty() && !visit(element)) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

/// The same over all fields with this id.
template <typename Visit>
bool each_element(const Fields& fields, FieldId id, Visit visit) noexcept {
  const Field* first = fields.find(id);
  if (first == nullptr) return true;
  if (!fields.repeated(id)) return each_element(first->value, visit);
  for (const Field& field : fields.all()) {
    if (field.id == id && !each_element(field.value, visit)) return false;
  }
  return true;
}

bool any_list_contains(const Fields& fields, FieldId id, std::string_view lower_case_token) noexcept {
  return !each_element(fields, id,
                       [&](std::string_view element) { return !equals_ignore_case(element, lower_case_token); });
}

bool is_token(std::string_view text) noexcept {
  for (const char character : text) {
    if (!is(character, detail::token)) return false;
  }
  return !text.empty();
}

/// protocol-name ["/" protocol-version] (RFC 9110 section 7.8)
bool is_protocol(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  return is_token(text.substr(0, slash)) && (slash == std::string_view::npos || is_token(text.substr(slash + 1)));
}

/// 1*DIGIT up to 2^63 - 1, what a signed 64-bit reader still holds (RFC 9110 section 8.6). Leading zeros only within 19
/// digits, so that no reader with a bound on digits takes another length.
std::optional<std::uint64_t> parse_length(std::string_view text) noexcept {
  constexpr std::size_t max_digits = 19;
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  std::uint64_t length = 0;
  for (const char digit : text) {
    if (!detail::is_digit(digit)) return std::nullopt;
    length = length * 10 + static_cast<std::uint64_t>(digit - '0');  // 19 nines fit into 64 bits
  }
  if (length > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
  return length;
}

/// What Transfer-Encoding and Content-Length say; none if neither is there.
std::expected<BodyFraming, Refusal> framing_fields(const Fields& fields, int minor_version) noexcept {
  const Field* coding = fields.find(FieldId::transfer_encoding);
  const Field* length = fields.find(FieldId::content_length);
  if (coding != nullptr) {
    if (minor_version == 0) return std::unexpected(Refusal::coding_in_http10);
    if (length != nullptr) return std::unexpected(Refusal::length_and_chunked);
    if (fields.repeated(FieldId::transfer_encoding) || !is_name<"chunked">(coding->value)) {
      return std::unexpected(Refusal::coding_unknown);
    }
    return BodyFraming{BodyKind::chunked};
  }
  if (length == nullptr) return BodyFraming{};
  if (fields.repeated(FieldId::content_length)) return std::unexpected(Refusal::duplicate_field);
  const auto value = parse_length(length->value);
  if (!value) return std::unexpected(Refusal::length_malformed);
  return BodyFraming{BodyKind::length, *value};
}

bool ends_at_this_hop(FieldId id) noexcept {
  switch (id) {
    case FieldId::connection:
    case FieldId::keep_alive:
    case FieldId::proxy_connection:
    case FieldId::proxy_authenticate:
    case FieldId::proxy_authorization:
    case FieldId::te:
    case FieldId::trailer:
    case FieldId::transfer_encoding:
    case FieldId::upgrade:
    case FieldId::http2_settings: return true;
    default: return false;
  }
}

/// Whether Connection may not name this field. What it names is removed on the way: a client must not have it remove
/// what the upstream decides by, nor what this gateway adds (RFC 9110 section 7.6.1: not for fields meant for all
/// recipients).
bool must_not_be_named(FieldId id, bool in_request) noexcept {
  if (id == FieldId::transfer_encoding)
    return true;  // hop-by-hop as it is, but to name it asks a peer to forget the framing
  if (!in_request) return id == FieldId::content_length || id == FieldId::host;
  return id != FieldId::other && !ends_at_this_hop(id);
}

/// One Connection of the two values that nearly all have; not for a message without Connection.
bool names_no_field(const Fields& fields) noexcept {
  const std::string_view value = fields.find(FieldId::connection)->value;
  return !fields.repeated(FieldId::connection) && (is_name<"keep-alive">(value) || is_name<"close">(value));
}

std::expected<void, Refusal> check_connection(const Fields& fields, bool in_request) noexcept {
  if (fields.has(FieldId::connection) && !names_no_field(fields)) {
    Refusal refusal = Refusal::connection_malformed;
    const bool fine = each_element(fields, FieldId::connection, [&](std::string_view element) {
      if (!is_token(element)) return false;
      refusal = Refusal::connection_names_framing;
      if (must_not_be_named(field_id(element), in_request)) return false;
      refusal = Refusal::connection_malformed;
      return true;
    });
    if (!fine) return std::unexpected(refusal);
  }
  if (!each_element(fields, FieldId::upgrade, is_protocol) ||
      !each_element(fields, FieldId::proxy_connection, is_token)) {
    return std::unexpected(Refusal::connection_malformed);
  }
  return {};
}

bool speaks_of_connection(const Fields& fields) noexcept {
  return fields.has(FieldId::connection) || fields.has(FieldId::upgrade) || fields.has(FieldId::proxy_connection);
}

/// The methods that Max-Forwards is for.
bool counts_hops(Method method) noexcept { return method == Method::trace || method == Method::options; }

bool offers_websocket(const RequestHead& head) noexcept {
  return head.minor_version == 1 && head.fields.has(FieldId::upgrade) &&
         any_list_contains(head.fields, FieldId::connection, "upgrade") &&
         any_list_contains(head.fields, FieldId::upgrade, "websocket");
}

}  // namespace

const char* reason_text(Refusal refusal) noexcept {
  switch (refusal) {
    case Refusal::length_and_chunked: return "Content-Length together with Transfer-Encoding";
    case Refusal::length_malformed:
      return "a Content-Length that is no single number, or too large, or where none may be";
    case Refusal::coding_unknown: return "a Transfer-Encoding other than chunked, or where none may be";
    case Refusal::coding_in_http10: return "Transfer-Encoding in HTTP/1.0";
    case Refusal::host_missing: return "no Host";
    case Refusal::host_malformed: return "a Host that is no host name or address with an optional port";
    case Refusal::host_differs: return "the target names another host than Host";
    case Refusal::target_malformed: return "a target of a form that is not served here";
    case Refusal::duplicate_field: return "Host, Content-Length, Content-Type or Content-Encoding twice";
    case Refusal::expectation_unknown: return "an Expect other than 100-continue";
    case Refusal::connection_malformed: return "a Connection, Proxy-Connection or Upgrade that is no list of tokens";
    case Refusal::connection_names_framing: return "a Connection that names a field meant for the upstream";
    case Refusal::path_above_root: return "a path that leads above the root";
    case Refusal::path_dots_and_parameters: return "a path with a parameter behind . or ..";
    case Refusal::path_encoding: return "a path with % but no two hexadecimal digits behind it, or with %00";
    case Refusal::upgrade_with_body: return "an upgrade together with a body";
    case Refusal::hops_malformed: return "a Max-Forwards that is no single number";
  }
  return "";
}

std::expected<BodyFraming, Refusal> request_framing(const RequestHead& head) noexcept {
  const Fields& fields = head.fields;
  const auto framing = framing_fields(fields, head.minor_version);
  if (!framing) return framing;
  if (speaks_of_connection(fields)) {
    if (const auto checked = check_connection(fields, true); !checked) return std::unexpected(checked.error());
    const bool body = framing->kind == BodyKind::chunked || framing->length != 0;
    if (body && offers_websocket(head)) return std::unexpected(Refusal::upgrade_with_body);
  }
  if (const Field* expect = fields.find(FieldId::expect); expect != nullptr && head.minor_version == 1) {
    if (fields.repeated(FieldId::expect) || !is_name<"100-continue">(expect->value)) {
      return std::unexpected(Refusal::expectation_unknown);
    }
  }
  if (fields.has(FieldId::max_forwards) && counts_hops(head.method) &&
      (fields.repeated(FieldId::max_forwards) || !hops_left(head))) {
    return std::unexpected(Refusal::hops_malformed);
  }
  return framing;
}

std::expected<BodyFraming, Refusal> response_framing(const ResponseHead& head, Method method) noexcept {
  const auto framing = framing_fields(head.fields, head.minor_version);
  if (!framing) return framing;
  if (speaks_of_connection(head.fields)) {
    if (const auto checked = check_connection(head.fields, false); !checked) return std::unexpected(checked.error());
  }
  if (head.status < 200 || head.status == 204) {
    // RFC 9112 section 6.1, RFC 9110 section 8.6: neither field may be there. A server that means it has sent a body;
    // "Content-Length: 0" is common with 204 and harmless.
    if (framing->kind == BodyKind::chunked) return std::unexpected(Refusal::coding_unknown);
    if (framing->length != 0) return std::unexpected(Refusal::length_malformed);
    return BodyFraming{};
  }
  if (head.status == 304 || method == Method::head) return BodyFraming{};
  if (framing->kind == BodyKind::none) return BodyFraming{BodyKind::until_close};
  return framing;
}

bool wants_close(const Fields& fields, int minor_version) noexcept {
  if (!fields.has(FieldId::connection)) return minor_version == 0;
  if (any_list_contains(fields, FieldId::connection, "close")) return true;
  return minor_version == 0 && !any_list_contains(fields, FieldId::connection, "keep-alive");
}

bool expects_continue(const RequestHead& head) noexcept {
  return head.minor_version == 1 && head.fields.has(FieldId::expect);  // request_framing has refused any other value
}

std::optional<std::uint64_t> hops_left(const RequestHead& head) noexcept {
  const Field* const field = counts_hops(head.method) ? head.fields.find(FieldId::max_forwards) : nullptr;
  return field != nullptr ? parse_length(field->value) : std::nullopt;
}

bool has_escaped_slash(std::string_view path) noexcept {
  return path.contains("%2F") || path.contains("%5C") || path.contains('\\');
}

bool has_path_parameter(std::string_view path) noexcept { return path.contains(';') || path.contains("%3B"); }

bool is_websocket_upgrade(const RequestHead& head) noexcept {
  if (head.method != Method::get || !offers_websocket(head)) return false;
  return !head.fields.repeated(FieldId::upgrade) && is_name<"websocket">(head.fields.find(FieldId::upgrade)->value);
}

bool has_websocket_version(const RequestHead& head) noexcept {
  const Field* const version = head.fields.find(FieldId::sec_websocket_version);
  return version != nullptr && !head.fields.repeated(FieldId::sec_websocket_version) && version->value == "13";
}

bool is_websocket_switch(const ResponseHead& head) noexcept {
  const Fields& fields = head.fields;
  return head.status == 101 && head.minor_version == 1 && !fields.has(FieldId::content_length) &&
         !fields.has(FieldId::transfer_encoding) && fields.has(FieldId::upgrade) &&
         !fields.repeated(FieldId::upgrade) && is_name<"websocket">(fields.find(FieldId::upgrade)->value) &&
         any_list_contains(fields, FieldId::connection, "upgrade") && check_connection(fields, false).has_value();
}

bool list_contains(std::string_view list, std::string_view lower_case_token) noexcept {
  return !each_element(list, [&](std::string_view element) { return !equals_ignore_case(element, lower_case_token); });
}

bool is_hop_by_hop(const Field& field, const Fields& fields) noexcept {
  return ends_at_this_hop(field.id) || is_taken_out(field, fields);
}

bool is_taken_out(const Field& field, const Fields& fields) noexcept {
  if (!fields.has(FieldId::connection) || names_no_field(fields) || ends_at_this_hop(field.id)) return false;
  return !each_element(fields, FieldId::connection,
                       [&](std::string_view element) { return !equals_ignore_case(element, field.name); });
}

}  // namespace gatehouse::http
