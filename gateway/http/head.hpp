// Message heads as views into the connection's buffer: what the parsers yield, what the proxy routes by.
// A list of fields keeps its memory, so that the next head needs no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace gatehouse::http {

enum class Method : std::uint8_t { other, get, head, post, put, delete_, connect, options, trace, patch };

[[nodiscard]] Method method_of(std::string_view token) noexcept;  // case-sensitive (RFC 9110 section 9.1)
[[nodiscard]] bool is_idempotent(Method method) noexcept;         // RFC 9110 section 9.2.2

// clang-format off
/// Fields that the gateway itself looks at; found once, at parsing.
enum class FieldId : std::uint8_t {
  other,
  // framing and connection management
  host, connection, content_length, transfer_encoding, te, trailer, upgrade, expect, keep_alive, proxy_connection,
  proxy_authorization, proxy_authenticate,
  // content
  content_type, content_encoding, date, server, retry_after, location, set_cookie,
  // client
  cookie, authorization, user_agent, accept, origin, max_forwards,
  // forwarding
  x_forwarded_for, x_forwarded_proto, x_forwarded_host, x_forwarded_port, x_forwarded_client_cert, x_real_ip, forwarded,
  x_request_id, traceparent, tracestate, via, cdn_loop,
  sec_websocket_key, sec_websocket_version, http2_settings,
  count_
};
// clang-format on

[[nodiscard]] FieldId field_id(std::string_view name) noexcept;  // case-insensitive

struct Field {
  FieldId id = FieldId::other;
  std::string_view name;   // as received
  std::string_view value;  // without surrounding blanks
};

/// A list of up to 65,536 fields; std::length_error beyond them. Holds no memory before the first, and keeps what it has
/// grown to when cleared.
class Fields {
 public:
  Fields() noexcept {
  }  // NOLINT(modernize-use-equals-default): with "= default", Fields{} would zero what needs no zeros
  Fields(Fields&& other) noexcept { take(other); }
  Fields& operator=(Fields&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  ~Fields() = default;

  void clear() noexcept { size_ = 0, present_ = 0, repeated_ = 0; }

  void push(Field field) {
    if (size_ == capacity_) grow();
    fields_[size_] = field;
    const std::uint64_t bit = bit_of(field.id);
    if ((present_ & bit) == 0) first_[static_cast<unsigned>(field.id)] = static_cast<std::uint16_t>(size_);
    repeated_ |= present_ & bit;
    present_ |= bit;
    ++size_;
  }

  [[nodiscard]] std::span<const Field> all() const noexcept { return {fields_.get(), size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// A cheap test by a bit set.
  [[nodiscard]] bool has(FieldId id) const noexcept { return (present_ & bit_of(id)) != 0; }
  /// True if there are two or more with this id; as cheap.
  [[nodiscard]] bool repeated(FieldId id) const noexcept { return (repeated_ & bit_of(id)) != 0; }
  /// The first field with this id, without a search; nullptr if there is none. Not for FieldId::other.
  [[nodiscard]] const Field* find(FieldId id) const noexcept {
    return has(id) ? &fields_[first_[static_cast<unsigned>(id)]] : nullptr;
  }
  [[nodiscard]] const Field* find(std::string_view lower_case_name) const noexcept;
  [[nodiscard]] std::size_t count(FieldId id) const noexcept;

 private:
  static constexpr std::size_t first_capacity = 8;
  static constexpr std::uint64_t bit_of(FieldId id) noexcept { return std::uint64_t{1} << static_cast<unsigned>(id); }
  void grow();
  void take(Fields& other) noexcept;

  std::unique_ptr<Field[]> fields_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::uint64_t present_ = 0;
  std::uint64_t repeated_ = 0;
  // The index of the first with each id, where present_ says so.
  std::array<std::uint16_t, static_cast<unsigned>(FieldId::count_)> first_;
};
static_assert(static_cast<unsigned>(FieldId::count_) <= 64);

struct RequestHead {
  Method method = Method::other;
  std::string_view method_name;
  std::string_view target;  // as received
  int minor_version = 1;  // HTTP/1.x; 1 for a request of HTTP/2, which means what the same one of HTTP/1.1 does
  bool is_http2 = false;
  Fields fields;

  [[nodiscard]] std::string_view version() const noexcept {
    return is_http2 ? "2" : minor_version == 1 ? "1.1" : "1.0";
  }
};

struct ResponseHead {
  int status = 0;
  int minor_version = 1;
  std::string_view reason;
  Fields fields;
};

[[nodiscard]] bool equals_ignore_case(std::string_view a, std::string_view b) noexcept;  // ASCII

}  // namespace gatehouse::http
