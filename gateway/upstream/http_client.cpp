// The gateway's own HTTP client; see http_client.hpp.
#include "gateway/upstream/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "gateway/http/body_reader.hpp"
#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"
#include "gateway/runtime/event.hpp"
#include "gateway/upstream/name_lookup.hpp"

namespace gatehouse::upstream {

namespace {

using runtime::Errc;
using runtime::Task;

constexpr std::size_t most_addresses = 4;  // of one name, tried one after the other
constexpr std::size_t most_head_bytes = 64 * 1024;
constexpr std::size_t most_informational = 8;  // 1xx answers before the final one

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return result;
}

}  // namespace

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  if (text.starts_with("https://")) {
    url.is_tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  if (std::ranges::any_of(text, [](char c) { return c <= 0x20 || c >= 0x7f || c == '#'; })) return std::nullopt;
  const std::size_t end = text.find_first_of("/?");
  const std::string_view authority = text.substr(0, end);
  url.target = end == std::string_view::npos ? "/" : text.substr(end);
  if (url.target.front() == '?') url.target.insert(0, "/");
  std::uint16_t port = 0;
  if (!http::parse_host(authority, url.host, port) || url.host.empty()) return std::nullopt;
  if (url.host.starts_with('[')) url.host = url.host.substr(1, url.host.size() - 2);
  url.port = port != 0 ? port : url.is_tls ? 443 : 80;
  url.authority = authority;
  return url;
}

std::string ClientAnswer::field(std::string_view name) const {
  std::string all;
  for (const auto& [key, value] : fields) {
    if (key != name) continue;
    if (!all.empty()) all += ", ";
    all += value;
  }
  return all;
}

