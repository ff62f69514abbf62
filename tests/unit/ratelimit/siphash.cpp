// ratelimit/siphash.hpp against values computed by OpenSSL's SIPHASH (key 000102...0f, input 00 01 02 ...).
#include "ratelimit/siphash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gatehouse::ratelimit {
namespace {

Fingerprint of_counting_bytes(std::size_t length) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(i);
  return SipHash128{0x0706050403020100, 0x0f0e0d0c0b0a0908}(text);
}

TEST(SipHash128, GivesKnownValues) {
  EXPECT_EQ(of_counting_bytes(0), (Fingerprint{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(of_counting_bytes(15), (Fingerprint{0x11a8b03399e99354, 0xd9c3cf970fec087e}));
}

TEST(SipHash128, DependsOnTheKeyAndOnEveryByte) {
  const SipHash128 one{1, 2};
  const SipHash128 other{1, 3};
  EXPECT_NE(one("abc"), other("abc"));
  EXPECT_NE(one("abc"), one("abd"));
  EXPECT_NE(one("abc"), one(std::string_view{"abc\0", 4}));
  EXPECT_NE(one("12345678"), one("123456780"));
}

}  // namespace
}  // namespace gatehouse::ratelimit
