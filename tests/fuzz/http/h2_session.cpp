// Fuzzes the HTTP/2 session: the guard, nghttp2 and the head builder, with a server behind them that answers. The first
// byte says how the server behaves, the second in which pieces the rest arrives; the rest follows the client's preface,
// unless the first byte's top bit says that it begins with it. Beyond "no crash":
// - the same bytes in other pieces yield the same requests
// - a head that is served, written down as HTTP/1.1, is read by the strict parser as the same head
// - bodies add up to their Content-Length, and what is buffered is given back
// - what is written are whole frames of legal sizes
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/h2_session.hpp"
#include "gateway/http/validate.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::http;
using gatehouse::fuzz::require;

namespace {

// The head as a careful client of HTTP/1.1 writes it.
std::string as_http1(const RequestHead& head) {
  std::string text(head.method_name);
  text.append(" ").append(head.target).append(" HTTP/1.1\r\n");
  for (const Field& field : head.fields.all()) text.append(field.name).append(": ").append(field.value).append("\r\n");
  return text + "\r\n";
}

void check_head(const RequestHead& head, const H2Limits& limits) {
  const std::string text = as_http1(head);
  HeadLimits bounds;
  bounds.header_bytes = 4 * limits.header_bytes;  // separators are counted here
  bounds.target_bytes = limits.target_bytes;
  bounds.header_count = limits.header_count + 8;
  RequestHead again;
  std::size_t scanned = 0;
  const ParseResult result = parse_request_head(text, bounds, scanned, again);
  require(result.status == ParseStatus::complete && result.head_bytes == text.size(), "HTTP/1.1 reads the same head");
  require(again.method_name == head.method_name && again.target == head.target, "the same method and target");
  require(std::ranges::equal(
              again.fields.all(), head.fields.all(),
              [](const Field& a, const Field& b) { return a.name == b.name && a.value == b.value && a.id == b.id; }),
          "the same fields");
  require(!head.fields.has(FieldId::transfer_encoding) && !head.fields.repeated(FieldId::host),
          "one framing, one host");
}

class Server final : public H2Owner {
 public:
  explicit Server(unsigned manners) : manners_(manners) {
    limits_.header_bytes = 4096;
    limits_.streams = 8;
    session_ = std::make_unique<H2Session>(limits_, "https", buffers_, *this);
  }
  ~Server() {
    for (auto& each : served_) session_->release(each->stream);
    session_.reset();
    require(buffers_.bytes() == 0, "all that was buffered is given back");
  }

  H2Stream* open_stream() override {
    if (served_.size() >= 64) return nullptr;
    served_.push_back(std::make_unique<Served>());
    Served& each = *served_.back();
    each.stream.server = &each;
    each.stream.head = &each.head;
    each.stream.websocket_key = "a2V5";
    return &each.stream;
  }

  void give(std::string_view bytes) {
    session_->receive(bytes, now_);
    serve();
    write();
    now_ += std::chrono::milliseconds(1);
  }

  std::string log;  // what was asked, in order

 private:
  struct Served {
    H2Stream stream;
    RequestHead head;
    std::string answer;
    std::uint64_t body = 0;
    bool done = false;
  };

  void serve() {
    auto& events = session_->events();
    for (std::size_t i = 0; i < events.size(); ++i) {
      if (events[i].stream == nullptr) continue;
      Served& each = *static_cast<Served*>(events[i].stream->server);
      switch (events[i].kind) {
        case H2Event::Kind::request: begin(each); break;
        case H2Event::Kind::body: take(each); break;
        default: break;
      }
    }
    events.clear();
  }

  void begin(Served& each) {
    if (each.stream.fault != H2HeadFault::none) {
      log += "fault " + std::to_string(static_cast<int>(each.stream.fault)) + "\n";
      if (each.stream.fault != H2HeadFault::malformed) session_->submit_answer(each.stream, 400, {}, false);
      return;
    }
    check_head(each.head, limits_);
    log += as_http1(each.head);
    H2Fields fields;
    fields.add("X-Answer", "yes");
    each.answer.assign(1000 * (each.stream.id % 50), 'a');
    if ((manners_ & 1) != 0) session_->submit_interim(each.stream, 103, fields);
    if ((manners_ & 2) != 0) each.stream.trailers = "X-Sum: 1\r\n";
    const bool has_body = !each.answer.empty() || !each.stream.trailers.empty();
    session_->submit_answer(each.stream, 200, fields, has_body);
    const std::string_view piece = each.answer;
    if (has_body) session_->write(each.stream, {&piece, 1}, true);
    if ((manners_ & 4) != 0 && each.stream.id % 3 == 0) session_->reset(each.stream, H2Error::cancel);
  }

  void take(Served& each) {
    each.body += each.stream.incoming.size();
    if (!each.stream.incoming.empty() && (manners_ & 8) == 0) {
      const std::size_t size = each.stream.incoming.size();
      each.stream.incoming.clear();
      session_->consume(each.stream, size);
    }
    if (each.stream.request_ended && each.stream.announced >= 0 && !each.stream.malformed)
      require(each.stream.received == static_cast<std::uint64_t>(each.stream.announced),
              "a body is as long as announced");
  }

  void write() {
    std::string out;
    session_->fill(out, 20'000, now_);
    session_->events().clear();
    std::string_view rest = out;
    while (!rest.empty()) {
      require(rest.size() >= H2FrameHead::size, "whole frames");
      const H2FrameHead head = H2FrameHead::parse(reinterpret_cast<const unsigned char*>(rest.data()));
      require(head.length <= 16384 && rest.size() >= H2FrameHead::size + head.length, "frames of legal sizes");
      rest.remove_prefix(H2FrameHead::size + head.length);
    }
  }

  unsigned manners_;
  H2Limits limits_;
  BodyBuffers buffers_{32 * 1024 * 1024};
  std::vector<std::unique_ptr<Served>> served_;
  std::unique_ptr<H2Session> session_;
  gatehouse::runtime::TimePoint now_ = gatehouse::runtime::TimePoint() + std::chrono::hours(1);
};

std::string run(unsigned manners, std::string_view bytes, std::size_t step) {
  Server server(manners);
  if ((manners & 0x80) == 0) server.give("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  while (!bytes.empty()) {
    server.give(bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  return server.log;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 64 * 1024) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string at_once = run(data[0], bytes, bytes.size() + 1);
  const std::string in_pieces = run(data[0], bytes, 1 + data[1]);
  // What is written in between may end streams and open windows earlier, so only what was asked is compared, and only
  // where nothing was refused on account of it.
  const std::size_t common = std::min(at_once.size(), in_pieces.size());
  require(at_once.compare(0, common, in_pieces, 0, common) == 0, "other pieces, the same requests");
  return 0;
}
