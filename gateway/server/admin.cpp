// The admin endpoints; see admin.hpp.
#include "gateway/server/admin.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/proxy/answers.hpp"
#include "gateway/server/admin_commands.hpp"
#include "gateway/server/page.hpp"
#include "gateway/server/server.hpp"

namespace gatehouse::server {

using runtime::Errc;
using runtime::Task;

namespace {
constexpr std::size_t max_connections = 64;
constexpr std::size_t head_bytes = 8 * 1024;
constexpr std::size_t body_bytes = 256 * 1024;
constexpr auto patience = std::chrono::seconds(10);

/// Whether Host is an address or localhost: a name of somebody else's that leads here must not give orders.
bool names_an_address(const http::RequestHead& head) {
  const auto target = http::request_target(head);
  if (!target) return false;
  std::string_view host = target->host;
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host == "localhost" || IpAddress::parse(host).has_value();
}

/// The whole body, whose beginning has come with the head. False: too long, or it does not come.
Task<bool> read_body(net::Stream& stream, http::BodyFraming framing, std::string_view begun, std::string& body) {
  if (framing.kind == http::BodyKind::none) co_return true;
  if (framing.kind != http::BodyKind::length || framing.length > body_bytes) co_return false;
  body.resize(static_cast<std::size_t>(framing.length));
  std::size_t size = std::min(begun.size(), body.size());
  begun.copy(body.data(), size);
  while (size < body.size()) {
    const auto got = co_await stream.read(std::span<char>(body).subspan(size));
    if (!got) co_return false;
    size += *got;
  }
  co_return true;
}

}  // namespace

void Admin::listen(const SocketAddress& address, bool everything) {
  const auto fd = net::open_listener(address, net::Sharing::alone);
  if (!fd) throw std::runtime_error(fd.error());
  auto& door = *doors_.emplace_back(std::make_unique<Door>());
  door.everything = everything;
  door.listener = std::make_unique<net::Listener>(
      loop_, *fd, [this, &door](int client, const SocketAddress&) { loop_.spawn(serve(client, door)); },
      net::Listener::Descriptors::may_use_spare);
  door.listener->start();
}

void Admin::close() {
  for (const auto& door : doors_) door->listener.reset();
}

// A connection in its door's books.
struct Admin::Visitor {
  Visitor(Door& at, net::Stream& own) : door(at), stream(own) {
    // A newcomer has a request to make, as a rule; who has waited for the longest has not.
    if (door.open >= max_connections && !door.waiting.empty()) door.waiting.front()->is_sent_away();
    ++door.open;
  }
  ~Visitor() {
    stops_waiting();
    if (counts) --door.open;
  }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  void waits() { place = door.waiting.insert(door.waiting.end(), this); }
  void stops_waiting() noexcept {
    if (place != door.waiting.end()) door.waiting.erase(place);
    place = door.waiting.end();
  }
  // It goes in a later turn, and makes room at once: newcomers of one turn send away as many.
  void is_sent_away() noexcept {
    stops_waiting();
    counts = false;
    --door.open;
    stream.cancel(Errc::cancelled);
  }
  Door& door;
  net::Stream& stream;
  bool counts = true;
  std::list<Visitor*>::iterator place = door.waiting.end();
};

Task<void> Admin::serve(int fd, Door& door) {
  net::Stream stream(loop_);
  if (!stream.adopt(fd)) co_return;
  Visitor visitor(door, stream);
  std::string bytes(head_bytes, '\0');
  std::size_t size = 0;
  for (bool again = true; again;) {
    again = false;
    std::size_t scanned = 0;
    http::RequestHead head;
    http::ParseResult parsed;
    stream.expires_after(patience);
    visitor.waits();
    for (;;) {
      parsed = http::parse_request_head(std::string_view(bytes).substr(0, size), {.header_bytes = head_bytes}, scanned,
                                        head);
      if (parsed.status != http::ParseStatus::need_more || size == bytes.size()) break;
      const auto got = co_await stream.read(std::span<char>(bytes).subspan(size));
      if (!got) break;
      size += *got;
    }
    visitor.stops_waiting();
    if (size == 0) break;
    int status = 400;
    std::string type = "text/plain; charset=utf-8";
    std::string body = "malformed request\n";
    // As strict as the gateway itself: what two programs could read differently is refused.
    const bool complete = parsed.status == http::ParseStatus::complete;
    const auto framing = complete ? http::request_framing(head) : std::unexpected(http::Refusal::target_malformed);
    if (const auto asked = http::request_target(head); framing && asked) {
      const std::string_view path = asked->path;
      status = 200;
      if (head.method == http::Method::post && door.everything && path.starts_with("/certificates/")) {
        AdminAnswer answer = {403,
                              "a command needs the header gatehouse-command, and this machine's address as host\n"};
        // No web page that an operator looks at can send that without asking first, which nobody answers.
        if (head.fields.find("gatehouse-command") != nullptr && names_an_address(head)) {
          std::string content;
          const std::string target(head.target);
          answer = {413, "a command's body has a length, of at most 256 KiB\n"};
          if (co_await read_body(stream, *framing,
                                 std::string_view(bytes).substr(parsed.head_bytes, size - parsed.head_bytes), content))
            answer = co_await run_admin_command(server_.certificates(), target, std::move(content));
        }
        status = answer.status;
        body = std::move(answer.body);
      } else if (head.method != http::Method::get && head.method != http::Method::head) {
        status = 405;
        body = "GET only\n";
      } else if (path == "/healthz") {
        body = "ok\n";
      } else if (path == "/readyz") {
        status = server_.ready() ? 200 : 503;
        body = server_.ready() ? "ready\n" : "not ready\n";
      } else if (path == "/metrics") {
        type = "text/plain; version=0.0.4; charset=utf-8";
        body = server_.metrics_text();
      } else if (door.everything && path == "/status") {
        type = "application/json";
        body = server_.status_json();
      } else if (door.everything && path == "/certificates") {
        body = certificate_list(server_.certificates());
      } else if (door.everything && path == "/") {
        type = "text/html; charset=utf-8";
        body = status_page();
      } else {
        status = 404;
        body = "no such page\n";
      }
      again = framing->kind == http::BodyKind::none && head.method != http::Method::post &&
              !http::wants_close(head.fields, head.minor_version);
    }
    std::string answer = fmt::format("HTTP/1.1 {} {}\r\ndate: ", status,
                                     status == 405 ? "Method Not Allowed" : proxy::status_text(status));
    answer += proxy::http_date();
    answer += fmt::format(
        "\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        "content-security-policy: default-src 'self' 'unsafe-inline'; frame-ancestors 'none'\r\n{}{}\r\n",
        type, body.size(), status == 405 ? "allow: GET, HEAD\r\n" : "", again ? "" : "connection: close\r\n");
    if (head.method != http::Method::head) answer += body;
    const Errc error = co_await stream.write(answer);
    if (error != Errc::ok) break;
    bytes.erase(0, parsed.head_bytes);
    bytes.resize(head_bytes);
    size -= std::min(size, parsed.head_bytes);
  }
  stream.close();
}

}  // namespace gatehouse::server
