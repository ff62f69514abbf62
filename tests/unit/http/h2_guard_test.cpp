// The guard in front of nghttp2: which frames may come when, and how often.
#include "gateway/http/h2_guard.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace gatehouse::http {
namespace {

using std::chrono_literals::operator""s;
using runtime::TimePoint;
using Type = H2FrameType;

struct Guarded {
  H2Limits limits;
  H2Guard guard{limits};
  TimePoint now = TimePoint() + 1000s;

  H2Guard::Verdict take(Type type, std::uint32_t stream, unsigned flags = 0, std::uint32_t length = 1,
                        bool is_live = false, std::array<unsigned char, 5> payload = {}) {
    H2FrameHead head;
    head.type = static_cast<std::uint8_t>(type);
    head.stream = stream;
    head.flags = static_cast<std::uint8_t>(flags);
    head.length = length;
    return guard.frame(head, is_live, payload.data(), now);
  }
  H2Guard::Verdict open(std::uint32_t stream) { return take(Type::headers, stream, H2FrameHead::end_headers); }
  // How many such frames pass at once.
  int most(Type type, unsigned flags, std::uint32_t length, H2Abuse expected,
           std::array<unsigned char, 5> payload = {}) {
    for (int count = 0; count < 100'000; ++count) {
      const H2Guard::Verdict verdict = take(type, 0, flags, length, false, payload);
      if (verdict.fine()) continue;
      EXPECT_EQ(verdict.error, H2Error::enhance_your_calm);
      EXPECT_EQ(verdict.abuse, expected);
      return count;
    }
    ADD_FAILURE() << "no bound";
    return -1;
  }
};

TEST(H2Guard, ReadsFrameHeads) {
  const unsigned char bytes[] = {0x01, 0x02, 0x03, 0x09, 0x05, 0xff, 0x00, 0x00, 0x07};
  const H2FrameHead head = H2FrameHead::parse(bytes);
  EXPECT_EQ(head.length, 0x010203U);
  EXPECT_TRUE(head.is(Type::continuation));
  EXPECT_EQ(head.flags, 5);
  EXPECT_EQ(head.stream, 0x7f000007U);
}

TEST(H2Guard, RefusesStreamIdsThatDoNotGrow) {
  Guarded g;
  EXPECT_TRUE(g.open(5).fine());
  EXPECT_EQ(g.open(3).error, H2Error::protocol_error);  // was never used: 5 has closed it
}

TEST(H2Guard, RefusesEvenStreamIds) {
  Guarded g;
  EXPECT_EQ(g.open(2).error, H2Error::protocol_error);
  EXPECT_EQ(g.open(0).error, H2Error::protocol_error);
}

TEST(H2Guard, TellsAStreamThatHasEndedFromOneThatNeverWas) {
  Guarded g;
  for (std::uint32_t stream = 1; stream < 400; stream += 2) {
    EXPECT_TRUE(g.open(stream).fine());
    g.guard.closed(stream, false);
  }
  EXPECT_EQ(g.open(399).error, H2Error::stream_closed);
  EXPECT_EQ(g.open(1).error, H2Error::stream_closed);  // long forgotten, but none was left out
  EXPECT_EQ(g.take(Type::data, 1).error, H2Error::stream_closed);
}

TEST(H2Guard, TakesWhatWasUnderWayWhenWeResetAStream) {
  Guarded g;
  EXPECT_TRUE(g.open(1).fine());
  g.guard.closed(1, true);
  g.guard.closed(1, false);  // its end follows the reset
  EXPECT_TRUE(g.take(Type::data, 1).fine());
  EXPECT_TRUE(g.open(1).fine());  // trailers
}

TEST(H2Guard, RemembersResetsOfAllStreamsThatMayBeOpen) {
  Guarded g;
  for (std::uint32_t stream = 1; stream < 400; stream += 2) {
    g.open(stream);
    g.guard.closed(stream, true);
  }
  for (std::uint32_t stream = 1; stream < 400; stream += 2) EXPECT_TRUE(g.take(Type::data, stream).fine()) << stream;
}

TEST(H2Guard, IgnoresStreamsBehindTheLastThatIsServed) {
  Guarded g;
  g.open(1);
  g.guard.closed(1, false);
  g.guard.serve_up_to(1);
  EXPECT_TRUE(g.open(3).fine());
  EXPECT_TRUE(g.take(Type::data, 3).fine());
  EXPECT_TRUE(g.open(3).fine());  // trailers
  EXPECT_EQ(g.take(Type::data, 1).error, H2Error::stream_closed);
}

TEST(H2Guard, TakesAPriorityUpdateForAPriority) {
  Guarded g;
  EXPECT_EQ(g.most(Type::priority_update, 0, 5, H2Abuse::priorities), 200);
}

TEST(H2Guard, LetsNothingIntoAHeaderBlock) {
  Guarded g;
  EXPECT_TRUE(g.take(Type::headers, 1).fine());
  EXPECT_TRUE(g.guard.in_block());
  EXPECT_EQ(g.take(Type::ping, 0).error, H2Error::protocol_error);
  EXPECT_EQ(g.take(Type::continuation, 3).error, H2Error::protocol_error);
  EXPECT_TRUE(g.take(Type::continuation, 1, H2FrameHead::end_headers).fine());
  EXPECT_FALSE(g.guard.in_block());
  EXPECT_EQ(g.take(Type::continuation, 1).error, H2Error::protocol_error);
}

TEST(H2Guard, BoundsContinuations) {
  Guarded g;
  EXPECT_TRUE(g.take(Type::headers, 1).fine());
  for (unsigned i = 0; i < g.limits.continuations; ++i) EXPECT_TRUE(g.take(Type::continuation, 1).fine());
  EXPECT_EQ(g.take(Type::continuation, 1).abuse, H2Abuse::continuations);
}

TEST(H2Guard, RefusesDependenciesOnItself) {
  Guarded g;
  EXPECT_EQ(g.take(Type::priority, 3, 0, 5, false, {0, 0, 0, 3, 0}).error, H2Error::protocol_error);
  EXPECT_EQ(g.take(Type::priority, 3, 0, 5, false, {0x80, 0, 0, 3, 0}).error, H2Error::protocol_error);
  EXPECT_TRUE(g.take(Type::priority, 3, 0, 5, false, {0, 0, 0, 1, 0}).fine());
  const unsigned with_priority = H2FrameHead::has_priority | H2FrameHead::end_headers;
  EXPECT_EQ(g.take(Type::headers, 1, with_priority, 20, false, {0, 0, 0, 1, 0}).error, H2Error::protocol_error);
  EXPECT_EQ(g.take(Type::headers, 3, with_priority | H2FrameHead::padded, 20, false, {9, 0, 0, 0, 3}).error,
            H2Error::protocol_error);
  EXPECT_TRUE(g.take(Type::headers, 5, with_priority | H2FrameHead::padded, 20, false, {5, 0, 0, 0, 1}).fine());
}

TEST(H2Guard, BoundsFramesThatCostMoreThanTheyBring) {
  EXPECT_EQ(Guarded().most(Type::rst_stream, 0, 4, H2Abuse::resets), 200);
  EXPECT_EQ(Guarded().most(Type::settings, 0, 6, H2Abuse::settings), 20);
  EXPECT_EQ(Guarded().most(Type::ping, 0, 8, H2Abuse::pings), 50);
  EXPECT_EQ(Guarded().most(Type::ping, H2FrameHead::ack, 8, H2Abuse::pings), 50);
  EXPECT_EQ(Guarded().most(Type::priority, 0, 0, H2Abuse::priorities), 200);
  EXPECT_EQ(Guarded().most(Type::window_update, 0, 4, H2Abuse::window_updates), 2000);
  EXPECT_EQ(Guarded().most(Type::data, 0, 0, H2Abuse::empty_frames), 50);
  EXPECT_EQ(Guarded().most(Type::data, H2FrameHead::padded, 1, H2Abuse::empty_frames, {0}), 50) << "padding alone";
  EXPECT_EQ(Guarded().most(Type::data, H2FrameHead::padded, 10, H2Abuse::empty_frames, {9}), 50);
  EXPECT_EQ(Guarded().most(static_cast<Type>(0xee), 0, 4, H2Abuse::unknown_frames), 100);
  EXPECT_EQ(Guarded().most(Type::goaway, 0, 8, H2Abuse::unknown_frames), 100);
}

TEST(H2Guard, TakesWhatIsPadded) {
  Guarded g;
  for (int count = 0; count < 1000; ++count)
    ASSERT_TRUE(g.take(Type::data, 0, H2FrameHead::padded, 10, false, {8}).fine()) << count;
}

TEST(H2Guard, ForgetsWithTime) {
  Guarded g;
  EXPECT_EQ(g.most(Type::ping, 0, 8, H2Abuse::pings), 50);
  g.now += 2s;
  EXPECT_EQ(g.most(Type::ping, 0, 8, H2Abuse::pings), 10);
  g.now += 3600s;
  EXPECT_EQ(g.most(Type::ping, 0, 8, H2Abuse::pings), 50);
}

TEST(H2Guard, GivesToWhoWorks) {
  Guarded g;
  EXPECT_EQ(g.most(Type::window_update, 0, 4, H2Abuse::window_updates), 2000);
  g.guard.data_sent(16384);
  EXPECT_EQ(g.most(Type::window_update, 0, 4, H2Abuse::window_updates), 36);
  g.guard.data_sent(0);
  EXPECT_EQ(g.most(Type::window_update, 0, 4, H2Abuse::window_updates), 4);
  EXPECT_TRUE(g.open(1).fine());
  EXPECT_EQ(g.most(Type::window_update, 0, 4, H2Abuse::window_updates), 4);
}

TEST(H2Guard, CountsResetsThatTheClientCauses) {
  Guarded g;
  int count = 0;
  while (count < 1000 && g.guard.made_to_reset(g.now)) ++count;
  EXPECT_EQ(count, 100);
}

TEST(H2Guard, NamesEachAbuse) {
  for (int i = 1; i < static_cast<int>(H2Abuse::count_); ++i)
    EXPECT_STRNE(abuse_name(static_cast<H2Abuse>(i)), "-") << i;
}

}  // namespace
}  // namespace gatehouse::http
