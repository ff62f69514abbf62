// What one HTTP/2 connection may cost, and the names of what exceeds it. Read by the session and its guard.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gatehouse::http {

/// Why a connection is closed: the label `reason` of gatehouse_http2_abuse_total.
enum class H2Abuse : std::uint8_t {
  none,
  resets,          // streams opened and reset at once ("rapid reset", CVE-2023-44487)
  own_resets,      // streams that the client makes us reset ("MadeYouReset", CVE-2025-8671)
  continuations,   // a header block in too many frames (CVE-2024-27316)
  header_list,     // a header block that decodes to many times the limit ("HPACK bomb", CVE-2016-6581)
  settings,        // CVE-2019-9515
  pings,           // CVE-2019-9512
  priorities,      // CVE-2019-9513
  window_updates,
  empty_frames,    // CVE-2019-9518
  unknown_frames,  // of types that have no meaning here
  unread_output,   // acknowledgements pile up since the client does not read
  stalled,         // answers wait for a window that the client does not open (CVE-2019-9517), or opens too slowly
  slow_reader,     // the client does not take what is sent, or too slowly
  slow_headers,    // a header block, or the preface, that does not end
  count_
};
[[nodiscard]] const char* abuse_name(H2Abuse abuse) noexcept;

/// Each has a reason; the first four follow the configuration.
struct H2Limits {
  std::size_t header_bytes = 60 * 1024;  // of a decoded field section, 32 a field included (RFC 9113 section 6.5.2)
  std::size_t header_count = 100;
  std::size_t target_bytes = 16 * 1024;
  std::uint32_t streams = 100;  // at once
  bool underscores_allowed = false;

  std::uint32_t stream_window = 64 * 1024;                // what of a body comes before its reader has taken any
  std::uint32_t connection_window = 64 * 1024;            // of all bodies, as long as memory is scarce
  std::uint32_t large_connection_window = 1024 * 1024;    // and otherwise
  unsigned continuations = 16;  // frames of one block behind its first, empty ones included; each may have 16 KiB
  unsigned header_excess = 4;   // times header_bytes; up to that a request is answered 431
  std::size_t queued_frames = 1000;  // waiting to be written
};

/// So many at once, then so many a second; some frames earn others.
struct H2Rate {
  double burst;
  double per_second;
};
// A page of a browser that is closed resets what it had open: as many as there are streams.
inline constexpr H2Rate h2_resets{200, 20};
inline constexpr H2Rate h2_own_resets{100, 5};
inline constexpr H2Rate h2_settings{20, 1};
inline constexpr H2Rate h2_pings{50, 5};  // clients that measure the line send some for each round trip
inline constexpr H2Rate h2_priorities{200, 20};
inline constexpr H2Rate h2_window_updates{2000, 200};
inline constexpr H2Rate h2_empty_frames{50, 5};
inline constexpr H2Rate h2_unknown_frames{100, 10};
inline constexpr double h2_priorities_a_request = 2;
// Of DATA that was sent: clients open both windows as they take it, some for each 4 KiB (Go's, behind a buffered reader),
// small frames among them.
inline constexpr double h2_window_updates_a_frame = 4;
inline constexpr double h2_window_updates_a_kib = 2;
inline constexpr double h2_window_updates_a_request = 4;

}  // namespace gatehouse::http
