// ratelimit/resp.hpp: replies in pieces, and what a hostile or broken peer may cost.
#include "ratelimit/resp.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

namespace gatehouse::ratelimit {
namespace {

using Type = RespValue::Type;

TEST(AppendCommand, WritesAnArrayOfBulkStrings) {
  std::string out;
  append_command(out, std::array<std::string_view, 3>{"SET", "", std::string_view{"a\r\n\0", 4}});
  EXPECT_EQ(out, std::string_view("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\n\0\r\n", 29));
}

TEST(AppendCommand, WritesNumbers) {
  std::string out;
  append_command_head(out, 12);
  append_bulk(out, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(out, "*12\r\n$20\r\n18446744073709551615\r\n");
}

TEST(RespReader, ReadsEveryType) {
  RespReader reader;
  reader.feed("+OK\r\n-ERR no\r\n:-42\r\n$5\r\nab\r\nc\r\n$-1\r\n*-1\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n*0\r\n");
  const auto next = [&] { return reader.next().value().value(); };
  RespValue value = next();
  EXPECT_EQ(value.type, Type::status);
  EXPECT_EQ(value.text, "OK");
  value = next();
  EXPECT_EQ(value.type, Type::error);
  EXPECT_EQ(value.text, "ERR no");
  value = next();
  EXPECT_EQ(value.type, Type::integer);
  EXPECT_EQ(value.integer, -42);
  value = next();
  EXPECT_EQ(value.type, Type::string);
  EXPECT_EQ(value.text, "ab\r\nc");
  EXPECT_EQ(next().type, Type::null);
  EXPECT_EQ(next().type, Type::null);
  value = next();
  ASSERT_EQ(value.type, Type::array);
  ASSERT_EQ(value.items.size(), 2u);
  EXPECT_EQ(value.items[0].integer, 1);
  ASSERT_EQ(value.items[1].items.size(), 1u);
  EXPECT_EQ(value.items[1].items[0].type, Type::string);
  value = next();
  EXPECT_EQ(value.type, Type::array);
  EXPECT_TRUE(value.items.empty());
  EXPECT_FALSE(reader.next().value().has_value());
}

TEST(RespReader, GivesTheSameHoweverTheBytesArrive) {
  const std::string_view bytes = "*3\r\n*2\r\n:1\r\n$3\r\nabc\r\n*2\r\n+x\r\n*1\r\n:7\r\n-e\r\n:9\r\n";
  for (std::size_t chunk = 1; chunk <= bytes.size(); ++chunk) {
    RespReader reader;
    std::vector<RespValue> values;
    for (std::size_t at = 0; at < bytes.size(); at += chunk) {
      reader.feed(bytes.substr(at, chunk));
      for (;;) {
        auto value = reader.next();
        ASSERT_TRUE(value.has_value()) << value.error();
        if (!value->has_value()) break;
        values.push_back(std::move(**value));
      }
    }
    ASSERT_EQ(values.size(), 2u);
    ASSERT_EQ(values[0].items.size(), 3u);
    EXPECT_EQ(values[0].items[0].items[1].text, "abc");
    EXPECT_EQ(values[0].items[1].items[1].items[0].integer, 7);
    EXPECT_EQ(values[0].items[2].text, "e");
    EXPECT_EQ(values[1].integer, 9);
  }
}

TEST(RespReader, RefusesWhatIsNotResp2AndStaysRefusing) {
  for (const std::string_view bytes :
       {"HTTP/1.1 400 Bad Request\r\n", "%1\r\n", "_\r\n", ":1x\r\n", ":\r\n", "*x\r\n", "$-2\r\n",
        "$99999999999999999999\r\n", ":99999999999999999999\r\n", "*-2\r\n"}) {
    RespReader reader;
    reader.feed(bytes);
    ASSERT_FALSE(reader.next().has_value()) << bytes;
    reader.feed("+OK\r\n");
    EXPECT_FALSE(reader.next().has_value()) << bytes;
  }
}

TEST(RespReader, RefusesDepthBeyondSeven) {
  RespReader reader;
  std::string nested;
  for (int i = 0; i < 7; ++i) nested += "*1\r\n";
  reader.feed(nested + ":1\r\n");
  EXPECT_TRUE(reader.next().value().has_value());
  reader.feed(nested + "*1\r\n*1\r\n:1\r\n");
  EXPECT_FALSE(reader.next().has_value());
}

TEST(RespReader, RefusesMoreElementsThanTheBoundBeforeTheyArrive) {
  for (const std::string_view bytes : {"*100001\r\n", "*2147483647\r\n", "*2147483648\r\n", "*9223372036854775807\r\n",
                                       "*2\r\n*99998\r\n", "*4294967295\r\n"}) {
    RespReader reader;
    reader.feed(bytes);
    if (bytes.starts_with("*2\r\n")) {  // 2 + 99,998 is just within
      EXPECT_TRUE(reader.next().has_value());
      continue;
    }
    EXPECT_FALSE(reader.next().has_value()) << bytes;
  }
  RespReader reader;
  reader.feed("*2\r\n*99999\r\n");
  EXPECT_FALSE(reader.next().has_value());
}

TEST(RespReader, CountsElementsOfEachReplyAnew) {
  RespReader reader;
  for (int i = 0; i < 3; ++i) {
    std::string bytes = "*60000\r\n";
    for (int j = 0; j < 60'000; ++j) bytes += ":1\r\n";
    reader.feed(bytes);
    EXPECT_EQ(reader.next().value().value().items.size(), 60'000u);
  }
}

TEST(RespReader, RefusesAReplyBeyondItsSizeWholeOrUnfinished) {
  RespReader whole{100};
  whole.feed("$90\r\n" + std::string(90, 'a') + "\r\n");
  EXPECT_TRUE(whole.next().value().has_value());
  whole.feed("$95\r\n" + std::string(95, 'a') + "\r\n");
  EXPECT_FALSE(whole.next().has_value());

  RespReader unfinished{100};
  unfinished.feed("$1000000\r\n" + std::string(80, 'a'));
  EXPECT_FALSE(unfinished.next().value().has_value());
  unfinished.feed(std::string(20, 'a'));
  EXPECT_FALSE(unfinished.next().has_value());

  RespReader in_parts{100};  // its parts are dropped from the buffer as they are read; they count all the same
  in_parts.feed("*50\r\n");
  bool refused = false;
  for (int i = 0; i < 50 && !refused; ++i) {
    in_parts.feed(":1\r\n");
    refused = !in_parts.next().has_value();
  }
  EXPECT_TRUE(refused);
}

TEST(RespReader, RefusesALineThatNeverEnds) {
  for (const char mark : {'+', '-', ':', '*', '$'}) {
    RespReader reader;
    reader.feed(std::string(1, mark));
    bool refused = false;
    for (int i = 0; i < 70 && !refused; ++i) {
      reader.feed(std::string(1024, '1'));
      refused = !reader.next().has_value();
    }
    EXPECT_TRUE(refused) << mark;
  }
}

TEST(RespReader, RefusesToPileUpUnreadReplies) {
  RespReader reader{1000};
  for (int i = 0; i < 1000; ++i) reader.feed("+OK\r\n");
  EXPECT_FALSE(reader.next().has_value());
}

TEST(RespReader, ReadsManySmallRepliesOfOneFeed) {
  RespReader reader{1000};
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += "+OK\r\n";
  reader.feed(bytes);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(reader.next().value().value().text, "OK");
  EXPECT_FALSE(reader.next().value().has_value());
}

TEST(RespReader, KeepsItsStateWhenMoved) {
  RespReader first;
  first.feed("*2\r\n:1\r\n");
  EXPECT_FALSE(first.next().value().has_value());
  RespReader second = std::move(first);
  second.feed(":2\r\n");
  EXPECT_EQ(second.next().value().value().items[1].integer, 2);
}

}  // namespace
}  // namespace gatehouse::ratelimit
