// Balancing; see balance.hpp.
#include "gateway/upstream/balance.hpp"

namespace gatehouse::upstream {

std::size_t choose_endpoint(config::Balance balance, std::span<const EndpointView> endpoints,
                            std::size_t& cursor) noexcept {
  std::size_t best = none;
  for (std::size_t step = 0; step < endpoints.size(); ++step) {
    const std::size_t i = (cursor + step) % endpoints.size();
    if (!endpoints[i].healthy || endpoints[i].tried) continue;
    if (balance == config::Balance::round_robin) {
      best = i;
      break;
    }
    if (best == none || endpoints[i].in_flight < endpoints[best].in_flight) best = i;
  }
  if (best != none) cursor = best + 1;
  return best;
}

}  // namespace gatehouse::upstream
