// The texts of an XML body.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/screen/xml.hpp"

namespace gatehouse::waf::screen {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ReadXml, ReadsTextsAndAttributes) {
  const auto read =
      read_xml("<?xml version='1.0'?><a x='1' y='&lt;'>b<c z=''><![CDATA[<d>]]></c><!-- e --> f<g h='i'/></a>");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text, "b<d> f");
  EXPECT_THAT(read->attributes, ElementsAre("1", "<", "", "i"));
}

TEST(ReadXml, LeavesDeclarationsOfNamespacesOut) {
  const auto read = read_xml("<s:a xmlns:s='urn:b'><s:c s:d='e'/></s:a>");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text, "");
  EXPECT_THAT(read->attributes, ElementsAre("e"));
}

TEST(ReadXml, ReadsElementsAtAnyDepth) {
  const auto read = read_xml("<a><b><c d='1'/></b><e><f><g h='2'>x</g></f></e><i j='3'/></a>");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text, "x");
  EXPECT_THAT(read->attributes, ElementsAre("1", "2", "3"));
}

TEST(ReadXml, HasNothingOfWhatIsNotWellFormed) {
  for (const char* odd :
       {"", " ", "a", "<a>", "<a></b>", "<a b=c/>", "<a/><b/>", "<a>&b;</a>", "<a>\x01</a>", "<a>\xFF</a>"})
    EXPECT_FALSE(read_xml(odd)) << odd;
  EXPECT_THAT(read_xml("<a/>")->attributes, IsEmpty());
}

}  // namespace
}  // namespace gatehouse::waf::screen
