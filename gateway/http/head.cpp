// Names of methods and fields, and the list of fields. Called by the parsers and wherever a head is read.
#include "gateway/http/head.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "gateway/http/characters.hpp"
#include "gateway/http/names.hpp"

namespace gatehouse::http {

using detail::matches;

Method method_of(std::string_view token) noexcept {
  switch (token.size()) {
    case 3:
      if (token == "GET") return Method::get;
      if (token == "PUT") return Method::put;
      break;
    case 4:
      if (token == "POST") return Method::post;
      if (token == "HEAD") return Method::head;
      break;
    case 5:
      if (token == "PATCH") return Method::patch;
      if (token == "TRACE") return Method::trace;
      break;
    case 6:
      if (token == "DELETE") return Method::delete_;
      break;
    case 7:
      if (token == "OPTIONS") return Method::options;
      if (token == "CONNECT") return Method::connect;
      break;
    default: break;
  }
  return Method::other;
}

bool is_idempotent(Method method) noexcept {
  switch (method) {
    case Method::get:
    case Method::head:
    case Method::put:
    case Method::delete_:
    case Method::options:
    case Method::trace: return true;
    case Method::other:
    case Method::post:
    case Method::connect:
    case Method::patch: break;
  }
  return false;
}

FieldId field_id(std::string_view name) noexcept {
  const char* at = name.data();
  switch (name.size()) {
    case 2:
      if (matches<"te">(at)) return FieldId::te;
      break;
    case 3:
      if (matches<"via">(at)) return FieldId::via;
      break;
    case 4:
      if (matches<"host">(at)) return FieldId::host;
      if (matches<"date">(at)) return FieldId::date;
      break;
    case 6:
      if (matches<"cookie">(at)) return FieldId::cookie;
      if (matches<"accept">(at)) return FieldId::accept;
      if (matches<"origin">(at)) return FieldId::origin;
      if (matches<"server">(at)) return FieldId::server;
      if (matches<"expect">(at)) return FieldId::expect;
      break;
    case 7:
      if (matches<"upgrade">(at)) return FieldId::upgrade;
      if (matches<"trailer">(at)) return FieldId::trailer;
      break;
    case 8:
      if (matches<"location">(at)) return FieldId::location;
      if (matches<"cdn-loop">(at)) return FieldId::cdn_loop;
      break;
    case 9:
      if (matches<"x-real-ip">(at)) return FieldId::x_real_ip;
      if (matches<"forwarded">(at)) return FieldId::forwarded;
      break;
    case 10:
      if (matches<"connection">(at)) return FieldId::connection;
      if (matches<"user-agent">(at)) return FieldId::user_agent;
      if (matches<"set-cookie">(at)) return FieldId::set_cookie;
      if (matches<"keep-alive">(at)) return FieldId::keep_alive;
      if (matches<"tracestate">(at)) return FieldId::tracestate;
      break;
    case 11:
      if (matches<"traceparent">(at)) return FieldId::traceparent;
      if (matches<"retry-after">(at)) return FieldId::retry_after;
      break;
    case 12:
      if (matches<"content-type">(at)) return FieldId::content_type;
      if (matches<"x-request-id">(at)) return FieldId::x_request_id;
      if (matches<"max-forwards">(at)) return FieldId::max_forwards;
      break;
    case 13:
      if (matches<"authorization">(at)) return FieldId::authorization;
      break;
    case 14:
      if (matches<"content-length">(at)) return FieldId::content_length;
      if (matches<"http2-settings">(at)) return FieldId::http2_settings;
      break;
    case 15:
      if (matches<"x-forwarded-for">(at)) return FieldId::x_forwarded_for;
      break;
    case 16:
      if (matches<"content-encoding">(at)) return FieldId::content_encoding;
      if (matches<"x-forwarded-host">(at)) return FieldId::x_forwarded_host;
      if (matches<"x-forwarded-port">(at)) return FieldId::x_forwarded_port;
      if (matches<"proxy-connection">(at)) return FieldId::proxy_connection;
      break;
    case 17:
      if (matches<"transfer-encoding">(at)) return FieldId::transfer_encoding;
      if (matches<"x-forwarded-proto">(at)) return FieldId::x_forwarded_proto;
      if (matches<"sec-websocket-key">(at)) return FieldId::sec_websocket_key;
      break;
    case 18:
      if (matches<"proxy-authenticate">(at)) return FieldId::proxy_authenticate;
      break;
    case 19:
      if (matches<"proxy-authorization">(at)) return FieldId::proxy_authorization;
      break;
    case 21:
      if (matches<"sec-websocket-version">(at)) return FieldId::sec_websocket_version;
      break;
    case 23:
      if (matches<"x-forwarded-client-cert">(at)) return FieldId::x_forwarded_client_cert;
      break;
    default: break;
  }
  return FieldId::other;
}

void Fields::grow() {
  const std::size_t larger = capacity_ == 0 ? first_capacity : capacity_ * 2;
  if (larger - 1 > std::numeric_limits<decltype(first_)::value_type>::max()) throw std::length_error("fields");
  auto moved = std::make_unique_for_overwrite<Field[]>(larger);
  std::copy_n(fields_.get(), size_, moved.get());
  fields_ = std::move(moved);
  capacity_ = larger;
}

void Fields::take(Fields& other) noexcept {
  fields_ = std::move(other.fields_);
  size_ = other.size_;
  capacity_ = std::exchange(other.capacity_, 0);
  present_ = other.present_;
  repeated_ = other.repeated_;
  first_ = other.first_;
  other.clear();
}

const Field* Fields::find(std::string_view lower_case_name) const noexcept {
  for (const Field& field : all()) {
    if (equals_ignore_case(field.name, lower_case_name)) return &field;
  }
  return nullptr;
}

std::size_t Fields::count(FieldId id) const noexcept {
  if (!repeated(id)) return has(id) ? 1 : 0;
  return static_cast<std::size_t>(std::ranges::count(all(), id, &Field::id));
}

bool equals_ignore_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return detail::lower(x) == detail::lower(y); });
}

}  // namespace gatehouse::http
