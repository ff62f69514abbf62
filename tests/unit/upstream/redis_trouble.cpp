// gateway/upstream/redis_trouble.hpp: what several workers say of one Redis is told once.
#include "gateway/upstream/redis_trouble.hpp"

#include <gtest/gtest.h>

namespace gatehouse::upstream {
namespace {

using namespace std::chrono_literals;

constexpr const char* kUrl = "redis://here";
constexpr const char* kAgain = "Redis serves the rate limits again";
constexpr const char* kRefuses = "Redis refuses the rate limits: each follows its on_store_failure";
constexpr const char* kUnreachable = "Redis is unreachable: each rate limit follows its on_store_failure";

class RedisTroubleTest : public ::testing::Test {
 protected:
  runtime::TimePoint now{1000s};
  int one = 0;
  int two = 0;
  RedisTrouble trouble;
};

TEST_F(RedisTroubleTest, IsToldOnceForAllWorkers) {
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  EXPECT_EQ(trouble.lost(&two, kUrl, "OOM"), "");
  EXPECT_EQ(trouble.serves(&one, now), "");
  EXPECT_EQ(trouble.serves(&two, now), kAgain);
  EXPECT_EQ(trouble.serves(&two, now), "");
}

TEST_F(RedisTroubleTest, HasEachOfItsErrorsToldOnce) {
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.lost(&one, kUrl, "LOADING"), kRefuses);
  EXPECT_EQ(trouble.lost(&two, kUrl, ""), "");
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  EXPECT_EQ(trouble.lost(&one, kUrl, "LOADING"), "");
}

TEST_F(RedisTroubleTest, TellsThatARedisThatRefusedIsUnreachable) {
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.lost(&two, kUrl, ""), "");
}

TEST_F(RedisTroubleTest, ThatComesAndGoesIsOne) {
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  EXPECT_EQ(trouble.serves(&one, now), kAgain);
  now += 1s;
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  for (int i = 0; i < 8; ++i) {
    now += 1s;
    EXPECT_EQ(trouble.serves(&one, now), std::nullopt);
    EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), "");
  }
  now += 1s;
  EXPECT_EQ(trouble.serves(&one, now), kAgain);
}

TEST_F(RedisTroubleTest, OfAnotherRedisIsAnother) {
  EXPECT_EQ(trouble.lost(&one, kUrl, "OOM"), kRefuses);
  EXPECT_EQ(trouble.lost(&one, "redis://there", "OOM"), kRefuses);
}

TEST_F(RedisTroubleTest, EndsWithoutAWordWhereNoRedisIsUsed) {
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  trouble.forget(&one);
  EXPECT_EQ(trouble.serves(&one, now), "");
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
}

TEST_F(RedisTroubleTest, HasItsEndToldAlthoughAnotherHasGone) {
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.serves(&one, now), kAgain);
  now += 1s;
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.serves(&one, now), std::nullopt);
  trouble.forget(&two);
  now += RedisTrouble::calm;
  EXPECT_EQ(trouble.serves(&one, now), kAgain);
}

TEST_F(RedisTroubleTest, EndsWithoutAWordWhenWhoWasToSayItHasGone) {
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.serves(&one, now), kAgain);
  now += 1s;
  EXPECT_EQ(trouble.lost(&one, kUrl, ""), kUnreachable);
  EXPECT_EQ(trouble.serves(&one, now), std::nullopt);
  trouble.forget(&one);
  EXPECT_EQ(trouble.lost(&two, kUrl, ""), kUnreachable);
}

}  // namespace
}  // namespace gatehouse::upstream
