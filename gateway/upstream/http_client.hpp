// The gateway's own HTTP/1.1 client for what it asks of others itself: a CA, later key sets and webhooks. Answers are read
// as strictly as an upstream's, and bounded. Runs on one loop.
#pragma once

#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/net/stream.hpp"
#include "gateway/net/tls.hpp"
#include "gateway/runtime/task.hpp"

namespace gatehouse::upstream {

struct Url {
  bool is_tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authority;  // as Host carries it
  std::string target;  // path and query
};
/// http and https, without user and fragment.
[[nodiscard]] std::optional<Url> parse_url(std::string_view text);

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> fields;  // besides host, user-agent, accept and content-length
  std::string body;
};

struct ClientAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::string body;

  /// All values of the field, joined by ", ".
  [[nodiscard]] std::string field(std::string_view name) const;
};

class HttpClient {
 public:
  static constexpr auto longest = std::chrono::seconds(30);  // of one exchange, names looked up and connected
  static constexpr auto idle_time = std::chrono::seconds(20);
  static constexpr std::size_t most_body_bytes = 1024 * 1024;
  static constexpr std::size_t most_idle = 16;

  HttpClient(runtime::Loop& loop, std::shared_ptr<const net::ClientTls> tls);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// One exchange; redirections are the caller's. The error says for the operator why there is no answer. A connection that
  /// was kept and closes before it answers is replaced by a new one once.
  [[nodiscard]] runtime::Task<std::expected<ClientAnswer, std::string>> send(ClientRequest request);

 private:
  struct Connection;
  using Opened = std::expected<std::unique_ptr<Connection>, std::string>;
  [[nodiscard]] runtime::Task<Opened> open(const Url& url, runtime::TimePoint deadline);
  [[nodiscard]] std::unique_ptr<Connection> take_idle(const std::string& origin);

  runtime::Loop& loop_;
  std::shared_ptr<const net::ClientTls> tls_;
  struct Idle {
    std::string origin;
    std::unique_ptr<Connection> connection;
    runtime::TimePoint since;
  };
  std::vector<Idle> idle_;
};

}  // namespace gatehouse::upstream