struct HttpClient::Connection {
  explicit Connection(runtime::Loop& loop) : stream(loop) {}
  ~Connection() { stream.close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  net::Stream stream;
  http::ReadBuffer buffer;
  bool may_be_kept = false;
  bool has_answered = false;  // some byte of the answer has come

  Task<std::expected<ClientAnswer, std::string>> exchange(const Url& url, const ClientRequest& request);
  Task<std::expected<ClientAnswer, std::string>> read_answer(http::Method method);
};

HttpClient::HttpClient(runtime::Loop& loop, std::shared_ptr<const net::ClientTls> tls)
    : loop_(loop), tls_(std::move(tls)) {}

HttpClient::~HttpClient() = default;

namespace {

std::string why(Errc error, const net::Stream& stream, std::string_view when) {
  std::string text = fmt::format("{} {}", runtime::error_text(error), when);
  if (!stream.tls_error().empty()) text += ": " + stream.tls_error();
  return text;
}

}  // namespace

Task<std::expected<ClientAnswer, std::string>> HttpClient::Connection::exchange(const Url& url,
                                                                                const ClientRequest& request) {
  has_answered = may_be_kept = false;
  std::string head = fmt::format("{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: gatehouse/{}\r\naccept: */*\r\n",
                                 request.method, url.target, url.authority, GATEHOUSE_VERSION);
  for (const auto& [name, value] : request.fields) head += fmt::format("{}: {}\r\n", name, value);
  if (!request.body.empty() || request.method == "POST")
    head += fmt::format("content-length: {}\r\n", request.body.size());
  head += "\r\n";
  const std::string_view slices[] = {head, request.body};
  if (const Errc error = co_await stream.write(slices); error != Errc::ok)
    co_return std::unexpected(why(error, stream, "while the request was sent"));
  co_return co_await read_answer(http::method_of(request.method));
}

Task<std::expected<ClientAnswer, std::string>> HttpClient::Connection::read_answer(http::Method method) {
  http::ResponseHead head;
  std::size_t scanned = 0;
  http::HeadLimits limits;
  limits.header_bytes = most_head_bytes;
  ClientAnswer answer;
  std::size_t head_bytes = 0;
  for (std::size_t informational = 0;;) {
    const http::ParseResult parsed = http::parse_response_head(buffer.unread(), limits, scanned, head);
    if (parsed.status == http::ParseStatus::need_more) {
      if (!buffer.make_room(most_head_bytes + 1)) co_return std::unexpected("the answer's head is too large");
      const auto got = co_await stream.read(buffer.room());
      if (!got) co_return std::unexpected(why(got.error(), stream, "while an answer was awaited"));
      buffer.filled(*got);
      has_answered = true;
      continue;
    }
    if (parsed.status != http::ParseStatus::complete) co_return std::unexpected("the answer is not HTTP/1.1");
    if (head.status >= 200) {
      head_bytes = parsed.head_bytes;
      answer.status = head.status;
      for (const http::Field& field : head.fields.all()) answer.fields.emplace_back(lower(field.name), field.value);
      break;
    }
    if (head.status == 101 || ++informational > most_informational)
      co_return std::unexpected("the answer is an upgrade that nobody asked for");
    buffer.consume(parsed.head_bytes);
  }
  const auto framing = http::response_framing(head, method);
  if (!framing) co_return std::unexpected(std::string(http::reason_text(framing.error())));
  may_be_kept = framing->kind != http::BodyKind::until_close && !http::wants_close(head.fields, head.minor_version);
  buffer.consume(head_bytes);
  http::BodyBuffers budget(4 * most_body_bytes);
  http::BodyReader body;
  body.start(*framing, buffer, budget);
  for (;;) {
    const http::BodyReader::Result piece = body.next();
    if (piece.status == http::BodyReader::Status::end) break;
    switch (piece.status) {
      case http::BodyReader::Status::piece:
        answer.body += piece.data;
        if (answer.body.size() > most_body_bytes) co_return std::unexpected("the answer is larger than 1 MiB");
        break;
      case http::BodyReader::Status::need_read: {
        const auto got = co_await stream.read(body.room());
        if (got)
          body.filled(*got);
        else if (got.error() == Errc::end_of_stream)
          body.closed();
        else
          co_return std::unexpected(why(got.error(), stream, "while the answer was read"));
        break;
      }
      case http::BodyReader::Status::malformed: co_return std::unexpected("the answer's chunks are malformed");
      case http::BodyReader::Status::truncated: co_return std::unexpected("the answer was cut off");
      case http::BodyReader::Status::end: break;  // seen above
    }
  }
  body.give_back();
  may_be_kept = may_be_kept && buffer.empty();
  co_return answer;
}

std::unique_ptr<HttpClient::Connection> HttpClient::take_idle(const std::string& origin) {
  const auto now = loop_.now();
  std::erase_if(idle_,
                [&](const Idle& idle) { return now - idle.since > idle_time || !idle.connection->stream.is_quiet(); });
  const auto found = std::ranges::find(idle_, origin, &Idle::origin);
  if (found == idle_.end()) return nullptr;
  auto connection = std::move(found->connection);
  idle_.erase(found);
  return connection;
}

Task<HttpClient::Opened> HttpClient::open(const Url& url, runtime::TimePoint deadline) {
  std::vector<IpAddress> addresses;
  if (const auto ip = IpAddress::parse(url.host)) {
    addresses.push_back(*ip);
  } else {
    runtime::Event found(loop_);
    NameLookup lookup(loop_, [&] { found.set(); });
    lookup.begin(url.host);
    runtime::Deadline late(loop_, [](void* event) { static_cast<runtime::Event*>(event)->set(); }, &found);
    late.set(deadline);
    co_await found;
    if (auto result = lookup.take()) addresses = *std::move(result);
  }
  if (addresses.empty()) co_return std::unexpected("the name " + url.host + " has no address");
  addresses.resize(std::min(addresses.size(), most_addresses));
  std::string failure;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    auto connection = std::make_unique<Connection>(loop_);
    const auto left = deadline - runtime::Clock::now();
    connection->stream.expires_after(
        std::max<runtime::Duration>(left / static_cast<int>(addresses.size() - i), std::chrono::milliseconds(1)));
    Errc error = co_await connection->stream.connect({addresses[i], url.port});
    if (error == Errc::ok && url.is_tls) error = co_await connection->stream.connect_tls(*tls_, url.host);
    if (error == Errc::ok) co_return connection;
    failure = why(error, connection->stream,
                  fmt::format("on the way to {}", SocketAddress{addresses[i], url.port}.to_string()));
  }
  co_return std::unexpected(std::move(failure));
}

Task<std::expected<ClientAnswer, std::string>> HttpClient::send(ClientRequest request) {
  const auto url = parse_url(request.url);
  if (!url) co_return std::unexpected("not a URL of http or https: " + request.url);
  const auto deadline = runtime::Clock::now() + longest;
  const std::string origin = fmt::format("{}://{}:{}", url->is_tls ? "https" : "http", url->host, url->port);
  std::unique_ptr<Connection> connection = take_idle(origin);
  for (bool is_kept = connection != nullptr;; is_kept = false) {
    if (!connection) {
      auto opened = co_await open(*url, deadline);
      if (!opened) co_return std::unexpected(std::move(opened.error()));
      connection = *std::move(opened);
    }
    connection->stream.expires_after(deadline - runtime::Clock::now());
    auto answer = co_await connection->exchange(*url, request);
    if (!answer && is_kept && !connection->has_answered) {
      connection.reset();  // it was closed while it was idle
      continue;
    }
    if (answer && connection->may_be_kept && idle_.size() < most_idle) {
      connection->stream.expires_never();
      idle_.push_back({origin, std::move(connection), loop_.now()});
    }
    co_return answer;
  }
}

}  // namespace gatehouse::upstream
