// Host and request target: their forms, whether they agree, and the path that routing and the upstream get. Called once
// per request by gateway/proxy.
#include "config/address.hpp"
#include "gateway/http/characters.hpp"
#include "gateway/http/scan.hpp"
#include "gateway/http/validate.hpp"

namespace gatehouse::http {

namespace {

using detail::hex_value;
using detail::is;

/// At most 5 digits up to 65535, without sign or blank; none (0) in "host:", which is legal (RFC 3986 section 3.2.3).
bool parse_port(std::string_view text, std::uint16_t& port) noexcept {
  if (text.size() > 5) return false;
  unsigned value = 0;
  for (const char digit : text) {
    if (!detail::is_digit(digit)) return false;
    value = value * 10 + static_cast<unsigned>(digit - '0');
  }
  if (value > 0xFFFF) return false;
  port = static_cast<std::uint16_t>(value);
  return true;
}

void assign_lower(std::string_view text, std::string& out) {
  out.resize(text.size());
  char* const to = out.data();
  for (std::size_t i = 0; i < text.size(); ++i) to[i] = detail::lower(text[i]);
}

/// The name at the start of `text`, up to ":" or the end; returns its length or 0 if it is none.
std::size_t host_name_length(std::string_view text) noexcept {
  constexpr std::size_t max_name = 253;
  constexpr std::size_t max_label = 63;
  std::size_t label = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] != ':'; ++at) {
    if (!is(text[at], detail::host_name)) return 0;
    if (text[at] != '.') {
      if (++label > max_label) return 0;
    } else {
      if (label == 0) return 0;
      label = 0;
    }
  }
  const std::size_t length = label == 0 && at != 0 ? at - 1 : at;  // without a trailing dot
  return length <= max_name ? at : 0;
}

/// path-abempty ["?" query] of the parts that a target has.
struct Parts {
  std::string_view authority;  // absolute-form alone
  std::string_view rest;  // path and query
  std::uint16_t default_port = 0;
  bool absolute = false;
};

/// Takes scheme and authority off an absolute-form (RFC 9112 section 3.2.2); nothing but http and https is served.
bool split_absolute_form(std::string_view target, Parts& parts) noexcept {
  for (const auto& [scheme, port] : {std::pair<std::string_view, std::uint16_t>{"http://", 80}, {"https://", 443}}) {
    if (target.size() <= scheme.size() || !equals_ignore_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    parts = {target.substr(0, end), target.substr(end), port, true};
    return true;
  }
  return false;
}

std::uint16_t or_default(std::uint16_t port, std::uint16_t default_port) noexcept {
  return port != 0 ? port : default_port;
}

/// Removes the last segment from `out`, which ends in "/". False if there is none.
bool pop_segment(std::string& out) {
  if (out.size() < 2) return false;
  out.resize(out.rfind('/', out.size() - 2) + 1);
  return true;
}

/// Whether the last segment of `out` is "." or "..".
bool ends_in_dots(std::string_view out) noexcept { return out.ends_with("/.") || out.ends_with("/.."); }

/// "." or ".." at the end of `out`, behind a "/", is resolved. False if it leads above the root.
bool end_segment(std::string& out) {
  const std::size_t size = out.size();
  if (size >= 2 && out[size - 1] == '.') {
    if (out[size - 2] == '/') {
      out.resize(size - 1);
    } else if (size >= 3 && out[size - 2] == '.' && out[size - 3] == '/') {
      out.resize(size - 2);
      return pop_segment(out);
    }
  }
  return true;
}

}  // namespace

bool parse_host(std::string_view text, std::string& host, std::uint16_t& port) {
  port = 0;
  std::size_t end = 0;
  std::size_t kept = 0;
  std::optional<IpAddress> address;
  if (!text.empty() && text.front() == '[') {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return false;
    const std::string_view inside = text.substr(1, bracket - 1);
    if (inside.find(':') != std::string_view::npos) address = IpAddress::parse(inside);
    if (!address) return false;
    end = kept = bracket + 1;
  } else {
    end = kept = host_name_length(text);
    if (end == 0) return false;
    if (text[end - 1] == '.') --kept;
  }
  if (end != text.size() && (text[end] != ':' || !parse_port(text.substr(end + 1), port))) return false;
  // An IPv6 address has one form (RFC 5952), whatever it is written like; mapped ones have none of their own in brackets.
  if (address && !address->is_v4())
    host = '[' + address->to_string() + ']';
  else
    assign_lower(text.substr(0, kept), host);
  return true;
}

