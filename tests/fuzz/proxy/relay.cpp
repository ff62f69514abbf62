// Fuzzes the relay as a whole, but for its waiting: a client's bytes and an upstream's go through parser, validator, filters of
// headers, body readers and writers as gateway/proxy puts them together, and come out on the other sides. There a strict
// reader that shares no code with the gateway reads them, as it reads what went in:
// - the upstream gets whole requests, the last one perhaps cut, and each is what the reader finds in the client's bytes:
//   same method, same body, in the same order, without a control character, with one Host and one framing
// - the client gets whole answers, the last one perhaps cut, and each is what the reader finds in the upstream's bytes
// - an answer that breaks off inside never looks whole
// The first two bytes split the rest between client and upstream, the third one seeds how bytes arrive.
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gateway/filter/forwarded_headers.hpp"
#include "gateway/http/body_reader.hpp"
#include "gateway/http/h1_parser.hpp"
#include "gateway/proxy/answers.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse;
using gatehouse::fuzz::require;
using http::BodyKind;
using http::BodyReader;
using proxy::ClientFraming;

namespace {

// --- The strict reader

struct Message {
  std::string first;  // method or status
  std::string body;
  bool operator==(const Message&) const = default;
};

/// Messages at the start of some bytes, and how they end.
struct Reading {
  std::vector<Message> messages;
  enum class End { clean, cut, malformed } end = End::clean;
};

class Reader {
 public:
  /// methods: of the requests that these answers are to; empty for requests. closed: the sender has ended its side.
  Reader(std::string_view bytes, std::vector<std::string> methods, bool answers, bool written_by_us)
      : bytes_(bytes), methods_(std::move(methods)), answers_(answers), ours_(written_by_us) {}

  Reading read() {
    Reading out;
    if (!answers_ && !ours_ && bytes_.starts_with("\r\n")) bytes_.remove_prefix(2);  // RFC 9112 section 2.2
    while (!bytes_.empty() && !(answers_ && out.messages.size() == methods_.size())) {
      Message message;
      const std::string method = answers_ ? methods_[out.messages.size()] : "";
      const auto state = one(message, method);
      if (state == State::interim) continue;
      if (state != State::whole) {
        out.end = state == State::cut ? Reading::End::cut : Reading::End::malformed;
        return out;
      }
      out.messages.push_back(std::move(message));
      if (last_) return out;
      if (!answers_ && !ours_ && bytes_.starts_with("\r\n")) bytes_.remove_prefix(2);
    }
    return out;
  }

 private:
  enum class State { whole, cut, malformed, interim };

  std::optional<std::string_view> line() {
    const std::size_t end = bytes_.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view found = bytes_.substr(0, end);
    bytes_.remove_prefix(end + 2);
    return found;
  }

  static bool has_control(std::string_view text) {
    for (const unsigned char c : text)
      if ((c < 0x20 && c != '\t') || c == 0x7F) return true;
    return false;
  }

  static std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return out;
  }

