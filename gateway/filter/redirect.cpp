// Redirect to HTTPS; see redirect.hpp.
#include "gateway/filter/redirect.hpp"

namespace gatehouse::filter {

Step redirect_on_request(Exchange& exchange) {
  if (!exchange.redirect_to_https) return Step::next;
  if (exchange.target.host.empty()) {  // HTTP/1.0: there is nowhere to send it to
    exchange.answer(400, Reason::malformed, "This site is served over HTTPS, and the request names no host.");
    return Step::answer;
  }
  exchange.answer(308, Reason::redirect, "This site is served over HTTPS.");
  std::string& fields = exchange.reply.fields;
  // Host and target are checked: neither can hold a line end.
  fields += "location: https://";
  fields += exchange.target.host;
  if (exchange.redirect_port != 443) fields += ':' + std::to_string(exchange.redirect_port);
  if (exchange.target.as_received != "*") fields += exchange.target.as_received;
  fields += "\r\n";
  return Step::answer;
}

}  // namespace gatehouse::filter
