// Names that are known at compile time, compared in any case by words instead of bytes. For the protocol files of this
// folder only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gatehouse::http::detail {

/// A name in lower case, known at compile time.
template <std::size_t Size>
struct Name {
  char text[Size - 1]{};
  consteval Name(const char (&literal)[Size]) { std::copy_n(literal, Size - 1, text); }
  static constexpr std::size_t size = Size - 1;
};

/// Some bytes of a name as one number, and the bit that tells upper from lower case for those that are letters. Only
/// letters get that bit: "-" and digits would else match control characters too.
template <typename Word>
struct Pattern {
  Word word;
  Word case_bits;
};

template <typename Word>
consteval Pattern<Word> pattern_of(const char* text) {
  std::array<char, sizeof(Word)> bytes{};
  std::array<char, sizeof(Word)> bits{};
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    bytes[i] = text[i];
    bits[i] = text[i] >= 'a' && text[i] <= 'z' ? 0x20 : 0;
  }
  return {std::bit_cast<Word>(bytes), std::bit_cast<Word>(bits)};
}

template <typename Word, Name name, std::size_t offset>
inline bool word_matches(const char* at) noexcept {
  constexpr Pattern<Word> pattern = pattern_of<Word>(name.text + offset);
  Word word;
  std::memcpy(&word, at + offset, sizeof word);
  return static_cast<Word>(word | pattern.case_bits) == pattern.word;
}

/// Compares with a name of the same length, in any case, by two or three overlapping words.
template <Name name>
inline bool matches(const char* at) noexcept {
  constexpr std::size_t size = name.size;
  static_assert(size >= 2 && size <= 24);
  if constexpr (size < 4) {
    return word_matches<std::uint16_t, name, 0>(at) && word_matches<std::uint16_t, name, size - 2>(at);
  } else if constexpr (size < 8) {
    return word_matches<std::uint32_t, name, 0>(at) && word_matches<std::uint32_t, name, size - 4>(at);
  } else if constexpr (size <= 16) {
    return word_matches<std::uint64_t, name, 0>(at) && word_matches<std::uint64_t, name, size - 8>(at);
  } else {
    return word_matches<std::uint64_t, name, 0>(at) && word_matches<std::uint64_t, name, 8>(at) &&
           word_matches<std::uint64_t, name, size - 8>(at);
  }
}

/// True if `text` is this name, in any case.
template <Name name>
inline bool is_name(std::string_view text) noexcept {
  return text.size() == name.size && matches<name>(text.data());
}

}  // namespace gatehouse::http::detail
