// Who failed and how, as access record and metrics tell it. Called by forward.cpp, relay.cpp, answer_inspection.cpp and
// proxy.cpp.
#pragma once

#include "gateway/filter/exchange.hpp"
#include "gateway/runtime/error.hpp"

namespace gatehouse::proxy {

/// The endpoint's failure behind an error of its connection; none: Errc::ok, or Errc::cancelled, which is not its fault.
/// `connecting`: there was no connection yet.
[[nodiscard]] filter::UpstreamError upstream_error(runtime::Errc error, bool connecting) noexcept;

/// The answer for an endpoint that gave none: 504 if it was late, else 502.
void answer_failure(filter::Exchange& exchange, filter::UpstreamError error);

/// The answer or tunnel that has begun ends early. The first note of an exchange stands.
void note_upstream_cut(filter::Exchange& exchange, runtime::Errc error) noexcept;
void note_client_cut(filter::Exchange& exchange) noexcept;

}  // namespace gatehouse::proxy