  static std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
  }

  State one(Message& message, const std::string& method) {
    const auto start = line();
    if (!start) return State::cut;
    if (has_control(*start)) return State::malformed;
    bool old = false;
    if (answers_) {
      if (start->size() < 12 || !start->starts_with("HTTP/1.")) return State::malformed;
      old = (*start)[7] == '0';
      message.first = start->substr(9, 3);
    } else {
      const std::size_t blank = start->find(' ');
      const std::size_t last = start->rfind(' ');
      if (blank == 0 || blank == std::string_view::npos || last == blank) return State::malformed;
      if (start->substr(blank + 1, last - blank - 1).find(' ') != std::string_view::npos) return State::malformed;
      const std::string_view version = start->substr(last + 1);
      if (version != "HTTP/1.1" && (version != "HTTP/1.0" || ours_)) return State::malformed;
      old = version == "HTTP/1.0";
      message.first = start->substr(0, blank);
    }
    std::vector<std::string> lengths, codings, hosts;
    bool close = old;
    for (;;) {
      const auto field = line();
      if (!field) return State::cut;
      if (field->empty()) break;
      const std::size_t colon = field->find(':');
      if (colon == 0 || colon == std::string_view::npos || has_control(*field)) return State::malformed;
      const std::string name = lower(field->substr(0, colon));
      if (name.find_first_of(" \t") != std::string::npos) return State::malformed;
      const std::string value = lower(trimmed(field->substr(colon + 1)));
      if (name == "content-length") lengths.push_back(value);
      if (name == "transfer-encoding") codings.push_back(value);
      if (name == "host") hosts.push_back(value);
      if (name == "connection") {
        for (std::string_view rest = value; !rest.empty();) {
          const std::size_t comma = std::min(rest.find(','), rest.size());
          const std::string_view option = trimmed(rest.substr(0, comma));
          if (option == "close") close = true;
          if (option == "keep-alive" && !ours_) close = close && !old;
          rest.remove_prefix(std::min(comma + 1, rest.size()));
        }
      }
    }
    last_ = close;
    if (!answers_ && hosts.size() != 1 && !(old && hosts.empty())) return State::malformed;
    if (lengths.size() + codings.size() > 1) return State::malformed;
    if (!codings.empty() && (codings[0] != "chunked" || old)) return State::malformed;
    if (!lengths.empty() && (lengths[0].empty() || lengths[0].size() > 19 ||
                             lengths[0].find_first_not_of("0123456789") != std::string::npos))
      return State::malformed;
    const bool no_body =
        answers_ && (message.first[0] == '1' || message.first == "204" || message.first == "304" || method == "HEAD");
    if (answers_ && message.first[0] == '1') {
      if (message.first == "101" || (ours_ && lengths.size() + codings.size() != 0)) return State::malformed;
      return State::interim;
    }
    if (no_body) return State::whole;
    if (!codings.empty()) return chunks(message.body);
    if (!lengths.empty()) {
      const auto size = std::stoull(lengths[0]);
      if (bytes_.size() < size) return State::cut;
      message.body = bytes_.substr(0, size);
      bytes_.remove_prefix(size);
      return State::whole;
    }
    if (answers_) {  // until the end of the connection, which is where the bytes end
      message.body = bytes_;
      bytes_ = {};
      last_ = true;
    }
    return State::whole;
  }

  State chunks(std::string& body) {
    for (;;) {
      const auto size_line = line();
      if (!size_line) return State::cut;
      const std::size_t digits = std::min(size_line->find_first_not_of("0123456789abcdefABCDEF"), size_line->size());
      if (digits == 0 || digits > 16 || has_control(*size_line)) return State::malformed;
      if (digits != size_line->size() && (ours_ || (*size_line)[digits] != ';')) return State::malformed;
      const auto size = std::stoull(std::string(size_line->substr(0, digits)), nullptr, 16);
      if (size == 0) break;
      if (bytes_.size() < size) return State::cut;
      body += bytes_.substr(0, size);
      bytes_.remove_prefix(size);
      if (bytes_.size() < 2) return State::cut;
      if (!bytes_.starts_with("\r\n")) return State::malformed;
      bytes_.remove_prefix(2);
    }
    for (;;) {
      const auto field = line();
      if (!field) return State::cut;
      if (field->empty()) return State::whole;
      if (ours_ || has_control(*field)) return State::malformed;  // the gateway writes no trailers
    }
  }

  std::string_view bytes_;
  std::vector<std::string> methods_;
  bool answers_;
  bool ours_;
  bool last_ = false;
};

// --- The gateway, without sockets

/// Bytes that arrive in pieces.
class Source {
 public:
  Source(std::string_view bytes, unsigned seed) : bytes_(bytes), random_(seed) {}
  /// Puts the next piece into the room; false: the sender has ended.
  std::size_t arrive(std::span<char> room) {
    const std::size_t most = random_() % 3 == 0 ? 1 + random_() % 7 : 4096;
    const std::size_t size = std::min({most, room.size(), bytes_.size()});
    std::memcpy(room.data(), bytes_.data(), size);
    bytes_.remove_prefix(size);
    return size;
  }

