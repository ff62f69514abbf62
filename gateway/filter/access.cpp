// Access lists; see access.hpp.
#include "gateway/filter/access.hpp"

#include <algorithm>

namespace gatehouse::filter {

Step access_on_request(Exchange& exchange) {
  const config::AccessLists& lists = exchange.tenant->config->access;
  const auto listed = [&](const std::vector<Cidr>& list) {
    return std::ranges::any_of(list, [&](const Cidr& cidr) { return cidr.contains(exchange.client); });
  };
  if (!listed(lists.deny) && (lists.allow.empty() || listed(lists.allow))) return Step::next;
  exchange.answer(403, Reason::access, "Access from your address is not allowed.");
  return Step::answer;
}

}  // namespace gatehouse::filter
