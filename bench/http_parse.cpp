// Measures what the protocol code costs a request: the head's parser alone, and with all that follows it before
// routing. Run by hand: bench_http_parse [ROUNDS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/http/chunked.hpp"
#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"

using namespace gatehouse::http;

namespace {

// Twelve fields as a browser sends them, about 600 bytes.
constexpr std::string_view browser_head =
    "GET /shop/items/overview?id=4711&sort=price HTTP/1.1\r\n"
    "Host: shop.example.de\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Referer: https://shop.example.de/shop/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; consent=1; lang=de\r\n"
    "\r\n";

constexpr std::string_view api_head =
    "GET /api/status HTTP/1.1\r\n"
    "Host: api.example.de\r\n"
    "User-Agent: curl/8.5.0\r\n"
    "Accept: */*\r\n"
    "\r\n";

constexpr std::string_view response_head =
    "HTTP/1.1 200 OK\r\n"
    "Date: Mon, 24 Nov 2025 10:00:00 GMT\r\n"
    "Server: upstream\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: 1024\r\n"
    "Cache-Control: no-store\r\n"
    "Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly; Secure\r\n"
    "\r\n";

[[noreturn]] void fail(const char* what) {
  fmt::print(stderr, "bench_http_parse: {}\n", what);
  std::exit(1);
}

/// The best of many short runs: what else the machine does only ever adds.
template <typename Work>
void measure(std::string_view name, std::size_t bytes, std::size_t rounds, Work work) {
  using Nanoseconds = std::chrono::duration<double, std::nano>;
  Nanoseconds best = Nanoseconds::max();
  for (int run = 0; run < 50; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < rounds; ++i) work();
    best = std::min<Nanoseconds>(best, (std::chrono::steady_clock::now() - start) / static_cast<double>(rounds));
  }
  fmt::print("{:<44} {:>6} bytes {:>9.1f} ns {:>8.2f} GB/s\n", name, bytes, best.count(),
             static_cast<double>(bytes) / best.count());
}

void measure_request(std::string_view name, std::string_view bytes, std::size_t rounds) {
  RequestHead head;
  RequestTarget target;
  std::size_t scanned = 0;
  const HeadLimits limits;
  measure(fmt::format("{}: parse", name), bytes.size(), rounds, [&] {
    if (parse_request_head(bytes, limits, scanned, head).status != ParseStatus::complete) fail("a head is refused");
  });
  measure(fmt::format("{}: parse, framing, target", name), bytes.size(), rounds, [&] {
    if (parse_request_head(bytes, limits, scanned, head).status != ParseStatus::complete) fail("a head is refused");
    if (!request_framing(head) || !request_target(head, target)) fail("a request is refused");
  });
  measure(fmt::format("{}: the same, and hop-by-hop", name), bytes.size(), rounds, [&] {
    if (parse_request_head(bytes, limits, scanned, head).status != ParseStatus::complete) fail("a head is refused");
    if (!request_framing(head) || !request_target(head, target)) fail("a request is refused");
    std::size_t kept = 0;
    for (const Field& field : head.fields.all()) kept += is_hop_by_hop(field, head.fields) ? 0 : 1;
    if (kept == 0) fail("no field is left");
  });
}

void measure_response(std::string_view bytes, std::size_t rounds) {
  ResponseHead head;
  std::size_t scanned = 0;
  const HeadLimits limits;
  measure("response: parse, framing", bytes.size(), rounds, [&] {
    if (parse_response_head(bytes, limits, scanned, head).status != ParseStatus::complete) fail("a head is refused");
    if (!response_framing(head, Method::get)) fail("a response is refused");
  });
}

void measure_chunks(std::size_t chunk, std::size_t chunks, std::size_t rounds) {
  std::string body;
  for (std::size_t i = 0; i < chunks; ++i) {
    char head[20];
    body.append(head, write_chunk_head(chunk, head)).append(chunk, 'x').append("\r\n");
  }
  body.append(last_chunk);
  measure(fmt::format("{} chunks of {} bytes: decode", chunks, chunk), body.size(), rounds, [&] {
    ChunkedDecoder decoder;
    std::string_view rest = body;
    std::size_t received = 0;
    for (;;) {
      const auto result = decoder.next(rest);
      rest.remove_prefix(result.consumed);
      received += result.data.size();
      if (result.status == ChunkedDecoder::Status::done) break;
      if (result.status != ChunkedDecoder::Status::data) fail("a chunk is refused");
    }
    if (received != chunk * chunks) fail("a body is lost");
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rounds = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20'000;
  measure_request("browser", browser_head, rounds);
  measure_request("api", api_head, rounds);
  measure_response(response_head, rounds);
  measure_chunks(16, 64, rounds / 20 + 1);
  measure_chunks(4096, 16, rounds / 20 + 1);
  return 0;
}