 private:
  std::string_view bytes_;
  std::minstd_rand random_;
};

enum class Fate { whole, cut, malformed };

template <typename Head, typename Parse>
Fate read_head(Source& source, http::ReadBuffer& buffer, const http::HeadLimits& limits, Head& head, Parse parse) {
  std::size_t scanned = 0;
  for (;;) {
    if (!buffer.empty()) {
      const http::ParseResult result = parse(buffer.unread(), limits, scanned, head);
      if (result.status == http::ParseStatus::complete) {
        buffer.pin();
        buffer.consume(result.head_bytes);
        return Fate::whole;
      }
      if (result.status != http::ParseStatus::need_more) return Fate::malformed;
    }
    if (!buffer.make_room(limits.header_bytes + 1)) return Fate::malformed;
    const std::size_t got = source.arrive(buffer.room());
    if (got == 0) return Fate::cut;
    buffer.filled(got);
  }
}

Fate relay_body(Source& source, BodyReader& body, bool to_chunked, std::string& out) {
  for (;;) {
    const BodyReader::Result result = body.next();
    switch (result.status) {
      case BodyReader::Status::piece:
        if (to_chunked) {
          char size[20];
          out.append(size, http::write_chunk_head(result.data.size(), size)).append(result.data).append("\r\n");
        } else {
          out.append(result.data);
        }
        continue;
      case BodyReader::Status::end:
        if (to_chunked) out += http::last_chunk;
        body.finish();
        return Fate::whole;
      case BodyReader::Status::malformed: return Fate::malformed;
      case BodyReader::Status::truncated: return Fate::cut;
      case BodyReader::Status::need_read: break;
    }
    const std::size_t got = source.arrive(body.room());
    if (got == 0)
      body.closed();
    else
      body.filled(got);
  }
}

struct Relayed {
  std::string to_upstream, to_client;
  std::vector<std::string> methods;  // of the whole requests, in order
  bool answer_broke = false;  // the last answer stopped inside, after its head had gone out
  bool until_close = false;  // the last answer ends with the connection
};

/// One answer; false: the connection to the client ends.
bool relay_answer(Source& upstream, http::ReadBuffer& buffer, filter::Exchange& exchange, http::BodyBuffers& buffers,
                  Relayed& out) {
  http::HeadLimits limits;
  limits.header_count = 256;
  limits.underscores_allowed = true;
  for (int interim = 0;; ++interim) {
    exchange.response.fields.clear();
    if (interim == 16 ||
        read_head(upstream, buffer, limits, exchange.response, http::parse_response_head) != Fate::whole)
      return false;  // 502 in truth, which the strict reader need not see
    if (exchange.response.status >= 200) break;
    if (exchange.response.status == 101 || !http::response_framing(exchange.response, exchange.head.method))
      return false;
    if (exchange.response.status != 100 && exchange.head.minor_version == 1)
      proxy::append_interim_head(out.to_client, exchange.response);
    buffer.unpin();
  }
  const http::ResponseHead& head = exchange.response;
  const auto framing = http::response_framing(head, exchange.head.method);
  if (!framing) return false;
  BodyReader body;
  body.start(*framing, buffer, buffers);
  ClientFraming to_client = ClientFraming::none;
  if (framing->kind == BodyKind::length) to_client = ClientFraming::length;
  if (framing->kind == BodyKind::chunked || framing->kind == BodyKind::until_close)
    to_client = exchange.head.minor_version == 0 ? ClientFraming::until_close : ClientFraming::chunked;
  const bool close =
      to_client == ClientFraming::until_close || http::wants_close(exchange.head.fields, exchange.head.minor_version);
  proxy::append_client_head(out.to_client, exchange, to_client, framing->length, close);
  const Fate fate = relay_body(upstream, body, to_client == ClientFraming::chunked, out.to_client);
  out.until_close = to_client == ClientFraming::until_close;
  out.answer_broke = fate != Fate::whole;
  if (fate != Fate::whole) return false;
  const bool reusable = framing->kind != BodyKind::until_close && !body.has_excess() &&
                        !http::wants_close(head.fields, head.minor_version);
  body.release();
  buffer.unpin();
  return !close && reusable && buffer.empty();
}

