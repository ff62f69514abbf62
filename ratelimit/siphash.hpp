// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012): a keyed hash of short inputs. With a key that
// nobody outside knows, a client cannot find names of buckets that collide. Called by ratelimit/memory_store.cpp.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gatehouse::ratelimit {

struct Fingerprint {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Fingerprint&) const = default;
};

class SipHash128 {
 public:
  SipHash128(std::uint64_t key_low, std::uint64_t key_high) noexcept : k0_(key_low), k1_(key_high) {}

  [[nodiscard]] Fingerprint operator()(std::string_view text) const noexcept {
    State s{k0_ ^ 0x736f6d6570736575, k1_ ^ 0x646f72616e646f6d ^ 0xee, k0_ ^ 0x6c7967656e657261,
            k1_ ^ 0x7465646279746573};
    std::size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) s.absorb(load(text.data() + at, 8));
    s.absorb(load(text.data() + at, text.size() - at) | static_cast<std::uint64_t>(text.size()) << 56);
    Fingerprint result;
    s.v2 ^= 0xee;
    result.low = s.finish();
    s.v1 ^= 0xdd;
    result.high = s.finish();
    return result;
  }

 private:
  struct State {
    std::uint64_t v0, v1, v2, v3;

    void round() noexcept {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
    void absorb(std::uint64_t word) noexcept {
      v3 ^= word;
      round();
      round();
      v0 ^= word;
    }
    std::uint64_t finish() noexcept {
      for (int i = 0; i < 4; ++i) round();
      return v0 ^ v1 ^ v2 ^ v3;
    }
  };

  static std::uint64_t load(const char* bytes, std::size_t count) noexcept {
    std::array<unsigned char, 8> buffer{};
    if (count != 0) std::memcpy(buffer.data(), bytes, count);
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < 8; ++i) word |= std::uint64_t{buffer[i]} << (8 * i);
    return word;
  }

  std::uint64_t k0_;
  std::uint64_t k1_;
};

}  // namespace gatehouse::ratelimit
