// HTTP/1.1 heads from bytes: strict, incremental by re-scanning only what is new, zero-copy. Called by
// gateway/http's connection for requests and by the upstream side for responses; fuzzed as it stands.
#pragma once

#include <cstddef>
#include <string_view>

#include "gateway/http/head.hpp"

namespace gatehouse::http {

struct HeadLimits {
  std::size_t target_bytes = 16 * 1024;
  std::size_t header_bytes = 60 * 1024;  // the whole head with its last empty line
  std::size_t header_count = 100;
  bool underscores_allowed = false;
};

enum class ParseStatus {
  complete,
  need_more,
  malformed,            // 400 and close
  target_too_long,      // 414
  head_too_large,       // 431 (too many bytes or fields)
  version_unsupported,  // 505: HTTP/2.0 or so where HTTP/1.x is spoken; HTTP/0.9 is malformed
};

struct ParseResult {
  ParseStatus status = ParseStatus::need_more;
  std::size_t head_bytes = 0;  // complete: bytes of the head, its empty line included
  const char* why = nullptr;   // neither complete nor need_more: a sentence for the log, static
};

/// Parses a request head at the start of `bytes`. `scanned` is the number of bytes that earlier calls have seen (0 at
/// first); it is updated, and 0 again after anything but need_more. A head that arrives byte by byte costs linear time:
/// it is parsed whole when its first line or all of it has come or a line ends with LF alone, and each time its size
/// has passed a power of two, so that what cannot become a head is refused early. `bytes` must begin at the same byte
/// in each call for a head; it may have moved in memory. Views point into `bytes` of the call that returned complete.
///
/// Refused as malformed (RFC 9112 and 9110 sections in the source): bare LF or bare CR as line end; any byte below 0x21
/// or above 0x7E in the target, and `#`; whitespace before the colon or at the start of a line (obs-fold); names that
/// are not tokens; names with `_` unless allowed; NUL, CR, LF or other controls but HTAB in values; anything but
/// exactly one space in the request line; what does not end in HTTP/1.0 or HTTP/1.1. One empty line (CRLF) before the
/// request line is skipped (RFC 9112 section 2.2).
[[nodiscard]] ParseResult parse_request_head(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned,
                                             RequestHead& head);

/// The same for an upstream's response head; a status of three digits from 100 to 599, reason (and the space before it)
/// optional. Whitespace before a colon is refused rather than removed, obs-fold refused rather than replaced.
[[nodiscard]] ParseResult parse_response_head(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned,
                                              ResponseHead& head);

}  // namespace gatehouse::http
