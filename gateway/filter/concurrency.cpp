// Requests in flight; see concurrency.hpp. The count itself is kept by the proxy, this request included.
#include "gateway/filter/concurrency.hpp"

namespace gatehouse::filter {

Step concurrency_on_request(Exchange& exchange) {
  const std::size_t limit = exchange.tenant->config->limits.requests_in_flight;
  if (limit == 0 || exchange.tenant->load->requests.load(std::memory_order_relaxed) <= limit) return Step::next;
  exchange.answer_unavailable(Reason::overload, "Too many requests are under way. Please try again.");
  return Step::answer;
}

}  // namespace gatehouse::filter
