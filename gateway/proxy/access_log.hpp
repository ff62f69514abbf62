// The access record: one JSON line a request in ECS names, written exactly once, whatever happened.
#pragma once

#include <string>

#include "gateway/filter/exchange.hpp"

namespace gatehouse::proxy {

/// Appends the record with its line feed. `duration` runs from the request's first byte to the answer's last.
void append_access_record(std::string& out, const filter::Exchange& exchange, std::uint64_t duration_nanoseconds);

}  // namespace gatehouse::proxy
