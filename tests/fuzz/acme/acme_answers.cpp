// Feeds the readers of a CA's and a DNS server's answers arbitrary bytes; the first byte says which one. Beyond "no crash":
// - every URL that comes out may be asked, every text can be shown, every token can stand in a path
// - the bounds of the headers hold
// - nobody who does not know the key answers an update of DNS
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "acme/dns_update.hpp"
#include "acme/links.hpp"
#include "acme/messages.hpp"
#include "acme/problem.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::acme;
using gatehouse::fuzz::require;

namespace {

void require_text(std::string_view text, std::size_t most) {
  require(text.size() <= most, "a text is bounded");
  require(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }), "a text can be shown");
}

void require_url(std::string_view url, bool may_be_empty) {
  require((may_be_empty && url.empty()) || is_usable_url(url), "a URL may be asked");
}

void check(const Problem& problem) {
  require_text(problem.code, 64);
  require_text(problem.detail, 400);
  require(problem.parts.size() <= Problem::most_parts, "parts are bounded");
  for (const Problem::Part& part : problem.parts) {
    require_text(part.identifier.value, 253);
    require_text(part.detail, 400);
  }
  require_text(problem.to_string(), 1000);
  require(problem.type != ProblemType::no_answer, "no CA says that it does not answer");
}

void check(const Directory& directory) {
  for (const std::string* url : {&directory.new_nonce, &directory.new_account, &directory.new_order})
    require_url(*url, false);
  for (const std::string* url : {&directory.revoke_certificate, &directory.key_change, &directory.renewal_info})
    require_url(*url, true);
  require_text(directory.terms_of_service, 2048);
  for (const auto& [name, description] : directory.profiles) {
    require_text(name, 64);
    require_text(description, 200);
  }
}

void check(const Order& order) {
  require(order.status != Status::unknown && !order.authorizations.empty(), "an order is whole");
  require(order.authorizations.size() <= 1000 && order.identifiers.size() <= 1000, "an order is bounded");
  for (const std::string& url : order.authorizations) require_url(url, false);
  for (const Identifier& identifier : order.identifiers) require_text(identifier.value, 253);
  require_url(order.finalize, false);
  require_url(order.certificate, true);
  if (order.error) check(*order.error);
}

void check(const Authorization& authorization) {
  require(authorization.status != Status::unknown, "an authorization has a status");
  require_text(authorization.identifier.value, 253);
  require(!authorization.identifier.value.empty() && authorization.challenges.size() <= 32, "it is bounded");
  for (const Challenge& challenge : authorization.challenges) {
    require_url(challenge.url, false);
    require(challenge.token.size() >= 22 && challenge.token.size() <= 128, "a token is long enough, and not too long");
    require(challenge.token.find_first_of("/.\\% \r\n") == std::string::npos, "a token can stand in a path");
    require(challenge_type(challenge_name(challenge.type)) == challenge.type, "a challenge has a name");
    if (challenge.error) check(*challenge.error);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'd':
      if (const auto directory = parse_directory(body)) check(*directory);
      break;
    case 'o':
      if (const auto order = parse_order(body)) check(*order);
      break;
    case 'a':
      if (const auto authorization = parse_authorization(body)) check(*authorization);
      break;
    case 'r':
      if (const auto info = parse_renewal_info(body)) {
        require(info->start <= info->end, "a window ends after it starts");
        require_text(info->explanation, 2048);
      }
      break;
    case 'l':
      for (const std::string& url : links(body, "alternate")) {
        require_url(url, false);
        require(body.find("<" + url + ">") != std::string_view::npos, "a link stands in the field");
      }
      break;
    case 't':
      if (const auto time = from_retry_after(body, Time(Seconds(1'000'000))))
        require(*time >= Time(Seconds(1'000'000)) && *time <= Time(Seconds(1'000'000 + 86'400)), "a pause is bounded");
      static_cast<void>(from_rfc3339(body));
      break;
    case 'u': {
      static const TsigKey key{"gatehouse", Secret("a key that the input does not know")};
      const auto answer = read_update_answer(body, 0x1234, std::string(32, 'm'), key, Time(Seconds(1'796'000'000)));
      require(!answer, "an answer is signed with the key");
      require(!answer.error().empty(), "a refusal has words");
      require_text(answer.error(), 200);
      break;
    }
    default: check(parse_problem(body, 400));
  }
  return 0;
}
