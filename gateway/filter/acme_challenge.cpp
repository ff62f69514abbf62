// ACME challenges; see acme_challenge.hpp.
#include "gateway/filter/acme_challenge.hpp"

namespace gatehouse::filter {

Step acme_challenge_on_request(Exchange& exchange) {
  if (exchange.is_tls || !exchange.target.path.starts_with("/.well-known/acme-challenge/")) return Step::next;
  exchange.answer(404, Reason::no_route, "No such challenge is under way.");
  return Step::answer;
}

}  // namespace gatehouse::filter
