// The HTTP/2 session, bytes in and bytes out.
#include "gateway/http/h2_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "h2_frames.hpp"

namespace gatehouse::http {
namespace {

using test::block;
using test::frame;
using test::get_block;
using test::number;
using test::preface;
using Type = H2FrameType;
using Kind = H2Event::Kind;
using ::testing::ElementsAre;

constexpr unsigned end_both = H2FrameHead::end_headers | H2FrameHead::end_stream;

struct Served {
  H2Stream stream;
  RequestHead head;
};

struct Session final : H2Owner {
  H2Limits limits;
  BodyBuffers buffers{32 * 1024 * 1024};
  std::vector<std::unique_ptr<Served>> served;
  bool refuses = false;
  std::unique_ptr<H2Session> session;
  runtime::TimePoint now = runtime::TimePoint() + std::chrono::hours(1);

  explicit Session(H2Limits wanted = {}) : limits(wanted) {
    session = std::make_unique<H2Session>(limits, "https", buffers, *this);
    give(std::string(preface) + frame(Type::settings, 0, 0));
    written();
  }
  H2Stream* open_stream() override {
    if (refuses) return nullptr;
    served.push_back(std::make_unique<Served>());
    served.back()->stream.head = &served.back()->head;
    return &served.back()->stream;
  }
  H2Stream& stream(std::size_t index = 0) { return served.at(index)->stream; }
  void give(std::string_view bytes) { session->receive(bytes, now); }
  std::vector<Kind> events() {
    std::vector<Kind> kinds;
    for (const H2Event& event : session->events())
      if (event.kind != Kind::none) kinds.push_back(event.kind);
    session->events().clear();
    return kinds;
  }
  std::vector<test::Written> written(std::size_t enough = 1 << 20) {
    std::string out;
    session->fill(out, enough, now);
    return test::take_apart(out);
  }
  // The frames of one type among what is written.
  std::vector<test::Written> written(Type type) {
    std::vector<test::Written> all = written();
    std::erase_if(all, [&](const test::Written& each) { return !each.head.is(type); });
    return all;
  }
  std::uint32_t reset_code(std::uint32_t id) {
    for (const auto& each : written(Type::rst_stream))
      if (each.head.stream == id) return static_cast<unsigned char>(each.payload.back());
    return 0xFFFF;
  }
  std::uint32_t goaway_code() {
    for (const auto& each : written(Type::goaway)) return static_cast<unsigned char>(each.payload.at(7));
    return 0xFFFF;
  }
};

TEST(H2Session, SaysWhatItTakes) {
  Session s;
  H2Session fresh(s.limits, "https", s.buffers, s);
  std::string out;
  fresh.fill(out, 1 << 20, s.now);
  const auto frames = test::take_apart(out);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_TRUE(frames[0].head.is(Type::settings));
  EXPECT_EQ(frames[0].payload, number(3, 2) + number(100, 4) + number(4, 2) + number(64 * 1024, 4) + number(6, 2) +
                                   number(60 * 1024, 4) + number(8, 2) + number(1, 4) + number(9, 2) + number(1, 4));
}

TEST(H2Session, YieldsARequestByteByByteAsAtOnce) {
  const std::string bytes = frame(Type::headers, end_both, 1, get_block("/x"));
  for (const bool at_once : {true, false}) {
    Session s;
    if (at_once)
      s.give(bytes);
    else
      for (const char& byte : bytes) s.give({&byte, 1});
    EXPECT_THAT(s.events(), ElementsAre(Kind::window, Kind::request));
    EXPECT_EQ(s.stream().head->target, "/x");
    EXPECT_TRUE(s.stream().request_ended);
    EXPECT_EQ(s.stream().fault, H2HeadFault::none);
  }
}

TEST(H2Session, YieldsARequestInManyFrames) {
  Session s;
  const std::string section = get_block("/x");
  s.give(frame(Type::headers, H2FrameHead::end_stream, 1, section.substr(0, 3)) +
         frame(Type::continuation, 0, 1, section.substr(3, 10)) +
         frame(Type::continuation, H2FrameHead::end_headers, 1, section.substr(13)));
  EXPECT_EQ(s.stream().head->target, "/x");
}

TEST(H2Session, YieldsBodiesAndTheirEnd) {
  Session s;
  s.give(frame(Type::headers, H2FrameHead::end_headers, 1, get_block()) + frame(Type::data, 0, 1, "hello "));
  EXPECT_THAT(s.events(), ElementsAre(Kind::window, Kind::request, Kind::body));
  s.give(frame(Type::data, H2FrameHead::padded | H2FrameHead::end_stream, 1, std::string("\2world\0\0", 8)));
  EXPECT_THAT(s.events(), ElementsAre(Kind::body, Kind::body));
  EXPECT_EQ(s.stream().incoming, "hello world");
  EXPECT_TRUE(s.stream().request_ended);
  EXPECT_FALSE(s.stream().closed);
}

TEST(H2Session, OpensWindowsAsBodiesAreTaken) {
  H2Limits limits;
  limits.large_connection_window = limits.connection_window;
  Session s(limits);
  s.give(frame(Type::headers, H2FrameHead::end_headers, 1, get_block()));
  for (int i = 0; i < 4; ++i) s.give(frame(Type::data, 0, 1, std::string(16000, 'x')));
  EXPECT_TRUE(s.written(Type::window_update).empty());
  EXPECT_EQ(s.buffers.bytes(), 64'000U);
  s.session->consume(s.stream(), 64'000);
  EXPECT_EQ(s.buffers.bytes(), 0U);
  const auto updates = s.written(Type::window_update);
  ASSERT_EQ(updates.size(), 2U);
  for (const auto& update : updates) EXPECT_EQ(update.payload, number(64'000, 4));
}

TEST(H2Session, EndsWhoOverrunsAWindow) {
  Session s;
  s.give(frame(Type::headers, H2FrameHead::end_headers, 1, get_block()));
  for (int i = 0; i < 5; ++i) s.give(frame(Type::data, 0, 1, std::string(16384, 'x')));
  EXPECT_EQ(s.reset_code(1), static_cast<std::uint32_t>(H2Error::flow_control_error));
}

TEST(H2Session, HoldsBodiesToTheirContentLength) {
  const std::string head =
      block({{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {"content-length", "3"}});
  for (const auto& [data, fine] : {std::pair("abc", true), {"ab", false}, {"abcd", false}, {"", false}}) {
    Session s;
    s.give(frame(Type::headers, H2FrameHead::end_headers, 1, head) +
           frame(Type::data, H2FrameHead::end_stream, 1, data));
    EXPECT_EQ(s.stream().malformed, !fine) << data;
    EXPECT_EQ(s.reset_code(1) == static_cast<std::uint32_t>(H2Error::protocol_error), !fine) << data;
  }
  Session s;
  s.give(frame(Type::headers, end_both, 1, head));
  EXPECT_EQ(s.stream().fault, H2HeadFault::malformed);
}

TEST(H2Session, ResetsMalformedRequestsAndServesOn) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, block({{":method", "GET"}})));
  EXPECT_EQ(s.stream().fault, H2HeadFault::malformed);
  EXPECT_EQ(s.reset_code(1), static_cast<std::uint32_t>(H2Error::protocol_error));
  s.give(frame(Type::headers, end_both, 3, get_block()));
  EXPECT_EQ(s.stream(1).fault, H2HeadFault::none);
  EXPECT_FALSE(s.session->is_over());
}

TEST(H2Session, DropsTrailersAndResetsMalformedOnes) {
  const std::string begin =
      frame(Type::headers, H2FrameHead::end_headers, 1, get_block()) + frame(Type::data, 0, 1, "x");
  Session good;
  good.give(begin + frame(Type::headers, end_both, 1, block({{"x-sum", "1"}})));
  EXPECT_TRUE(good.stream().request_ended);
  EXPECT_EQ(good.stream().head->fields.find("x-sum"), nullptr);
  for (const std::string& bad : {frame(Type::headers, H2FrameHead::end_headers, 1, block({{"x-sum", "1"}})),
                                 frame(Type::headers, end_both, 1, block({{":path", "/"}}))}) {
    Session s;
    s.give(begin + bad);
    EXPECT_TRUE(s.stream().malformed);
    EXPECT_EQ(s.reset_code(1), static_cast<std::uint32_t>(H2Error::protocol_error));
  }
}

TEST(H2Session, SendsAnswersWithinTheWindows) {
  Session s;
  s.give(frame(Type::settings, 0, 0, number(4, 2) + number(20'000, 4)) +
         frame(Type::headers, end_both, 1, get_block()));
  s.written();
  EXPECT_EQ(s.session->window(s.stream()), 20'000U);
  H2Fields fields;
  fields.add("X-Name", "value");
  s.session->submit_answer(s.stream(), 200, fields, true);
  const std::string body(50'000, 'b');
  const std::string_view piece = body;
  s.session->write(s.stream(), {&piece, 1}, true);
  std::size_t sent = 0;
  for (const auto& each : s.written(Type::data)) sent += each.payload.size();
  EXPECT_EQ(sent, 20'000U);
  EXPECT_TRUE(s.session->is_blocked(s.stream()));
  EXPECT_EQ(s.session->window(s.stream()), 0U);
  s.events();
  s.give(frame(Type::window_update, 0, 1, number(100'000, 4)));
  EXPECT_THAT(s.events(), ElementsAre(Kind::window));
  const auto rest = s.written(Type::data);
  EXPECT_EQ(rest.back().head.flags & H2FrameHead::end_stream, H2FrameHead::end_stream);
  EXPECT_THAT(s.events(), ElementsAre(Kind::sent, Kind::closed));
  EXPECT_TRUE(s.stream().end_sent);
  EXPECT_EQ(s.stream().sent, 50'000U);
}

TEST(H2Session, FramesNoMoreThanIsAskedFor) {
  Session s;
  s.give(frame(Type::settings, 0, 0, number(4, 2) + number(1 << 20, 4)) +
         frame(Type::window_update, 0, 0, number(1 << 20, 4)) + frame(Type::headers, end_both, 1, get_block()));
  s.written();
  s.session->submit_answer(s.stream(), 200, {}, true);
  const std::string body(300'000, 'b');
  const std::string_view piece = body;
  s.session->write(s.stream(), {&piece, 1}, true);
  std::string out;
  s.session->fill(out, 32 * 1024, s.now);
  EXPECT_GE(out.size(), 32U * 1024);
  EXPECT_LT(out.size(), 50U * 1024);
  EXPECT_TRUE(s.session->has_output());
}

TEST(H2Session, EndsAnAnswerWithoutBodyWithItsHead) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.written();
  s.session->submit_answer(s.stream(), 204, {}, false);
  const auto frames = s.written();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].head.flags, end_both);
}

TEST(H2Session, SendsTrailersBehindABody) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.written();
  s.session->submit_answer(s.stream(), 200, {}, true);
  s.stream().trailers = "X-Sum: 1\r\nX-Other: 2\r\n";
  const std::string_view piece = "body";
  s.session->write(s.stream(), {&piece, 1}, true);
  const auto frames = s.written();
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_TRUE(frames[1].head.is(Type::data));
  EXPECT_EQ(frames[1].head.flags, 0);
  EXPECT_TRUE(frames[2].head.is(Type::headers));
  EXPECT_EQ(frames[2].head.flags, end_both);
  EXPECT_TRUE(s.stream().end_sent);
}

TEST(H2Session, TellsOfResetsAndForgetsWhatWasPending) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.events();
  s.session->submit_answer(s.stream(), 200, {}, true);
  const std::string body(100'000, 'b');
  const std::string_view piece = body;
  s.session->write(s.stream(), {&piece, 1}, false);
  s.give(frame(Type::rst_stream, 0, 1, number(8, 4)));
  EXPECT_THAT(s.events(), ElementsAre(Kind::closed, Kind::window));
  EXPECT_TRUE(s.stream().closed);
  EXPECT_EQ(s.stream().pending_bytes, 0U);
  EXPECT_TRUE(s.written(Type::data).empty());
}

TEST(H2Session, LetsNoStreamThatIsPausedTakeTheWindowOfOthers) {
  Session s;
  s.give(frame(Type::settings, 0, 0, number(4, 2) + number(0, 4)) + frame(Type::headers, end_both, 1, get_block()) +
         frame(Type::headers, end_both, 3, get_block()));
  for (const std::size_t i : {0U, 1U}) s.session->submit_answer(s.stream(i), 200, {}, true);
  const std::string body(60'000, 'b');
  const std::string_view piece = body;
  s.session->write(s.stream(0), {&piece, 1}, false);  // its window is closed
  s.give(frame(Type::window_update, 0, 3, number(65'535, 4)));
  s.session->window_changed(s.stream(1));
  EXPECT_EQ(s.session->window(s.stream(0)), 0U);
  EXPECT_EQ(s.session->window(s.stream(1)), 65'535U);

  s.give(frame(Type::window_update, 0, 1, number(65'535, 4)));  // now it will take of the connection's, a share
  s.session->window_changed(s.stream(0));
  EXPECT_EQ(s.session->window(s.stream(1)), 65'535U - 32 * 1024);
}

TEST(H2Session, TellsOthersOfAWindowThatACancelledStreamGivesBack) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()) + frame(Type::headers, end_both, 3, get_block()));
  for (const std::size_t i : {0U, 1U}) s.session->submit_answer(s.stream(i), 200, {}, true);
  const std::string body(60'000, 'b');
  const std::string_view piece = body;
  s.session->write(s.stream(0), {&piece, 1}, false);
  s.events();
  s.give(frame(Type::rst_stream, 0, 1, number(8, 4)));
  EXPECT_THAT(s.events(), ElementsAre(Kind::closed, Kind::window)) << "though nothing need be written";
  EXPECT_EQ(s.session->window(s.stream(1)), 65'535U);
  s.session->write(s.stream(1), {&piece, 1}, false);
  s.session->reset(s.stream(1), H2Error::cancel);
  s.written();
  EXPECT_THAT(s.events(), ElementsAre(Kind::window));
}

TEST(H2Session, TellsWhenAnInterimAnswerIsOnItsWay) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.events();
  s.session->submit_interim(s.stream(), 103, {});
  EXPECT_TRUE(s.stream().interim_pending);
  s.written();
  EXPECT_FALSE(s.stream().interim_pending);
  EXPECT_THAT(s.events(), ElementsAre(Kind::sent));
}

TEST(H2Session, IgnoresRequestsBehindTheLastOneThatItAnnounced) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.session->shut_down();
  s.written();
  s.give(frame(Type::headers, H2FrameHead::end_headers, 3, get_block()) +
         frame(Type::data, H2FrameHead::end_stream, 3, "late"));
  EXPECT_EQ(s.goaway_code(), 0xFFFFU);
  s.session->submit_answer(s.stream(0), 200, {}, false);
  EXPECT_EQ(s.written(Type::headers).size(), 1U);
}

TEST(H2Session, DoesNotBlameWhoDoesNotKnowItsSettingsYet) {
  Session s;
  std::string requests;
  for (std::uint32_t i = 0; i < 400; ++i) requests += frame(Type::headers, end_both, 2 * i + 1, get_block());
  s.give(requests);
  s.written();
  EXPECT_EQ(s.session->abuse(), H2Abuse::none);

  s.give(frame(Type::settings, H2FrameHead::ack, 0));
  requests.clear();
  for (std::uint32_t i = 400; i < 600; ++i) requests += frame(Type::headers, end_both, 2 * i + 1, get_block());
  s.give(requests);
  EXPECT_EQ(s.goaway_code(), 1U);
}

TEST(H2Session, ResetsWhatIsReleasedUnfinished) {
  Session s;
  s.give(frame(Type::headers, H2FrameHead::end_headers, 1, get_block()) +
         frame(Type::headers, H2FrameHead::end_headers, 3, get_block()) +
         frame(Type::headers, end_both, 5, get_block()) + frame(Type::data, 0, 1, "half a body"));
  s.session->submit_answer(s.stream(0), 413, {}, false);
  s.session->submit_answer(s.stream(2), 200, {}, false);
  EXPECT_FALSE(s.stream(0).end_sent);  // what is released before would be lost
  s.written();
  EXPECT_TRUE(s.stream(0).end_sent);
  for (std::size_t i = 0; i < 3; ++i) s.session->release(s.stream(i));
  std::vector<std::pair<std::uint32_t, char>> resets;
  for (const auto& each : s.written(Type::rst_stream)) resets.emplace_back(each.head.stream, each.payload[3]);
  EXPECT_THAT(resets, ElementsAre(std::pair(1U, '\0'), std::pair(3U, '\2')));  // early answer; none at all
  EXPECT_EQ(s.buffers.bytes(), s.limits.large_connection_window - s.limits.connection_window);
  s.session.reset();
  EXPECT_EQ(s.buffers.bytes(), 0U);
}

TEST(H2Session, RefusesStreamsWhenNobodyServesThem) {
  Session s;
  s.refuses = true;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  EXPECT_EQ(s.reset_code(1), static_cast<std::uint32_t>(H2Error::refused_stream));
}

TEST(H2Session, EndsTheConnectionForWhatTheGuardRefuses) {
  Session order;
  order.give(frame(Type::headers, end_both, 5, get_block()) + frame(Type::headers, end_both, 3, get_block()));
  EXPECT_EQ(order.goaway_code(), static_cast<std::uint32_t>(H2Error::protocol_error));
  EXPECT_TRUE(order.session->is_over());
  EXPECT_EQ(order.session->abuse(), H2Abuse::none);

  Session pings;
  for (int i = 0; i < 100; ++i) pings.give(frame(Type::ping, 0, 0, "12345678"));
  EXPECT_EQ(pings.goaway_code(), static_cast<std::uint32_t>(H2Error::enhance_your_calm));
  EXPECT_EQ(pings.session->abuse(), H2Abuse::pings);
}

TEST(H2Session, EndsTheConnectionOfWhoMakesItResetStreams) {
  Session s;
  std::uint32_t id = 1;
  for (; id < 1000 && !s.session->is_over(); id += 2) {
    s.give(frame(Type::headers, end_both, id, block({{":method", "GET"}})));
    s.session->release(s.stream(s.served.size() - 1));
    s.written();
  }
  EXPECT_EQ(s.session->abuse(), H2Abuse::own_resets);
  EXPECT_EQ(id / 2, 101U);
}

TEST(H2Session, EndsTheConnectionOfWhoIsRefusedStreamsAgainAndAgain) {
  Session s;
  s.give(frame(Type::settings, H2FrameHead::ack, 0));
  s.refuses = true;  // as of a client whose streams that it has reset still end
  std::uint32_t id = 1;
  for (; id < 1000 && !s.session->is_over(); id += 2) {
    s.give(frame(Type::headers, end_both, id, get_block()));
    s.written();
  }
  EXPECT_EQ(s.session->abuse(), H2Abuse::own_resets);
  EXPECT_EQ(id / 2, 101U);
}

TEST(H2Session, DoesNotBlameForStreamsThatWereOpenedBeforeItsSettingsWereAcknowledged) {
  Session s;
  std::string requests;
  for (std::uint32_t i = 0; i < 400; ++i) requests += frame(Type::headers, end_both, 2 * i + 1, get_block());
  s.give(requests + frame(Type::settings, H2FrameHead::ack, 0));  // the resets are written behind it
  EXPECT_EQ(s.written(Type::rst_stream).size(), 300U);
  EXPECT_EQ(s.session->abuse(), H2Abuse::none);
  EXPECT_FALSE(s.session->is_over());
}

TEST(H2Session, EndsTheConnectionForHeaderBombs) {
  Session s;
  std::string section = get_block();
  section += std::string(
                 "\x40\x01"
                 "a\x7f\xa1\x1e",
                 6) +
             std::string(4000, 'b');  // into the table, 4000 bytes
  s.give(frame(Type::headers, end_both, 1, section));
  EXPECT_EQ(s.stream().fault, H2HeadFault::none);
  s.give(frame(Type::headers, end_both, 3, get_block() + std::string(1000, '\xbe')));
  EXPECT_EQ(s.session->abuse(), H2Abuse::header_list);
  EXPECT_EQ(s.goaway_code(), static_cast<std::uint32_t>(H2Error::enhance_your_calm));
}

TEST(H2Session, AnnouncesItsEndAndServesWhatIsUnderWay) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  s.session->announce_shutdown();
  auto frames = s.written();
  std::erase_if(frames, [](const auto& each) { return each.head.is(Type::settings); });
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].payload, number(0x7FFFFFFF, 4) + number(0, 4));
  EXPECT_TRUE(frames[1].head.is(Type::ping));
  s.give(frame(Type::headers, end_both, 3, get_block()));
  s.events();
  s.give(frame(Type::ping, H2FrameHead::ack, 0, frames[1].payload));
  EXPECT_THAT(s.events(), ElementsAre(Kind::pong));
  s.session->shut_down();
  const auto goaways = s.written(Type::goaway);
  ASSERT_EQ(goaways.size(), 1U);
  EXPECT_EQ(goaways[0].payload, number(3, 4) + number(0, 4));
  EXPECT_FALSE(s.session->is_over());
  s.give(frame(Type::headers, end_both, 5, get_block()));
  EXPECT_EQ(s.served.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    s.session->submit_answer(s.stream(i), 200, {}, false);
    s.session->release(s.stream(i));
  }
  s.written();
  EXPECT_TRUE(s.session->is_over());
  EXPECT_FALSE(s.session->has_output());
}

TEST(H2Session, KnowsSinceWhenABlockIsUnfinished) {
  Session s;
  EXPECT_EQ(s.session->block_began(), runtime::TimePoint::max());
  s.give(frame(Type::headers, 0, 1, get_block()));
  EXPECT_EQ(s.session->block_began(), s.now);
  const runtime::TimePoint began = s.now;
  s.now += std::chrono::seconds(1);
  s.give(frame(Type::continuation, 0, 1, ""));
  EXPECT_EQ(s.session->block_began(), began);
  s.give(frame(Type::continuation, H2FrameHead::end_headers, 1, ""));
  EXPECT_EQ(s.session->block_began(), runtime::TimePoint::max());
}

TEST(H2Session, TakesNothingFromWhoSpeaksAnotherProtocol) {
  H2Limits limits;
  BodyBuffers buffers(1 << 20);
  Session owner;
  H2Session session(limits, "https", buffers, owner);
  session.receive("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", owner.now);
  EXPECT_TRUE(session.is_over());
}

TEST(H2Fields, AreLowerCaseAndTakeLines) {
  Session s;
  s.give(frame(Type::headers, end_both, 1, get_block()));
  H2Fields fields;
  fields.add("X-Upper", "Value");
  fields.add_lines("a: b\r\nno colon\r\nc:d\r\n");
  fields.add_number("content-length", 12345);
  s.session->submit_answer(s.stream(), 200, fields, false);
  const auto heads = s.written(Type::headers);
  ASSERT_EQ(heads.size(), 1U);
  EXPECT_GT(heads[0].payload.size(), 5U);
}

TEST(H2Fields, KeepWhatDoesNotLive) {
  H2Fields fields;
  for (const char* const name : {"One", "Two"}) {
    std::string value(100, name[0]);
    fields.add_kept(name, value);
    value.assign(100, '-');
  }
  EXPECT_EQ(fields.at(0).name, "one");
  EXPECT_EQ(fields.at(0).value, std::string(100, 'O'));
  EXPECT_EQ(fields.at(1).value, std::string(100, 'T'));
}

}  // namespace
}  // namespace gatehouse::http
