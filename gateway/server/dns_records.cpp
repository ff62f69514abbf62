// See dns_records.hpp.
#include "gateway/server/dns_records.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "acme/problem.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/runtime/json.hpp"

namespace gatehouse::server {

using acme::Done;
using runtime::Task;

namespace {

constexpr auto dns_time = std::chrono::seconds(10);
constexpr std::uint32_t challenge_ttl = 60;  // seconds that resolvers keep a challenge's record
constexpr std::size_t most_shown = 200;      // bytes of a service's answer in an error

// RFC 7617.
acme::Secret basic_credentials(const acme::DnsWebhook& webhook) {
  const acme::Secret plain(webhook.user + ":" + std::string(webhook.password.reveal()));
  std::string encoded(4 * ((plain.reveal().size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(plain.reveal().data()),
                                   static_cast<int>(plain.reveal().size()));
  encoded.resize(static_cast<std::size_t>(size));
  encoded.insert(0, "Basic ");
  return acme::Secret(std::move(encoded));
}

}  // namespace

Task<std::expected<Done, std::string>> update_name_server(runtime::Loop& loop, acme::DnsServer server,
                                                          std::vector<acme::TxtChange> changes, acme::Time now) {
  const auto address = SocketAddress::parse(server.server);
  if (!address) co_return std::unexpected("no address: " + server.server);
  std::uint16_t id = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id) != 1) co_return std::unexpected("no random bytes");
  acme::DnsRequest request;
  try {
    request = acme::dns_update(server.zone, changes, challenge_ttl, id, server.key, now);
  } catch (const std::invalid_argument& error) {
    co_return std::unexpected(std::string(error.what()));
  }
  const auto failure = [&](std::string_view what) {
    return std::unexpected(fmt::format("the name server {}: {}", server.server, what));
  };
  net::Stream stream(loop);
  stream.expires_after(dns_time);
  runtime::Errc error = co_await stream.connect(*address);
  // Over TCP each message has its length before it (RFC 1035 section 4.2.2).
  const auto size_bytes = [](std::size_t size) {
    return std::string{static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
  };
  const std::string size = size_bytes(request.message.size());
  if (error == runtime::Errc::ok) {
    const std::string_view slices[] = {size, request.message};
    error = co_await stream.write(slices);
  }
  if (error != runtime::Errc::ok) co_return failure(runtime::error_text(error));
  std::string answer(2 + 65535, '\0');
  std::size_t got = 0;
  const auto wanted = [&] {
    return got < 2 ? std::size_t{2}
                   : 2 + (static_cast<std::size_t>(static_cast<unsigned char>(answer[0])) << 8 |
                          static_cast<unsigned char>(answer[1]));
  };
  while (got < wanted()) {
    const auto read = co_await stream.read(std::span<char>(answer).subspan(got, wanted() - got));
    if (!read) co_return failure(runtime::error_text(read.error()));
    got += *read;
  }
  stream.close();
  auto updated =
      acme::read_update_answer(std::string_view(answer).substr(2, got - 2), id, request.mac, server.key, now);
  if (!updated) co_return failure(updated.error());
  co_return Done{};
}

Task<std::expected<Done, std::string>> call_webhook(upstream::HttpClient& client, acme::DnsWebhook webhook,
                                                    std::vector<acme::TxtChange> changes) {
  for (const acme::TxtChange& change : changes) {
    upstream::ClientRequest request;
    request.method = "POST";
    request.url = webhook.url + (change.is_wanted ? "/present" : "/cleanup");
    request.fields.emplace_back("content-type", "application/json");
    if (!webhook.user.empty()) request.fields.emplace_back("authorization", basic_credentials(webhook).reveal());
    runtime::JsonObject body(request.body);
    body.text("fqdn", change.name + ".");
    body.text("value", change.value);
    body.close();
    const std::string url = request.url;
    const auto answer = co_await client.send(std::move(request));
    if (!answer) co_return std::unexpected(fmt::format("{}: {}", url, answer.error()));
    if (answer->status / 100 != 2)
      co_return std::unexpected(
          fmt::format("{} answers {}: {}", url, answer->status, acme::printable(answer->body, most_shown)));
  }
  co_return Done{};
}

}  // namespace gatehouse::server
