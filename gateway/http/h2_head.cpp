// Field sections of HTTP/2; see h2_head.hpp.
#include "gateway/http/h2_head.hpp"

#include <algorithm>

#include "gateway/http/characters.hpp"
#include "gateway/http/validate.hpp"
#include "gateway/runtime/memory.hpp"

namespace gatehouse::http {

namespace {

using detail::is;

constexpr std::size_t field_overhead = 32;        // RFC 9113 section 6.5.2
constexpr std::size_t kept_text = 2 * 1024;       // of a section that is forgotten
constexpr std::size_t kept_entries = 64;
constexpr unsigned most_cookie_parts = 256;       // that count as one field

bool is_value(std::string_view value) noexcept {
  if (value.empty()) return true;
  if (is(value.front(), detail::blank) || is(value.back(), detail::blank)) return false;
  return std::ranges::all_of(value, [](char c) { return is(c, detail::field_value); });
}

enum class Name : std::uint8_t { fine, underscore, malformed };

Name check_name(std::string_view name) noexcept {
  if (name.empty()) return Name::malformed;
  bool underscore = false;
  for (const char c : name) {
    if (!is(c, detail::token) || (c >= 'A' && c <= 'Z')) return Name::malformed;
    underscore = underscore || c == '_';
  }
  return underscore ? Name::underscore : Name::fine;
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return is(c, detail::token); });
}

bool is_target(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return is(c, detail::target); });
}

// Whether both name the same host and port (RFC 9113 section 8.3.1: after scheme-based normalisation).
bool same_authority(std::string_view a, std::string_view b, std::uint16_t default_port) {
  if (a == b) return true;
  std::string host_a, host_b;
  std::uint16_t port_a = 0, port_b = 0;  // 0: the scheme's
  return parse_host(a, host_a, port_a) && parse_host(b, host_b, port_b) && host_a == host_b &&
         (port_a == 0 ? default_port : port_a) == (port_b == 0 ? default_port : port_b);
}

}  // namespace

void H2Head::clear() noexcept {
  if (text_.capacity() > kept_text) runtime::free_memory(text_);
  if (entries_.capacity() > kept_entries) runtime::free_memory(entries_);
  text_.clear();
  entries_.clear();
  seen_ = 0;
  size_ = cookie_bytes_ = 0;
  cookies_ = cookie_parts_ = 0;
  host_ = no_entry;
  fault_ = H2HeadFault::none;
  has_pseudo_ = has_regular_ = has_length_ = is_websocket_ = false;
}

void H2Head::add_pseudo(std::string_view name, std::string_view value) {
  static constexpr std::string_view names[] = {":method", ":scheme", ":authority", ":path", ":protocol"};
  static_assert(std::size(names) == pseudo_count);
  has_pseudo_ = true;
  const auto* const known = std::ranges::find(names, name);
  if (known == std::end(names) || has_regular_) return fail(H2HeadFault::malformed);
  const auto which = static_cast<unsigned>(known - names);
  if ((seen_ & 1U << which) != 0) return fail(H2HeadFault::malformed);
  seen_ |= 1U << which;
  pseudo_[which] = {0, 0, static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(value.size()),
                    FieldId::other};
  text_ += value;
}

void H2Head::add(std::string_view name, std::string_view value, const H2Limits& limits) {
  // The parts of a cookie are one field, which clients divide as they like (RFC 9113 section 8.2.3).
  const bool is_part = cookies_ > 0 && cookies_ < most_cookie_parts && name == "cookie";
  size_ += name.size() + value.size() + (is_part ? 0 : field_overhead);
  // What is refused is decoded to its end, as the table of the connection wants it, and not kept.
  if (fault_ == H2HeadFault::malformed || fault_ == H2HeadFault::too_large) return;
  if (name == ":path" && value.size() > limits.target_bytes) fail(H2HeadFault::target_too_long);
  // :authority is the Host field of HTTP/1, and counts as one unless there is one as well.
  const bool stands_for_host = has(authority) && host_ == no_entry && name != "host";
  const std::size_t fields = entries_.size() - cookie_parts_ + (stands_for_host ? 1 : 0);
  if (size_ > limits.header_bytes + field_overhead * limits.header_count ||
      text_.size() + name.size() + value.size() > limits.header_bytes ||
      (!is_part && !name.starts_with(':') && fields >= limits.header_count))
    return fail(H2HeadFault::too_large);
  if (!is_value(value)) return fail(H2HeadFault::malformed);
  if (name.starts_with(':')) return add_pseudo(name, value);
  has_regular_ = true;
  const Name checked = check_name(name);
  if (checked == Name::malformed) return fail(H2HeadFault::malformed);
  if (checked == Name::underscore && !limits.underscores_allowed) fail(H2HeadFault::refused);
  const FieldId id = field_id(name);
  switch (id) {
    case FieldId::connection:
    case FieldId::proxy_connection:
    case FieldId::keep_alive:
    case FieldId::transfer_encoding:
    case FieldId::upgrade: return fail(H2HeadFault::malformed);
    case FieldId::te:
      if (value != "trailers") return fail(H2HeadFault::malformed);
      break;
    case FieldId::content_length: has_length_ = true; break;
    case FieldId::host:
      if (host_ != no_entry) return fail(H2HeadFault::malformed);
      host_ = static_cast<std::uint32_t>(entries_.size());
      break;
    case FieldId::cookie:
      ++cookies_;
      if (is_part) ++cookie_parts_;
      cookie_bytes_ += value.size() + 2;
      break;
    default: break;
  }
  const auto at = static_cast<std::uint32_t>(text_.size());
  const auto name_size = static_cast<std::uint32_t>(name.size());
  text_ += name;
  text_ += value;
  entries_.push_back({at, name_size, at + name_size, static_cast<std::uint32_t>(value.size()), id});
}

