// The HTTP/1.1 head parsers. One pass over the bytes, which decides at the first byte that is wrong: so a refusal never
// depends on what follows, nor on how the bytes were split when they arrived.
#include "gateway/http/h1_parser.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "gateway/http/characters.hpp"
#include "gateway/http/scan.hpp"

namespace gatehouse::http {

namespace {

using detail::is;
using detail::is_digit;

/// The bytes that a head may take, and how far it has been read.
struct Window {
  const char* begin;
  const char* at;
  const char* end;
  bool full;  // limits.header_bytes are here: nothing more will be looked at

  Window(std::string_view bytes, const HeadLimits& limits) noexcept
      : begin(bytes.data()),
        at(begin),
        end(begin + std::min(bytes.size(), limits.header_bytes)),
        full(bytes.size() >= limits.header_bytes) {}

  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end - at); }
};

ParseResult refused(const char* why, ParseStatus status = ParseStatus::malformed) noexcept { return {status, 0, why}; }

ParseResult out_of_bytes(const Window& window) noexcept {
  return window.full ? refused("the head is longer than allowed", ParseStatus::head_too_large) : ParseResult{};
}

/// A step of the parser either succeeds or ends the parsing with a result.
enum class Step : bool { failed, ok };

/// CRLF and nothing else (RFC 9112 section 2.2 lets a recipient take a bare LF; a proxy must not: what is behind it may
/// not).
Step read_line_end(Window& window, const char* why_no_line_end, ParseResult& result) noexcept {
  if (window.left() >= 2 && window.at[0] == '\r' && window.at[1] == '\n') [[likely]] {
    window.at += 2;
    return Step::ok;
  }
  if (window.left() == 0) {
    result = out_of_bytes(window);
  } else if (*window.at == '\n') {
    result = refused("a line ends with LF alone");
  } else if (*window.at != '\r') {
    result = refused(why_no_line_end);
  } else if (window.left() == 1) {
    result = out_of_bytes(window);
  } else {
    result = refused("CR without LF");
  }
  return Step::failed;
}

/// "HTTP/" DIGIT "." DIGIT, case-sensitive (RFC 9112 section 2.3). `minor` is -1 for a version that we do not speak.
Step read_version(Window& window, int& minor, ParseResult& result) noexcept {
  constexpr std::string_view pattern = "HTTP/d.d";
  const std::size_t present = std::min(window.left(), pattern.size());
  for (std::size_t i = 0; i < present; ++i) {
    const bool fits = pattern[i] == 'd' ? is_digit(window.at[i]) : window.at[i] == pattern[i];
    if (!fits) {
      result = refused("no HTTP version where one must be");
      return Step::failed;
    }
  }
  if (present < pattern.size()) {
    result = out_of_bytes(window);
    return Step::failed;
  }
  if (window.at[5] == '0') {
    result = refused("HTTP/0.x");
    return Step::failed;
  }
  minor = window.at[5] == '1' && window.at[7] <= '1' ? window.at[7] - '0' : -1;
  window.at += pattern.size();
  return Step::ok;
}

Step read_known_version(Window& window, int& minor, ParseResult& result) noexcept {
  if (window.left() >= 8 && std::memcmp(window.at, "HTTP/1.1", 8) == 0) [[likely]] {
    minor = 1;
    window.at += 8;
    return Step::ok;
  }
  return read_version(window, minor, result);
}

const char* why_no_colon(char found, const HeadLimits& limits) noexcept {
  if (found == ' ' || found == '\t') return "whitespace before the colon";  // RFC 9112 section 5.1
  if (found == '_' && !limits.underscores_allowed) return "an underscore in a field name";
  if (found == '\r' || found == '\n') return "a line without a colon";
  return "a field name that is not a token";
}

/// Field lines up to the empty line (RFC 9112 section 5).
ParseResult read_fields(Window& window, const HeadLimits& limits, Fields& fields) {
  const char* at = window.at;
  const char* const end = window.end;
  for (;;) {
    if (at == end) return out_of_bytes(window);
    if (*at == '\r' || *at == '\n') {
      window.at = at;
      ParseResult result;
      if (read_line_end(window, nullptr, result) == Step::failed) return result;
      return {ParseStatus::complete, static_cast<std::size_t>(window.at - window.begin), nullptr};
    }
    if (is(*at, detail::blank)) return refused("a line begins with whitespace");  // obs-fold, RFC 9112 section 5.2

    const char* const name = at;
    at = limits.underscores_allowed ? detail::find_token_end<detail::token>(at, end)
                                    : detail::find_token_end<detail::plain_token>(at, end);
    if (at == end) return out_of_bytes(window);
    if (*at != ':') return refused(why_no_colon(*at, limits));
    if (at == name) return refused("an empty field name");
    const std::string_view name_view(name, static_cast<std::size_t>(at - name));

    do {
      ++at;
    } while (at != end && is(*at, detail::blank));
    const char* const value = at;
    at = detail::find_value_end(at, end);
    if (at == end) return out_of_bytes(window);
    const char* value_end = at;
    if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') [[likely]] {
      at += 2;
    } else {
      window.at = at;
      ParseResult result;
      (void)read_line_end(window, "a control character in a field value", result);  // only to learn what is wrong
      return result;
    }
    while (value_end != value && is(value_end[-1], detail::blank)) --value_end;

    if (fields.size() == limits.header_count) return refused("too many fields", ParseStatus::head_too_large);
    fields.push({field_id(name_view), name_view, {value, static_cast<std::size_t>(value_end - value)}});
  }
}

