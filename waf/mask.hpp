// Keeps secrets out of events and logs: passwords, tokens, cookies, card numbers, by name and by looks. Used by
// waf/harvest.cpp and waf/request_secrets.cpp for what rules matched and by waf/engine.cpp for query strings.
//
// It errs on the side of hiding: a masked harmless value costs an operator a look elsewhere, a leaked password is
// in every copy of the log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "waf/secret_names.hpp"

namespace gatehouse::waf {

class Masker {
 public:
  /// `names`: audit_log.mask.
  explicit Masker(const std::vector<std::string>& names);

  /// True if an argument, header, cookie or field of this name holds a secret. Case, "-" and "_", and a leading "x-"
  /// make no difference. The last segment counts: "user:password", "ARGS:password"; any, where it is a structure's:
  /// "json.password.new", "user[password]", "password.new"; so do names with a secret word at an end: "new_password",
  /// "token_id", "newPassword2", "passwords", and names that are escaped up to three times more: "pass%77ord".
  [[nodiscard]] bool is_secret_name(std::string_view name) const;

  /// True if everything that was found in this target ("ARGS:password", "REQUEST_HEADERS:Cookie") is secret.
  [[nodiscard]] bool is_secret_target(std::string_view target) const;

  /// What an event shows of the target itself, at most 100 bytes: the collection's name as it is, and that of the
  /// argument, header or cookie, which is no secret ("ARGS:password"), unless it has one in it. If cookies are secret,
  /// "***" for what is no cookie's name (RFC 6265 section 4.1.1), but was read as one.
  [[nodiscard]] std::string target(std::string_view target) const;

  /// What an event shows of `value`, found in `target`: at most 100 bytes, printable, "***" for each secret.
  /// `focus`: a part of `value` that should be seen (what the pattern matched), if it is long; empty: its beginning.
  [[nodiscard]] std::string shown(std::string_view target, std::string_view value, std::string_view focus = {}) const;

  /// Any text, printable, cut to `max_bytes`, "***" for each secret.
  [[nodiscard]] std::string text(std::string_view text, std::size_t max_bytes) const;

  /// True if every cookie is secret, since the Cookie header is.
  [[nodiscard]] bool hides_cookies() const noexcept { return cookies_; }

  /// A query string with the values of secrets as "***"; percent-encoding is kept. Not cut.
  [[nodiscard]] std::string query(std::string_view query) const;

  /// A path with the values of secrets in its segments and their parameters as "***", and so what is behind its first
  /// 2 KiB, down to a whole segment: a path is masked for each record of the access log, within no budget.
  [[nodiscard]] std::string path(std::string_view path) const;

  struct Range {
    std::size_t begin;
    std::size_t end;
  };
  /// The parts of a text of any form (form, JSON, header lines, cookies, XML, multipart) that are secret, in order,
  /// not overlapping; also where the form is within another and escaped for it (JSON in a query, in JSON, in XML).
  [[nodiscard]] std::vector<Range> secrets(std::string_view text) const;

  /// `text` from `start`, printable, cut to `max_bytes`, with "***" for each of `ranges`, which are as secrets() gives them.
  [[nodiscard]] static std::string without(std::string_view text, const std::vector<Range>& ranges,
                                           std::size_t max_bytes, std::size_t start = 0);

 private:
  [[nodiscard]] bool is_secret_name(std::string_view name, std::size_t layers) const;
  [[nodiscard]] bool has_secret_segment(std::string_view name) const;
  void named(std::string_view text, std::size_t layers, std::vector<Range>& found) const;
  SecretNames names_;
  bool cookies_ = false;  // the whole Cookie header is a secret, and so each cookie
};

}  // namespace gatehouse::waf