Relayed relay(std::string_view client_bytes, std::string_view upstream_bytes, unsigned seed,
              filter::WorkerContext& worker) {
  Relayed out;
  Source client(client_bytes, seed);
  Source upstream(upstream_bytes, seed + 1);
  http::ReadBuffer from_client, from_upstream;
  http::BodyBuffers buffers(1 << 20);
  filter::Exchange exchange(worker);
  bool answering = true;
  for (;;) {
    if (read_head(client, from_client, {}, exchange.head, http::parse_request_head) != Fate::whole) break;
    const auto framing = http::request_framing(exchange.head);
    if (!framing || !http::request_target(exchange.head, exchange.target)) break;
    exchange.request_id = "0123456789abcdef";
    exchange.client_text = "192.0.2.1";
    (void)filter::forwarded_headers_on_request(exchange);
    exchange.wants_websocket = false;
    std::string head;
    proxy::append_upstream_head(head, exchange, framing->kind, framing->length);
    out.to_upstream += head;
    BodyReader body;
    body.start(*framing, from_client, buffers);
    if (relay_body(client, body, framing->kind == BodyKind::chunked, out.to_upstream) != Fate::whole) break;
    std::string again;
    proxy::append_upstream_head(again, exchange, framing->kind, framing->length);
    require(again == head, "a request's head stays what it was, whatever comes behind its body");
    out.methods.emplace_back(exchange.head.method_name);
    const bool close = http::wants_close(exchange.head.fields, exchange.head.minor_version);
    // What the answers would be to is known by then; after the first that ends the connection there are no more.
    if (answering) answering = relay_answer(upstream, from_upstream, exchange, buffers, out);
    exchange.reset();
    from_client.unpin();
    body.give_back();
    if (close || !answering) break;
  }
  return out;
}

bool starts_with(const std::vector<Message>& whole, const std::vector<Message>& start) {
  return start.size() <= whole.size() && std::equal(start.begin(), start.end(), whole.begin());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  static runtime::Loop loop;
  static runtime::Metrics metrics(1);
  static ratelimit::MemoryStore store(16);
  static upstream::ConnectionBudget budget(1);
  static filter::WorkerContext worker(0, loop, metrics, store, budget);
  const std::string_view input(reinterpret_cast<const char*>(data) + 3, size - 3);
  const std::size_t split = (data[0] << 8U | data[1]) % (input.size() + 1);
  const std::string_view client = input.substr(0, split);
  const std::string_view upstream = input.substr(split);

  const Relayed out = relay(client, upstream, data[2], worker);

  const Reading sent = Reader(client, {}, false, false).read();
  const Reading got = Reader(out.to_upstream, {}, false, true).read();
  require(got.end != Reading::End::malformed, "the upstream can read what it gets");
  require(got.messages.size() == out.methods.size(), "the upstream finds as many whole requests as were relayed whole");
  require(starts_with(sent.messages, got.messages), "the upstream gets the client's requests");

  const Reading answered = Reader(upstream, out.methods, true, false).read();
  const Reading seen = Reader(out.to_client, out.methods, true, true).read();
  require(seen.end != Reading::End::malformed, "the client can read what it gets");
  // One that would end with a connection that is reset instead is not whole.
  const std::size_t whole = seen.messages.size() - (out.answer_broke && out.until_close ? 1 : 0);
  require(starts_with(answered.messages, {seen.messages.begin(), seen.messages.begin() + static_cast<long>(whole)}),
          "the client gets the upstream's answers");
  require(!out.answer_broke || out.until_close || seen.end == Reading::End::cut, "an answer that broke off looks cut");
  return 0;
}