std::expected<void, Refusal> normalise_path(std::string_view path, std::string& out) {
  if (path.empty() || path.front() != '/') return std::unexpected(Refusal::target_malformed);
  const char* at = path.data();
  const char* const end = at + path.size();
  const char* const work = detail::find_path_work(at, end);
  out.assign(at, work);
  at = work;
  while (at != end) {
    char byte = *at++;
    if (byte == '/') {
      if (!end_segment(out)) return std::unexpected(Refusal::path_above_root);
      if (out.empty() || out.back() != '/') out.push_back('/');
      continue;
    }
    if (byte != '%') {
      if (byte == ';' && ends_in_dots(out)) return std::unexpected(Refusal::path_dots_and_parameters);
      out.push_back(byte);
      continue;
    }
    if (end - at < 2) return std::unexpected(Refusal::path_encoding);
    const unsigned high = hex_value(at[0]);
    const unsigned low = hex_value(at[1]);
    if (high > 15 || low > 15 || (high | low) == 0) return std::unexpected(Refusal::path_encoding);
    at += 2;
    byte = static_cast<char>(high << 4 | low);
    if (is(byte, detail::unreserved)) {
      out.push_back(byte);
    } else {
      if (byte == ';' && ends_in_dots(out)) return std::unexpected(Refusal::path_dots_and_parameters);
      constexpr std::string_view digits = "0123456789ABCDEF";
      const char encoded[3] = {'%', digits[high], digits[low]};
      out.append(encoded, sizeof encoded);
    }
  }
  if (!end_segment(out)) return std::unexpected(Refusal::path_above_root);
  return {};
}

std::expected<void, Refusal> request_target(const RequestHead& head, RequestTarget& target) {
  const Fields& fields = head.fields;
  for (const FieldId id : {FieldId::host, FieldId::content_type, FieldId::content_encoding}) {
    if (fields.repeated(id)) return std::unexpected(Refusal::duplicate_field);
  }
  if (head.method == Method::connect) return std::unexpected(Refusal::target_malformed);

  target.host.clear();
  target.port = 0;
  target.query = {};
  target.has_query = false;
  target.is_https = false;
  const Field* host = fields.find(FieldId::host);
  if (host == nullptr) {
    if (head.minor_version != 0) return std::unexpected(Refusal::host_missing);
  } else if (!parse_host(host->value, target.host, target.port)) {
    return std::unexpected(Refusal::host_malformed);
  }

  Parts parts;
  if (head.target.starts_with('/')) {
    parts.rest = head.target;
  } else if (head.target == "*" && head.method == Method::options) {
    parts.rest = head.target;
  } else if (!split_absolute_form(head.target, parts)) {
    return std::unexpected(Refusal::target_malformed);
  }
  if (parts.absolute) {
    target.is_https = parts.default_port == 443;
    std::string authority;
    std::uint16_t port = 0;
    if (!parse_host(parts.authority, authority, port)) return std::unexpected(Refusal::target_malformed);
    if (host == nullptr) {
      target.host = std::move(authority);
      target.port = port;
    } else if (authority != target.host ||
               or_default(port, parts.default_port) != or_default(target.port, parts.default_port)) {
      return std::unexpected(Refusal::host_differs);
    }
    if (parts.rest.starts_with('?')) {
      target.completed.assign(1, '/');
      target.completed.insert(target.completed.end(), parts.rest.begin(), parts.rest.end());
      parts.rest = {target.completed.data(), target.completed.size()};
    }
    if (parts.rest.empty()) parts.rest = head.method == Method::options ? "*" : "/";
  }

  target.as_received = parts.rest;
  if (parts.rest == "*") {
    target.path = "*";
    return {};
  }
  const std::size_t question = parts.rest.find('?');
  if (question != std::string_view::npos) {
    target.has_query = true;
    target.query = parts.rest.substr(question + 1);
  }
  return normalise_path(parts.rest.substr(0, question), target.path);
}

std::expected<RequestTarget, Refusal> request_target(const RequestHead& head) {
  std::expected<RequestTarget, Refusal> result{std::in_place};
  if (const auto done = request_target(head, *result); !done) return std::unexpected(done.error());
  return result;
}

std::string_view target_for_waf(std::string_view target, std::string& storage) {
  const std::string_view path = target.substr(0, target.find('?'));
  const auto is_question = [](std::string_view text, std::size_t percent) {
    return text.size() - percent >= 3 && text[percent + 1] == '3' && (text[percent + 2] | 0x20) == 'f';
  };
  std::size_t percent = path.find('%');
  while (percent != std::string_view::npos && !is_question(path, percent)) percent = path.find('%', percent + 1);
  if (percent == std::string_view::npos) return target;

  storage.clear();
  std::size_t done = 0;
  for (; percent != std::string_view::npos; percent = path.find('%', percent + 1)) {
    if (!is_question(path, percent)) continue;
    storage.append(target, done, percent - done).append("%25");
    done = percent + 1;
  }
  storage.append(target, done);
  return storage;
}

}  // namespace gatehouse::http
