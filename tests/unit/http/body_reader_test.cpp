// Bodies out of a stream's bytes.
#include "gateway/http/body_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace gatehouse::http {
namespace {

void put(ReadBuffer& buffer, std::string_view bytes) {
  buffer.make_room(buffer.unread().size() + bytes.size() + 1);
  std::memcpy(buffer.room().data(), bytes.data(), bytes.size());
  buffer.filled(bytes.size());
}

// Reads a body whose first bytes came with the head and the rest in pieces of `step` bytes; "!" at the end: malformed, "?": truncated.
std::string read_all(BodyFraming framing, std::string_view with_head, std::string_view rest, std::size_t step,
                     ReadBuffer& head) {
  put(head, with_head);
  BodyBuffers buffers(1024 * 1024);
  BodyReader reader;
  reader.start(framing, head, buffers);
  std::string body;
  for (;;) {
    const BodyReader::Result result = reader.next();
    switch (result.status) {
      case BodyReader::Status::piece: body += result.data; continue;
      case BodyReader::Status::end: reader.give_back(); return body;
      case BodyReader::Status::malformed: return body + "!";
      case BodyReader::Status::truncated: return body + "?";
      case BodyReader::Status::need_read: break;
    }
    const std::span<char> room = reader.room();
    const std::size_t size = std::min({room.size(), rest.size(), step});
    if (size == 0) {
      reader.closed();
      continue;
    }
    std::memcpy(room.data(), rest.data(), size);
    reader.filled(size);
    rest.remove_prefix(size);
  }
}

TEST(BodyReader, TakesALengthFromBothBuffersAndLeavesTheNextMessage) {
  for (const std::size_t step : {1, 3, 100}) {
    ReadBuffer head;
    EXPECT_EQ(read_all({BodyKind::length, 10}, "01234", "56789", step, head), "0123456789");
    EXPECT_TRUE(head.empty());
  }
  ReadBuffer head;
  EXPECT_EQ(read_all({BodyKind::length, 3}, "abcGET /", "", 1, head), "abc");
  EXPECT_EQ(head.unread(), "GET /");
}

TEST(BodyReader, NeverReadsBeyondALength) {
  ReadBuffer head;
  BodyBuffers buffers(1024 * 1024);
  BodyReader reader;
  reader.start({BodyKind::length, 7}, head, buffers);
  ASSERT_EQ(reader.next().status, BodyReader::Status::need_read);
  EXPECT_EQ(reader.room().size(), 7U);
}

TEST(BodyReader, GivesBackWhatCameBehindTheLastChunk) {
  for (const std::size_t step : {1, 2, 7, 100}) {
    ReadBuffer head;
    const std::string rest = "\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: dropped\r\n\r\nGET /next";
    EXPECT_EQ(read_all({BodyKind::chunked, 0}, "5", rest, step, head), "helloabc") << step;
    // What had been read by then is there again; the rest is still in the socket.
    EXPECT_TRUE(std::string_view("GET /next").starts_with(head.unread())) << head.unread();
  }
  ReadBuffer head;
  EXPECT_EQ(read_all({BodyKind::chunked, 0}, "", "1\r\na\r\n0\r\n\r\nGET /next", 1000, head), "a");
  EXPECT_EQ(head.unread(), "GET /next");
}

TEST(BodyReader, TellsAMalformedChunk) {
  ReadBuffer head;
  EXPECT_EQ(read_all({BodyKind::chunked, 0}, "", "2\r\nabX\r\n", 100, head), "ab!");
}

TEST(BodyReader, TellsATruncatedBody) {
  ReadBuffer first;
  EXPECT_EQ(read_all({BodyKind::length, 10}, "abc", "de", 2, first), "abcde?");
  ReadBuffer second;
  EXPECT_EQ(read_all({BodyKind::chunked, 0}, "", "5\r\nabc", 2, second), "abc?");
}

TEST(BodyReader, EndsWithTheConnectionWhenThatIsTheFraming) {
  ReadBuffer head;
  EXPECT_EQ(read_all({BodyKind::until_close, 0}, "abc", "def", 2, head), "abcdef");
}

TEST(BodyReader, HasNothingForNoneAndForZeroLength) {
  ReadBuffer first;
  EXPECT_EQ(read_all({BodyKind::none, 0}, "GET /", "", 1, first), "");
  EXPECT_EQ(first.unread(), "GET /");
  ReadBuffer second;
  EXPECT_EQ(read_all({BodyKind::length, 0}, "GET /", "", 1, second), "");
  EXPECT_EQ(second.unread(), "GET /");
}

TEST(BodyReader, KeepsPiecesInPlaceUntilTheNextRead) {
  ReadBuffer head;
  put(head, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
  BodyBuffers buffers(1024 * 1024);
  BodyReader reader;
  reader.start({BodyKind::chunked, 0}, head, buffers);
  const std::string_view first = reader.next().data;
  const std::string_view second = reader.next().data;
  EXPECT_EQ(reader.next().status, BodyReader::Status::end);
  EXPECT_EQ(first, "abc");
  EXPECT_EQ(second, "def");
  EXPECT_EQ(reader.received(), 6U);
}

TEST(BodyReader, ReadsInSmallStepsWhereLargeBuffersAreSpent) {
  BodyBuffers buffers(100'000);
  constexpr std::size_t small = 16 * 1024;
  ReadBuffer heads[3];
  BodyReader first;
  BodyReader second;
  first.start({BodyKind::length, 1'000'000}, heads[0], buffers);
  second.start({BodyKind::length, 1'000'000}, heads[1], buffers);
  const std::size_t large = first.room().size();
  EXPECT_GT(large, 2 * small);
  EXPECT_EQ(buffers.bytes(), large);
  EXPECT_EQ(second.room().size(), small);
  EXPECT_EQ(buffers.bytes(), large + small);
  first.release_if_empty();
  EXPECT_EQ(buffers.bytes(), small);
  EXPECT_EQ(second.room().size(), large) << "there is room again";
  {
    BodyReader third;
    third.start({BodyKind::length, 1'000'000}, heads[2], buffers);
    EXPECT_EQ(third.room().size(), small);
    third.filled(5);
    EXPECT_EQ(third.next().data.size(), 5U);
    third.release_if_empty();
    EXPECT_EQ(buffers.bytes(), large + small) << "bytes that are not used up stay";
  }
  EXPECT_EQ(buffers.bytes(), large);
  second.release();
  EXPECT_EQ(buffers.bytes(), 0U);
}

TEST(ReadBuffer, KeepsAPinnedHeadInPlace) {
  ReadBuffer buffer;
  put(buffer, "HEADbody");
  const std::string_view head = buffer.unread().substr(0, 4);
  buffer.pin();
  buffer.consume(8);
  EXPECT_EQ(head, "HEAD");
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(head.data() + 8, buffer.unread().data());
  buffer.unpin();
  buffer.release_if_empty();
  EXPECT_EQ(buffer.capacity(), 0U);
}

// The head is in use until the message is served: what was read beyond the body must not come to stand where it is.
TEST(BodyReader, KeepsTheExcessApartUntilItIsAskedFor) {
  ReadBuffer head;
  put(head, "POST / HTTP/1.1\r\n\r\n");
  const std::string_view line = head.unread().substr(0, 15);
  head.pin();
  head.consume(head.unread().size());
  BodyBuffers buffers(1024 * 1024);
  BodyReader reader;
  reader.start({BodyKind::chunked, 0}, head, buffers);
  EXPECT_FALSE(reader.has_excess());
  ASSERT_EQ(reader.next().status, BodyReader::Status::need_read);
  const std::string_view bytes = "3\r\nabc\r\n0\r\n\r\nGET /second HTTP/1.1\r\n";
  std::ranges::copy(bytes, reader.room().begin());
  reader.filled(bytes.size());
  EXPECT_EQ(reader.next().data, "abc");
  EXPECT_FALSE(reader.has_excess()) << "the end is not known yet";
  EXPECT_EQ(reader.next().status, BodyReader::Status::end);
  EXPECT_TRUE(reader.has_excess());
  reader.finish();
  EXPECT_TRUE(reader.has_excess());
  EXPECT_TRUE(head.empty());
  EXPECT_EQ(line, "POST / HTTP/1.1");
  head.unpin();
  reader.give_back();
  EXPECT_FALSE(reader.has_excess());
  EXPECT_EQ(head.unread(), "GET /second HTTP/1.1\r\n");
  EXPECT_EQ(buffers.bytes(), 0U);
}

}  // namespace
}  // namespace gatehouse::http
