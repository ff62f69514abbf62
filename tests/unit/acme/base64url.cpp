// acme/base64url.hpp: the vectors of RFC 4648, and everything that is not the one encoding of some bytes.
#include "acme/base64url.hpp"

#include <gtest/gtest.h>

#include <random>

namespace gatehouse::acme {
namespace {

TEST(Base64Url, WritesTheVectorsOfRfc4648WithoutPadding) {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64url(bytes), text);
    EXPECT_EQ(from_base64url(text), bytes);
  }
}

TEST(Base64Url, HasTheAlphabetForUrls) {
  EXPECT_EQ(base64url("\xfb\xff\xbf"), "-_-_");
  EXPECT_EQ(from_base64url("-_-_"), "\xfb\xff\xbf");
}

TEST(Base64Url, ReadsWhatItWrote) {
  std::mt19937_64 random(5);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    ASSERT_EQ(from_base64url(base64url(bytes)), bytes);
  }
}

TEST(Base64Url, RefusesPaddingAndOtherCharacters) {
  for (const char* const text : {"Zg==", "Zm8=", "Zm9v+A", "Zm9v/A", "Zm 9", "Zm9v\n", "Zm9vYm\xff"})
    EXPECT_EQ(from_base64url(text), std::nullopt) << text;
  EXPECT_EQ(from_base64url(std::string_view("Zm\0v", 4)), std::nullopt);
}

TEST(Base64Url, RefusesStrayBitsAndALonelyCharacter) {
  for (const char* const text : {"Zh", "Zv", "Zm9", "Z", "Zm9vZ"})
    EXPECT_EQ(from_base64url(text), std::nullopt) << text;
}

}  // namespace
}  // namespace gatehouse::acme
