// Fuzzes the chunked coding. The first byte seeds how the rest is split. Beyond "no crash":
// - views lie inside the input, never more comes out than went in
// - in any pieces the same body, the same end and the same answer as at once
// - a body that is encoded and decoded again is the same
// - what is accepted, Boost.Beast accepts as well, with the same body and the same end
#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

#include "gateway/http/chunked.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::http;
using gatehouse::fuzz::require;
namespace beast = boost::beast::http;
using Status = ChunkedDecoder::Status;

namespace {

struct Decoded {
  Status status = Status::need_more;
  std::string body;
  std::size_t consumed = 0;
  bool operator==(const Decoded&) const = default;
};

/// Decodes `input`, of which `next_piece()` more bytes arrive each time.
template <typename NextPiece>
Decoded decode(std::string_view input, NextPiece next_piece) {
  ChunkedDecoder decoder(512);
  Decoded out;
  std::size_t arrived = 0;
  do {
    arrived += std::min<std::size_t>(next_piece(), input.size() - arrived);
    for (;;) {
      const std::string_view given = input.substr(out.consumed, arrived - out.consumed);
      const auto result = decoder.next(given);
      require(result.consumed <= given.size(), "no more is consumed than was given");
      require(result.data.empty() == (result.status != Status::data), "data comes with its status");
      if (!result.data.empty()) {
        require(result.data.data() >= given.data() &&
                    result.data.data() + result.data.size() == given.data() + result.consumed,
                "data lies at the end of what was consumed");
      }
      require(result.status != Status::need_more || result.consumed == given.size(),
              "all is consumed before more is needed");
      out.status = result.status;
      out.consumed += result.consumed;
      out.body.append(result.data);
      if (result.status != Status::data) break;
    }
  } while (out.status == Status::need_more && arrived < input.size());
  require(decoder.done() == (out.status == Status::done), "done() tells");
  require(out.body.size() <= out.consumed, "no more comes out than went in");
  if (out.status == Status::done || out.status == Status::malformed) {
    require(decoder.next("0\r\n\r\n").status == out.status, "the answer stays");
    require(decoder.next("0\r\n\r\n").consumed == 0, "nothing more is consumed");
  }
  return out;
}

void check_against_beast(std::string_view input, const Decoded& expected) {
  const std::string message = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(input);
  beast::parser<true, beast::string_body> parser;
  parser.eager(true);
  parser.body_limit(boost::none);
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  boost::system::error_code error;
  std::size_t used = 0;
  while (!parser.is_done()) {
    const std::size_t more = parser.put(boost::asio::buffer(message.data() + used, message.size() - used), error);
    used += more;
    if (error) std::fprintf(stderr, "Beast says: %s\n", error.message().c_str());
    require(!error && (more != 0 || parser.is_done()), "Beast accepts what we accept");
  }
  require(parser.get().body() == expected.body, "Beast sees the same body");
  require(used == message.size() - input.size() + expected.consumed, "Beast sees the same end");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::minstd_rand random(data[0]);
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);

  const Decoded whole = decode(input, [&] { return input.size(); });
  require(whole == decode(input, [] { return std::size_t{1}; }), "byte by byte gives the same");
  require(whole == decode(input, [&] { return std::size_t{random() % 17}; }), "in pieces gives the same");
  if (whole.status == Status::done) check_against_beast(input, whole);

  std::string encoded;
  for (std::size_t at = 0; at < whole.body.size();) {
    const std::size_t piece = std::min<std::size_t>(1 + random() % 300, whole.body.size() - at);
    char head[20];
    encoded.append(head, write_chunk_head(piece, head)).append(whole.body, at, piece).append("\r\n");
    at += piece;
  }
  encoded.append(last_chunk);
  require(decode(encoded, [&] { return encoded.size(); }) == Decoded{Status::done, whole.body, encoded.size()},
          "what is encoded is decoded to the same");
  return 0;
}
