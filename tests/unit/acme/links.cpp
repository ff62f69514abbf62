// acme/links.hpp: Link fields by examples.
#include "acme/links.hpp"

#include <gmock/gmock.h>

namespace gatehouse::acme {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Links, GivesTheUrlsOfTheRelation) {
  EXPECT_THAT(links(R"(<https://ca.test/dir>;rel="index", <https://ca.test/1>;rel="alternate",)"
                    R"(<https://ca.test/2> ; title="x, y; rel=z" ; rel=alternate)",
                    "alternate"),
              ElementsAre("https://ca.test/1", "https://ca.test/2"));
}

TEST(Links, ReadsParametersAsRfc8288Wants) {
  EXPECT_THAT(links(R"(<https://ca.test/1>;rel="up alternate")", "alternate"), SizeIs(1));
  EXPECT_THAT(links(R"(<https://ca.test/1>;REL=Alternate)", "alternate"), SizeIs(1));
  EXPECT_THAT(links(R"(<https://ca.test/1>; rel = "alternate")", "alternate"), SizeIs(1));
  EXPECT_THAT(links(R"(<https://ca.test/1>;rel=up;rel=alternate)", "alternate"), IsEmpty());  // the first one counts
  EXPECT_THAT(links(R"(<https://ca.test/1>;title="; rel=alternate; ")", "alternate"), IsEmpty());
  EXPECT_THAT(links(R"(<https://ca.test/1>;title="\"; rel=alternate; \"")", "alternate"), IsEmpty());
  EXPECT_THAT(links(R"(<https://ca.test/1>;title="\",<https://ca.test/2>";rel=alternate)", "alternate"),
              ElementsAre("https://ca.test/1"));
  EXPECT_THAT(links(R"(<https://ca.test/1>;rel="alternately")", "alternate"), IsEmpty());
}

TEST(Links, LeavesOutWhatMayNotBeAsked) {
  EXPECT_THAT(
      links(R"(</cert/1>;rel="alternate", <http://ca.test/1>;rel="alternate", <>;rel="alternate")", "alternate"),
      IsEmpty());
}

TEST(Links, SurvivesWhatIsNone) {
  for (const char* const field :
       {"", "<", ">", "<>", "<https://ca.test/1", "<https://ca.test/1>;", "<https://ca.test/1>;rel",
        "<https://ca.test/1>;rel=", "<https://ca.test/1>;rel=\"", "<https://ca.test/1>;;;=;", "\"<https://ca.test/1>",
        ",,,", "<https://ca.test/1>;a=\"\\"})
    EXPECT_THAT(links(field, "alternate"), IsEmpty()) << field;
}

}  // namespace
}  // namespace gatehouse::acme
