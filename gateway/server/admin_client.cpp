// See admin_client.hpp.
#include "gateway/server/admin_client.hpp"

#include <algorithm>
#include <optional>

#include "gateway/upstream/http_client.hpp"

namespace gatehouse::server {

namespace {

using Answer = std::expected<upstream::ClientAnswer, std::string>;

runtime::Task<void> ask(runtime::Loop& loop, upstream::ClientRequest request, std::optional<Answer>& answer) {
  {
    upstream::HttpClient client(loop, nullptr);
    answer = co_await client.send(std::move(request));
  }
  loop.stop();
}

}  // namespace

bool is_plain_parameter(const std::string& text) noexcept {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '*' || c == ':';
  });
}

std::expected<AdminReply, std::string> ask_admin(const SocketAddress& admin, const std::string& method,
                                                 const std::string& target, const std::string& body) {
  SocketAddress address = admin;
  // An unspecified address is where the gateway listens, not where one connects to.
  if (address.ip == IpAddress()) address.ip = IpAddress::v4(0x7f000001);
  upstream::ClientRequest request;
  request.method = method;
  request.url = "http://" + address.to_string() + target;
  request.fields.emplace_back("gatehouse-command", "1");
  request.body = body;
  runtime::Loop loop;
  std::optional<Answer> answer;
  loop.spawn(ask(loop, std::move(request), answer));
  loop.run();
  if (!answer || !*answer)
    return std::unexpected("no answer from " + address.to_string() + ": " + (answer ? answer->error() : "") +
                           "; is the gateway running, and --admin its admin address?");
  return AdminReply{(*answer)->status == 200, (*answer)->body};
}

}  // namespace gatehouse::server