// RFC 9113 section 8.3.1, 8.5; RFC 8441 section 4.
void H2Head::check_form(std::string_view wanted_scheme) {
  if (!has(method) || !is_token(pseudo(method))) return fail(H2HeadFault::malformed);
  const bool is_connect = pseudo(method) == "CONNECT";
  if (has(authority) && pseudo(authority).empty()) return fail(H2HeadFault::malformed);
  if (is_connect && !has(protocol)) {
    if (!has(authority) || has(scheme) || has(path)) return fail(H2HeadFault::malformed);
    if (!is_target(pseudo(authority))) fail(H2HeadFault::refused);  // it is the target, as in HTTP/1
    return;
  }
  if (has(protocol) && (!is_connect || !has(authority) || !is_token(pseudo(protocol)) || has_length_))
    return fail(H2HeadFault::malformed);  // a tunnel has no length (RFC 9110 section 9.3.6)
  if (!has(scheme) || !has(path) || pseudo(path).empty()) return fail(H2HeadFault::malformed);
  const bool asterisk = pseudo(path) == "*" && pseudo(method) == "OPTIONS";
  if (!asterisk && pseudo(path).front() != '/') return fail(H2HeadFault::malformed);
  // What no target may hold is malformed in HTTP/1 too, and answered there: 400.
  if (!is_target(pseudo(path))) fail(H2HeadFault::refused);
  if (!equals_ignore_case(pseudo(scheme), wanted_scheme)) fail(H2HeadFault::refused);
  if (has(protocol) && !equals_ignore_case(pseudo(protocol), "websocket")) fail(H2HeadFault::protocol_unknown);
}

H2HeadFault H2Head::finish(RequestHead& head, std::string& storage, std::string_view wanted_scheme,
                           std::string_view websocket_key) {
  const auto kept = [&](std::size_t at, std::size_t size) { return std::string_view(storage).substr(at, size); };
  const auto kept_pseudo = [&](Pseudo which) { return kept(pseudo_[which].value_at, pseudo_[which].value_size); };
  head.fields.clear();
  head.minor_version = 1;
  head.is_http2 = true;
  if (fault_ != H2HeadFault::malformed && fault_ != H2HeadFault::too_large) check_form(wanted_scheme);
  if (has(authority) && host_ != no_entry &&
      !same_authority(pseudo(authority), text(entries_[host_].value_at, entries_[host_].value_size),
                      pseudo(scheme) == "http" ? 80 : 443))
    fail(H2HeadFault::malformed);
  if (fault_ != H2HeadFault::none) {
    head.method = Method::other;
    head.method_name = {};
    head.target = {};
    // In which form the client wants to hear of it.
    storage = text_;
    for (const Entry& entry : entries_)
      if (entry.id == FieldId::accept)
        head.fields.push({entry.id, kept(entry.name_at, entry.name_size), kept(entry.value_at, entry.value_size)});
    return fault_;
  }

  // All text first: views are made when it is where it stays.
  std::uint32_t cookies_at = 0;
  if (cookies_ > 1) {
    text_.reserve(text_.size() + cookie_bytes_);
    cookies_at = static_cast<std::uint32_t>(text_.size());
    for (const Entry& entry : entries_) {
      if (entry.id != FieldId::cookie) continue;
      if (text_.size() != cookies_at) text_ += "; ";
      text_.append(text_, entry.value_at, entry.value_size);
    }
    if (text_.size() > cookies_at && text_.ends_with(' '))
      text_.pop_back();  // behind an empty last part: no value ends with a blank
  }
  is_websocket_ = has(protocol);
  const auto key_at = static_cast<std::uint32_t>(text_.size());
  const auto key_size = static_cast<std::uint32_t>(websocket_key.size());
  if (is_websocket_) text_ += websocket_key;
  storage = text_;

  head.method_name = is_websocket_ ? std::string_view("GET") : kept_pseudo(method);
  head.method = method_of(head.method_name);
  head.target = kept_pseudo(has(path) ? path : authority);
  if (has(authority))
    head.fields.push({FieldId::host, "host", kept_pseudo(authority)});
  else if (host_ != no_entry)
    head.fields.push({FieldId::host, "host", kept(entries_[host_].value_at, entries_[host_].value_size)});
  bool cookie_done = false;
  for (const Entry& entry : entries_) {
    if (entry.id == FieldId::host) continue;
    std::string_view value = kept(entry.value_at, entry.value_size);
    if (entry.id == FieldId::cookie && cookies_ > 1) {
      if (cookie_done) continue;
      cookie_done = true;
      value = kept(cookies_at, key_at - cookies_at);
    }
    if (is_websocket_ && entry.id == FieldId::sec_websocket_key) continue;  // has no meaning here (RFC 8441 section 5)
    head.fields.push({entry.id, kept(entry.name_at, entry.name_size), value});
  }
  if (is_websocket_) {
    head.fields.push({FieldId::connection, "connection", "Upgrade"});
    head.fields.push({FieldId::upgrade, "upgrade", "websocket"});
    head.fields.push({FieldId::sec_websocket_key, "sec-websocket-key", kept(key_at, key_size)});
  }
  return H2HeadFault::none;
}

}  // namespace gatehouse::http
