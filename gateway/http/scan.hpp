// Finds the end of a name, a value or a target, 16 bytes at a time where SSE2 is at hand (always on x86-64) and byte by
// byte elsewhere. Never reads outside [at, end). For the protocol files of this folder only.
#pragma once

#include <bit>

#include "gateway/http/characters.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gatehouse::http::detail {

#if defined(__SSE2__)

inline __m128i splat(char byte) noexcept { return _mm_set1_epi8(byte); }

inline __m128i load(const char* at) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

/// 0xFF in each byte that lies in [first, first + count), as unsigned numbers.
inline __m128i in_range(__m128i bytes, char first, unsigned count) noexcept {
  const __m128i distance = _mm_sub_epi8(bytes, splat(first));
  return _mm_cmpeq_epi8(_mm_min_epu8(distance, splat(static_cast<char>(count - 1))), distance);
}

/// Steps over 16 bytes at a time while `stops` marks none of them; then to the first that it marks.
/// Returns false if fewer than 16 bytes are left and none has been found.
template <typename Stops>
inline bool skip_blocks(const char*& at, const char* end, Stops stops) noexcept {
  while (end - at >= 16) {
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(stops(load(at))));
    if (mask != 0) {
      at += std::countr_zero(mask);
      return true;
    }
    at += 16;
  }
  return false;
}

#endif

template <unsigned Classes>
inline const char* skip_class(const char* at, const char* end) noexcept {
  while (at != end && is(*at, Classes)) ++at;
  return at;
}

/// The first byte that a field value cannot hold: a control character other than HTAB.
inline const char* find_value_end(const char* at, const char* end) noexcept {
#if defined(__SSE2__)
  const auto stops = [](__m128i bytes) {
    const __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, splat('\t')), in_range(bytes, 0, 0x20));
    return _mm_or_si128(control, _mm_cmpeq_epi8(bytes, splat(0x7F)));
  };
  if (skip_blocks(at, end, stops)) return at;
#endif
  return skip_class<field_value>(at, end);
}

/// The first byte that a request target cannot hold.
inline const char* find_target_end(const char* at, const char* end) noexcept {
#if defined(__SSE2__)
  const auto stops = [](__m128i bytes) {
    const __m128i outside = _mm_xor_si128(in_range(bytes, 0x21, 0x7E - 0x21 + 1), splat(static_cast<char>(0xFF)));
    return _mm_or_si128(outside, _mm_cmpeq_epi8(bytes, splat('#')));
  };
  if (skip_blocks(at, end, stops)) return at;
#endif
  return skip_class<target>(at, end);
}

/// The first byte that is not of a token; with Classes = plain_token also "_".
template <unsigned Classes>
inline const char* find_token_end(const char* at, const char* end) noexcept {
#if defined(__SSE2__)
  const auto stops = [](__m128i bytes) {  // letters, digits and "-" go fast; the rare rest is left to the table
    const __m128i letters = in_range(_mm_or_si128(bytes, splat(0x20)), 'a', 26);
    const __m128i others = _mm_or_si128(in_range(bytes, '0', 10), _mm_cmpeq_epi8(bytes, splat('-')));
    return _mm_xor_si128(_mm_or_si128(letters, others), splat(static_cast<char>(0xFF)));
  };
  skip_blocks(at, end, stops);
#endif
  return skip_class<Classes>(at, end);
}

/// The first byte from which a path needs work: "%", or a "/" with another "/" or a "." behind it.
inline const char* find_path_work(const char* at, const char* end) noexcept {
#if defined(__SSE2__)
  while (end - at >= 17) {
    const __m128i bytes = load(at);
    const __m128i next = load(at + 1);
    const __m128i slash_or_dot = _mm_or_si128(_mm_cmpeq_epi8(next, splat('/')), _mm_cmpeq_epi8(next, splat('.')));
    const __m128i segment = _mm_and_si128(_mm_cmpeq_epi8(bytes, splat('/')), slash_or_dot);
    const auto mask =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(segment, _mm_cmpeq_epi8(bytes, splat('%')))));
    if (mask != 0) return at + std::countr_zero(mask);
    at += 16;
  }
#endif
  for (; at != end; ++at) {
    if (*at == '%') return at;
    if (*at == '/' && end - at > 1 && (at[1] == '/' || at[1] == '.')) return at;
  }
  return end;
}

}  // namespace gatehouse::http::detail
