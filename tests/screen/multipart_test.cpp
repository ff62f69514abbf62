// Which multipart bodies the screen reads, and what it takes for their parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "waf/screen/multipart.hpp"

namespace gatehouse::waf::screen {
namespace {

using ::testing::ElementsAre;

constexpr const char* type = "multipart/form-data; boundary=XyZ";

std::string part(const std::string& head, const std::string& data) {
  return "--XyZ\r\n" + head + "\r\n\r\n" + data + "\r\n";
}
std::string field(const std::string& name, const std::string& value) {
  return part("Content-Disposition: form-data; name=\"" + name + "\"", value);
}
const std::string end = "--XyZ--\r\n";

TEST(ReadParts, ReadsFieldsAndFiles) {
  const std::string body =
      field("a", "1") + field("b", "") +
      part("Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain",
           "two\r\nlines") +
      end;
  const auto parts = read_parts(type, body);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 3U);
  EXPECT_EQ((*parts)[0].name, "a");
  EXPECT_EQ((*parts)[0].data, "1");
  EXPECT_FALSE((*parts)[0].is_file());
  EXPECT_EQ((*parts)[1].data, "");
  EXPECT_TRUE((*parts)[2].is_file());
  EXPECT_EQ(*(*parts)[2].file_name, "x.txt");
  EXPECT_EQ((*parts)[2].data, "two\r\nlines");
  EXPECT_THAT((*parts)[2].head_lines, ElementsAre("Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n",
                                                  "Content-Type: text/plain\r\n"));
}

TEST(ReadParts, TakesAPartWithoutAFilesNameForAField) {
  const auto parts = read_parts(type, part("Content-Disposition: form-data; name=\"f\"; filename=\"\"", "") + end);
  ASSERT_TRUE(parts);
  EXPECT_FALSE(parts->front().is_file());
}

TEST(ReadParts, EndsWithOrWithoutALineEnd) {
  EXPECT_TRUE(read_parts(type, field("a", "1") + "--XyZ--"));
  EXPECT_FALSE(read_parts(type, field("a", "1") + "--XyZ--\r\nx"));
  EXPECT_FALSE(read_parts(type, field("a", "1") + "--XyZ"));
  EXPECT_FALSE(read_parts(type, field("a", "1")));
  EXPECT_FALSE(read_parts(type, end));
}

TEST(ReadParts, LeavesUnusualTypesToTheLibrary) {
  const std::string body = field("a", "1") + end;
  for (const char* odd : {"multipart/form-data", "multipart/form-data; boundary=",
                          "multipart/form-data; boundary=\"XyZ\"", "multipart/mixed; boundary=XyZ",
                          "Multipart/Form-Data; boundary=XyZ", "multipart/form-data; charset=utf-8; boundary=XyZ",
                          "multipart/form-data; boundary=XyZ; a=b", "multipart/form-data;  boundary=XyZ",
                          "multipart/form-data; boundary=XyZ,", "multipart/form-data; boundary= XyZ"})
    EXPECT_FALSE(read_parts(odd, body)) << odd;
}

TEST(ReadParts, LeavesUnusualHeadsToTheLibrary) {
  for (const char* odd :
       {"Content-Disposition: form-data", "Content-Disposition: form-data; name=a",
        "Content-Disposition: form-data; name=\"\"", "Content-Disposition: form-data; name=\"a\\\"b\"",
        "Content-Disposition: form-data; name=\"a\"; filename=b",
        "Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''b",
        "Content-Disposition: form-data; name=\"a\"; name=\"b\"", "Content-Disposition: attachment; name=\"a\"",
        "content-disposition: form-data; name=\"a\"", "Content-Type: text/plain",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data; name=\"a\"\r\n folded", "Content-Disposition: form-data; name=\"a\rb\""})
    EXPECT_FALSE(read_parts(type, part(odd, "1") + end)) << odd;
}

TEST(ReadParts, LeavesWhatLooksLikeABoundaryToTheLibrary) {
  for (const char* odd : {"--", "--x", "a\r\n--", "a\n--b", "a --XyZ b", "a\r--XyZ"})
    EXPECT_FALSE(read_parts(type, field("a", odd) + end)) << odd;
  for (const char* plain : {"-", "a--b", "a\r\n-b", "XyZ", "\r\n"})
    EXPECT_TRUE(read_parts(type, field("a", plain) + end)) << plain;
}

TEST(ReadParts, WantsLinesToEndWithBoth) {
  EXPECT_FALSE(read_parts(type, "--XyZ\nContent-Disposition: form-data; name=\"a\"\n\n1\n--XyZ--\n"));
  EXPECT_FALSE(read_parts(type, "--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\n--XyZ--\r\n"));
}

}  // namespace
}  // namespace gatehouse::waf::screen
