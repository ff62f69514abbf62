// The body of an endpoint's answer before the rules that want to see it. Called by forward.cpp.
#pragma once

#include <string>

#include "gateway/filter/exchange.hpp"
#include "gateway/http/body_reader.hpp"
#include "gateway/runtime/task.hpp"
#include "gateway/upstream/connection_pool.hpp"

namespace gatehouse::proxy {

/// Reads what of the body the filters want to see into `inspected` and shows it to them. False: exchange.reply is set,
/// or the upstream was given up since the client is gone. Marks the exchange as not inspected if they want to see a body of exchange.response that they cannot read.
[[nodiscard]] runtime::Task<bool> inspect_answer(filter::Exchange& exchange, upstream::UpstreamConnection& upstream,
                                                 http::BodyReader& body, std::string& inspected);

}  // namespace gatehouse::proxy
