// A field section of HTTP/2 made into the head that the same request has in HTTP/1.1, so that routing, filters and the
// WAF see one and the same request. Called by h2_session.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/h2_limits.hpp"
#include "gateway/http/head.hpp"

namespace gatehouse::http {

/// What is wrong with a request's field section.
enum class H2HeadFault : std::uint8_t {
  none,
  malformed,         // RFC 9113 sections 8.2 and 8.3, RFC 8441: a stream error PROTOCOL_ERROR
  refused,           // well-formed, and not taken here: 400
  target_too_long,   // 414
  too_large,         // 431
  protocol_unknown,  // extended CONNECT with another :protocol than websocket: 501
};

class H2Head {
 public:
  /// Forgets the last section, keeps the memory of an ordinary one.
  void clear() noexcept;

  /// The next field of the section, as nghttp2 decoded it.
  ///
  /// Malformed (RFC 9113 sections 8.2 and 8.3): a name with upper case or that is no token; a value with controls other
  /// than HTAB, or with blanks around it; Connection, Proxy-Connection, Keep-Alive, Transfer-Encoding, Upgrade; TE other
  /// than "trailers"; a pseudo-header field that is unknown, repeated or behind another field.
  void add(std::string_view name, std::string_view value, const H2Limits& limits);

  /// The section is complete: fills `head`, whose views are into `storage`, which gets no more memory than it needs.
  ///
  /// Malformed: :method, :scheme or :path is missing or empty; :path is neither a path nor "*" with OPTIONS; :scheme is
  /// not `scheme`; :authority is empty, or Host says something else (RFC 9113 section 8.3.1); an extended CONNECT with
  /// Content-Length.
  /// Crumbs of Cookie are joined with "; " (section 8.2.3); :authority becomes Host. An extended CONNECT to websocket
  /// (RFC 8441) becomes the GET with Upgrade that it stands for, with `websocket_key`.
  H2HeadFault finish(RequestHead& head, std::string& storage, std::string_view scheme, std::string_view websocket_key);

  /// The section is one of trailers, which are checked and dropped: false if it is malformed.
  [[nodiscard]] bool finish_trailers() const noexcept { return fault_ != H2HeadFault::malformed && !has_pseudo_; }

  /// Bytes of the section as RFC 9113 section 6.5.2 counts them.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// After finish(): an extended CONNECT to websocket.
  [[nodiscard]] bool is_websocket() const noexcept { return is_websocket_; }

 private:
  struct Entry {
    std::uint32_t name_at, name_size, value_at, value_size;
    FieldId id;
  };
  enum Pseudo : std::uint8_t { method, scheme, authority, path, protocol, pseudo_count };

  void fail(H2HeadFault fault) noexcept {
    if (fault_ != H2HeadFault::malformed && (fault_ == H2HeadFault::none || fault == H2HeadFault::malformed))
      fault_ = fault;
  }
  void add_pseudo(std::string_view name, std::string_view value);
  [[nodiscard]] std::string_view text(std::uint32_t at, std::uint32_t size) const noexcept {
    return std::string_view(text_).substr(at, size);
  }
  [[nodiscard]] std::string_view pseudo(Pseudo which) const noexcept {
    return text(pseudo_[which].value_at, pseudo_[which].value_size);
  }
  [[nodiscard]] bool has(Pseudo which) const noexcept { return (seen_ & 1U << which) != 0; }
  void check_form(std::string_view scheme);

  std::string text_;
  std::vector<Entry> entries_;
  Entry pseudo_[pseudo_count] = {};
  unsigned seen_ = 0;
  std::size_t size_ = 0;
  std::size_t cookie_bytes_ = 0;
  unsigned cookies_ = 0;
  unsigned cookie_parts_ = 0;  // of these: what does not count as a field
  std::uint32_t host_ = no_entry;
  H2HeadFault fault_ = H2HeadFault::none;
  bool has_pseudo_ = false;
  bool has_regular_ = false;
  bool has_length_ = false;
  bool is_websocket_ = false;

  static constexpr std::uint32_t no_entry = 0xFFFFFFFF;
};

}  // namespace gatehouse::http