/// method SP request-target SP HTTP-version CRLF (RFC 9112 section 3), exactly one space each.
Step read_request_line(Window& window, const HeadLimits& limits, RequestHead& head, ParseResult& result) noexcept {
  const char* const method = window.at;
  window.at = detail::find_token_end<detail::token>(window.at, window.end);
  if (window.at == window.end) {
    result = out_of_bytes(window);
    return Step::failed;
  }
  if (*window.at != ' ' || window.at == method) {
    result = refused("the request line does not begin with a method and a space");
    return Step::failed;
  }
  head.method_name = {method, static_cast<std::size_t>(window.at - method)};
  head.method = method_of(head.method_name);
  ++window.at;

  const char* const target = window.at;
  const char* const bound = window.left() > limits.target_bytes ? target + limits.target_bytes + 1 : window.end;
  window.at = detail::find_target_end(target, bound);
  const auto target_bytes = static_cast<std::size_t>(window.at - target);
  if (target_bytes > limits.target_bytes) {
    result = refused("the target is longer than allowed", ParseStatus::target_too_long);
    return Step::failed;
  }
  if (window.at == window.end) {
    result = out_of_bytes(window);
    return Step::failed;
  }
  if (*window.at != ' ' || target_bytes == 0) {
    const bool version_missing = target_bytes != 0 && (*window.at == '\r' || *window.at == '\n');
    result = refused(version_missing ? "a request line without a version" : "a byte that a target cannot hold");
    return Step::failed;
  }
  head.target = {target, target_bytes};
  ++window.at;

  int minor = 0;
  if (read_known_version(window, minor, result) == Step::failed) return Step::failed;
  if (read_line_end(window, "something behind the version", result) == Step::failed) return Step::failed;
  if (minor < 0) {
    result = refused("neither HTTP/1.0 nor HTTP/1.1", ParseStatus::version_unsupported);
    return Step::failed;
  }
  head.minor_version = minor;
  return Step::ok;
}

/// HTTP-version SP status-code [SP reason-phrase] CRLF (RFC 9112 section 4). Many servers leave the second space out.
Step read_status_line(Window& window, ResponseHead& head, ParseResult& result) noexcept {
  int minor = 0;
  if (read_known_version(window, minor, result) == Step::failed) return Step::failed;
  if (minor < 0) {
    result = refused("neither HTTP/1.0 nor HTTP/1.1", ParseStatus::version_unsupported);
    return Step::failed;
  }
  head.minor_version = minor;

  constexpr std::string_view pattern = " ddd";
  const std::size_t present = std::min(window.left(), pattern.size());
  for (std::size_t i = 0; i < present; ++i) {
    const bool fits = i == 0 ? window.at[0] == ' ' : is_digit(window.at[i]);
    if (!fits || (i == 1 && (window.at[1] < '1' || window.at[1] > '5'))) {
      result = refused("no status from 100 to 599");
      return Step::failed;
    }
  }
  if (present < pattern.size()) {
    result = out_of_bytes(window);
    return Step::failed;
  }
  head.status = (window.at[1] - '0') * 100 + (window.at[2] - '0') * 10 + (window.at[3] - '0');
  window.at += pattern.size();

  head.reason = {};
  if (window.left() != 0 && *window.at == ' ') {
    const char* const reason = ++window.at;
    window.at = detail::find_value_end(reason, window.end);
    head.reason = {reason, static_cast<std::size_t>(window.at - reason)};
  }
  return read_line_end(window, "a byte that a status line cannot hold", result);
}

/// Whether `bytes` may hold more than the last call could tell; see the header for the rule. `scanned` bytes are known.
bool worth_parsing(std::string_view bytes, std::size_t scanned, std::size_t header_bytes) noexcept {
  if (bytes.size() >= header_bytes || std::bit_width(bytes.size()) != std::bit_width(scanned)) return !bytes.empty();
  std::size_t at = bytes.find('\n', scanned);
  if (at == std::string_view::npos) return false;
  if (bytes.find('\n') == at) return true;  // the first line, by which most nonsense shows
  for (; at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;  // a line that ends wrongly
    if (at >= 2 && bytes[at - 2] == '\n') return true;  // an empty line
  }
  return false;
}

template <typename Head, typename ReadFirstLine>
ParseResult parse_head(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned, Head& head,
                       ReadFirstLine read_first_line) {
  if (!worth_parsing(bytes, std::min(scanned, bytes.size()), limits.header_bytes)) {
    scanned = bytes.size();
    return {};
  }
  head.fields.clear();
  Window window(bytes, limits);
  ParseResult result;
  if (read_first_line(window, result) == Step::ok) result = read_fields(window, limits, head.fields);
  scanned = result.status == ParseStatus::need_more ? bytes.size() : 0;
  return result;
}

}  // namespace

ParseResult parse_request_head(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned,
                               RequestHead& head) {
  return parse_head(bytes, limits, scanned, head, [&](Window& window, ParseResult& result) {
    if (window.left() != 0 && (*window.at == '\r' || *window.at == '\n') &&
        read_line_end(window, nullptr, result) == Step::failed) {
      return Step::failed;
    }
    return read_request_line(window, limits, head, result);
  });
}

ParseResult parse_response_head(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned,
                                ResponseHead& head) {
  return parse_head(bytes, limits, scanned, head,
                    [&](Window& window, ParseResult& result) { return read_status_line(window, head, result); });
}

}  // namespace gatehouse::http
