// ACME challenges; see acme_challenge.hpp.
#include "gateway/filter/acme_challenge.hpp"

#include "gateway/filter/challenges.hpp"

namespace gatehouse::filter {

Step acme_challenge_on_request(Exchange& exchange) {
  constexpr std::string_view prefix = "/.well-known/acme-challenge/";
  if (exchange.is_tls || !exchange.target.path.starts_with(prefix)) return Step::next;
  if (const auto& challenges = exchange.worker.challenges) {
    const auto found = challenges->http.find(std::string_view(exchange.target.path).substr(prefix.size()));
    if (found != challenges->http.end()) {
      exchange.answer(200, Reason::none, "");
      exchange.reply.content = found->second;
      return Step::answer;
    }
  }
  exchange.answer(404, Reason::no_route, "No such challenge is under way.");
  return Step::answer;
}

}  // namespace gatehouse::filter
