// The tenant's allow and deny lists of client addresses: 403.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step access_on_request(Exchange& exchange);
inline constexpr Filter access_filter{.name = "access", .on_request = access_on_request};
}  // namespace gatehouse::filter
