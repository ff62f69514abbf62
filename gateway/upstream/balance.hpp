// Which endpoint of a site: a pure function of what is known about health and load. Called by Service::choose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "config/tenant_config.hpp"

namespace gatehouse::upstream {

inline constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

/// What the choice of an endpoint depends on.
struct EndpointView {
  bool healthy = true;
  bool tried = false;            // an earlier attempt of the same request went there
  std::uint32_t in_flight = 0;   // requests that this worker has under way there
};

/// An endpoint among the healthy and untried ones; `none` if there is none.
/// round_robin: the next after `cursor`, which is moved on. least_request: the one with the fewest requests in flight;
/// among equals the next after `cursor`, so that equal endpoints take turns.
[[nodiscard]] std::size_t choose_endpoint(config::Balance balance, std::span<const EndpointView> endpoints,
                                          std::size_t& cursor) noexcept;

}  // namespace gatehouse::upstream
