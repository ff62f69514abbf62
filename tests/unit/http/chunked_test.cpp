// The chunked coding: what is decoded, what is refused, and that splits make no difference.
#include "gateway/http/chunked.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gatehouse::http {
namespace {

using namespace std::string_literals;
using Status = ChunkedDecoder::Status;

struct Decoded {
  Status status = Status::need_more;
  std::string body;
  std::size_t consumed = 0;
  bool operator==(const Decoded&) const = default;
};

/// Decodes `bytes` that arrive `piece` at a time.
Decoded decode(std::string_view bytes, std::size_t piece = std::string_view::npos,
               ChunkedDecoder decoder = ChunkedDecoder()) {
  Decoded out;
  std::size_t arrived = 0;
  while (arrived < bytes.size() && (out.status == Status::need_more || out.status == Status::data)) {
    arrived = piece < bytes.size() - arrived ? arrived + piece : bytes.size();
    do {
      const auto result = decoder.next(bytes.substr(out.consumed, arrived - out.consumed));
      out.status = result.status;
      out.consumed += result.consumed;
      out.body.append(result.data);
      EXPECT_EQ(result.data.empty(), result.status != Status::data);
      if (result.status == Status::need_more) {
        EXPECT_EQ(out.consumed, arrived);
      }
    } while (out.status == Status::data);
  }
  return out;
}

Decoded decoded(std::string body, std::size_t consumed) { return {Status::done, std::move(body), consumed}; }

TEST(ChunkedDecoderTest, DecodesChunks) {
  const std::string bytes = "5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n";
  EXPECT_EQ(decode(bytes), decoded("hello, world", bytes.size()));
}

TEST(ChunkedDecoderTest, LeavesTheNextMessageAlone) {
  const std::string bytes = "1\r\na\r\n0\r\n\r\n";
  EXPECT_EQ(decode(bytes + "GET / HTTP/1.1\r\n"), decoded("a", bytes.size()));
  ChunkedDecoder decoder;
  EXPECT_FALSE(decoder.done());
  EXPECT_EQ(decoder.next("0\r\n\r\nX").consumed, 5U);
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(decoder.next("X").consumed, 0U);
  EXPECT_EQ(decoder.next("X").status, Status::done);
}

TEST(ChunkedDecoderTest, HandsOutViewsIntoTheInput) {
  const std::string_view input = "5\r\nhello\r\n";
  ChunkedDecoder decoder;
  const auto result = decoder.next(input);
  EXPECT_EQ(result.data.data(), input.data() + 3);
  EXPECT_EQ(result.consumed, 8U);
}

TEST(ChunkedDecoderTest, TakesDataThatLooksLikeFraming) {
  const std::string bytes = "a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n";
  EXPECT_EQ(decode(bytes), decoded("0\r\n\r\n0\r\n\r\n", bytes.size()));
}

TEST(ChunkedDecoderTest, AcceptsWhatIsUnusualButLegal) {
  for (const std::string& bytes : {
           "0\r\n\r\n"s,
           "00000\r\n\r\n"s,
           "000000000000000\r\n\r\n"s,
           "0;a\r\n\r\n"s,
           "0;a=b\r\n\r\n"s,
           "0;a=\"b\"\r\n\r\n"s,
           "0;a=\"\"\r\n\r\n"s,
           "0;a=\"b\\\"c;\\\\\"\r\n\r\n"s,
           "0; a = b ; c\r\n\r\n"s,
           "0;a;b;c=d\r\n\r\n"s,
           "0;a=\"\t caf\xE9\"\r\n\r\n"s,
           "0;a=\"b\" ;c\r\n\r\n"s,
           "0\r\nX-Sum: abc\r\n\r\n"s,
           "0\r\nX:\r\nY: \t\r\n\r\n"s,
           "0\r\nContent-Length: 5\r\n\r\n"s,
       }) {
    EXPECT_EQ(decode(bytes), decoded("", bytes.size())) << testing::PrintToString(bytes);
  }
  EXPECT_EQ(decode("00a;x=y\r\n0123456789\r\n0\r\n\r\n").body, "0123456789");
  EXPECT_EQ(decode("A\r\n0123456789\r\n0\r\n\r\n").body, "0123456789");
}

TEST(ChunkedDecoderTest, RefusesWhatServersReadDifferently) {
  for (const std::string& bytes : {
           "\r\n"s,
           " 5\r\n"s,
           "\t5\r\n"s,
           "5 \r\n"s,
           "5\t\r\n"s,
           "+5\r\n"s,
           "-5\r\n"s,
           "0x5\r\n"s,
           "5h\r\n"s,
           "g\r\n"s,
           "5,6\r\n"s,
           "5.0\r\n"s,
           "\"5\"\r\n"s,
           "5_\r\n"s,
           "\0\r\n"s,
           "5\0\r\n"s,
           ";a\r\n"s,
           "5 ;a\r\n"s,
           // line ends
           "5\n"s,
           "5\rx"s,
           "5\r\r\n"s,
           "5;a\n"s,
           "5;a\rb\r\n"s,
           "5;a=\"b\r\n"s,
           "5;a=\"b\n"s,
           "5;a=\"b\\\r\n"s,
           // extensions off the grammar
           "5;\r\n"s,
           "5; \r\n"s,
           "5;;a\r\n"s,
           "5;=b\r\n"s,
           "5;a=\r\n"s,
           "5;a=;b\r\n"s,
           "5;a b\r\n"s,
           "5;a \r\n"s,
           "5;a=b c\r\n"s,
           "5;a=b \r\n"s,
           "5;a=\"b\"c\r\n"s,
           "5;a=\"b\" \r\n"s,
           "5;a=b\"c\"\r\n"s,
           "5;a\0\r\n"s,
           "5;a=\"\0\"\r\n"s,
           "5;a=\"\\\0\"\r\n"s,
           "5;a=\"\x7F\"\r\n"s,
           "5;\x80\r\n"s,
           // after the data
           "1\r\na0\r\n\r\n"s,
           "1\r\na\n0\r\n\r\n"s,
           "1\r\na\r0\r\n\r\n"s,
           "1\r\nab\r\n0\r\n\r\n"s,
           "1\r\na \r\n0\r\n\r\n"s,
           // the end and the trailers
           "0\r\n\n"s,
           "0\r\n\rx"s,
           "0\r\n\r\r\n"s,
           "0\n\n"s,
           "0\r\nX: y\n\r\n"s,
           "0\r\nX: y\rz\r\n\r\n"s,
           "0\r\n X: y\r\n\r\n"s,
           "0\r\nX : y\r\n\r\n"s,
           "0\r\nX\r\n\r\n"s,
           "0\r\n: y\r\n\r\n"s,
           "0\r\nX: \0\r\n\r\n"s,
           "0\r\nX: a\r\n b\r\n\r\n"s,
           "0\r\nGET / HTTP/1.1\r\n\r\n"s,
           "0\r\n\x80: y\r\n\r\n"s,
       }) {
    EXPECT_EQ(decode(bytes).status, Status::malformed) << testing::PrintToString(bytes);
    EXPECT_EQ(decode(bytes, 1).status, Status::malformed) << testing::PrintToString(bytes);
  }
}

TEST(ChunkedDecoderTest, StaysMalformed) {
  ChunkedDecoder decoder;
  EXPECT_EQ(decoder.next("x").status, Status::malformed);
  EXPECT_EQ(decoder.next("0\r\n\r\n").status, Status::malformed);
}

TEST(ChunkedDecoderTest, BoundsTheSize) {
  EXPECT_EQ(decode("FFFFFFFFFFFFFFF\r\n").status, Status::need_more);
  EXPECT_EQ(decode("FFFFFFFFFFFFFFFF\r\n").status, Status::malformed);
  EXPECT_EQ(decode("10000000000000000\r\n").status, Status::malformed);
  EXPECT_EQ(decode("0000000000000005\r\n").status, Status::malformed);
  EXPECT_EQ(decode(std::string(1'000'000, '0')).status, Status::malformed);
}

TEST(ChunkedDecoderTest, BoundsTheExtensionsOfAChunk) {
  const auto with = [](std::size_t bytes) { return "0;" + std::string(bytes - 2, 'a') + "\r\n\r\n"; };
  EXPECT_EQ(decode(with(ChunkedDecoder::max_extension_bytes)).status, Status::done);
  EXPECT_EQ(decode(with(ChunkedDecoder::max_extension_bytes + 1)).status, Status::malformed);
}

TEST(ChunkedDecoderTest, BoundsTheExtensionsOfABody) {
  const auto with = [](std::size_t chunks) {
    std::string bytes;
    for (std::size_t i = 0; i < chunks; ++i) bytes += "1;" + std::string(126, 'a') + "\r\nx\r\n";  // 128 with the CR
    return bytes + "0\r\n\r\n";
  };
  constexpr std::size_t most = ChunkedDecoder::max_extension_total / 128;
  EXPECT_EQ(decode(with(most)).status, Status::done);
  EXPECT_EQ(decode(with(most + 1)).status, Status::malformed);
}

TEST(ChunkedDecoderTest, BoundsTheTrailers) {
  const auto with = [](std::size_t bytes) { return "0\r\nX:" + std::string(bytes - 4, 'a') + "\r\n\r\n"; };
  EXPECT_EQ(decode(with(100), std::string_view::npos, ChunkedDecoder(100)).status, Status::done);
  EXPECT_EQ(decode(with(101), std::string_view::npos, ChunkedDecoder(100)).status, Status::malformed);
  EXPECT_EQ(decode(with(8 * 1024)).status, Status::done);
  EXPECT_EQ(decode(with(8 * 1024 + 1)).status, Status::malformed);
}

TEST(ChunkedDecoderTest, DecodesTheSameInPiecesOfAnySize) {
  const std::string bytes =
      "5;a=\"b;\\\"c\"\r\nhello\r\n00011\r\n0\r\n\r\n0123456789ab\r\n0;x\r\nX-A: b\r\nX-C:\r\n\r\n";
  const Decoded whole = decode(bytes);
  ASSERT_EQ(whole, decoded("hello0\r\n\r\n0123456789ab", bytes.size()));
  for (std::size_t piece = 1; piece < bytes.size(); ++piece) EXPECT_EQ(decode(bytes, piece), whole) << piece;
}

TEST(WriteChunkHead, WritesHexadecimal) {
  const auto head = [](std::size_t size) {
    char out[20];
    return std::string(out, write_chunk_head(size, out));
  };
  EXPECT_EQ(head(1), "1\r\n");
  EXPECT_EQ(head(15), "f\r\n");
  EXPECT_EQ(head(16), "10\r\n");
  EXPECT_EQ(head(0x1234), "1234\r\n");
  EXPECT_EQ(head(65536), "10000\r\n");
  EXPECT_EQ(head(~std::size_t{0}), "ffffffffffffffff\r\n");
}

TEST(ChunkedDecoderTest, CollectsTrailersIfAskedTo) {
  const std::string_view body = "1\r\nx\r\n0;a=b\r\nX-Sum: 1\r\nY:\r\n\r\nGET";
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, body.size()}) {
    ChunkedDecoder decoder;
    std::string lines;
    decoder.collect_trailers(lines);
    std::size_t at = 0;
    while (!decoder.done()) {
      const auto result = decoder.next(body.substr(at, step));
      ASSERT_NE(result.status, ChunkedDecoder::Status::malformed);
      at += result.consumed;
    }
    EXPECT_EQ(lines, "X-Sum: 1\r\nY:\r\n");
    EXPECT_EQ(body.substr(at), "GET");
  }
}

TEST(WriteChunkHead, IsReadBackByTheDecoder) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{9}, std::size_t{10}, std::size_t{255}, std::size_t{70'000}}) {
    char out[20];
    std::string bytes(out, write_chunk_head(size, out));
    bytes.append(size, 'x').append("\r\n").append(last_chunk);
    EXPECT_EQ(decode(bytes), decoded(std::string(size, 'x'), bytes.size()));
  }
}

}  // namespace
}  // namespace gatehouse::http
