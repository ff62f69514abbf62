// Who failed and how; see failure.hpp.
#include "gateway/proxy/failure.hpp"

namespace gatehouse::proxy {

using filter::Cut;
using filter::Exchange;
using filter::Reason;
using filter::UpstreamError;
using runtime::Errc;

UpstreamError upstream_error(Errc error, bool connecting) noexcept {
  switch (error) {
    case Errc::ok:
    case Errc::cancelled: return UpstreamError::none;
    case Errc::end_of_stream:
    case Errc::truncated: return UpstreamError::closed;
    case Errc::reset: return UpstreamError::reset;
    case Errc::timed_out: return connecting ? UpstreamError::connect_timeout : UpstreamError::timeout;
    case Errc::tls: return UpstreamError::tls;
    case Errc::tls_verify: return UpstreamError::tls_verify;
    case Errc::refused: return UpstreamError::refused;
    case Errc::connect: return UpstreamError::unreachable;
    case Errc::malformed: return UpstreamError::malformed;
    case Errc::too_large: return UpstreamError::too_large;
    case Errc::too_slow: return UpstreamError::too_slow;
    case Errc::exhausted: return UpstreamError::exhausted;
  }
  return UpstreamError::none;
}

void answer_failure(Exchange& exchange, UpstreamError error) {
  exchange.upstream_error = error;
  switch (error) {
    case UpstreamError::connect_timeout:
    case UpstreamError::timeout: exchange.answer(504, Reason::timeout, "The service did not answer in time."); break;
    case UpstreamError::malformed:
    case UpstreamError::too_large:
      exchange.answer(502, Reason::upstream, "The service gave a malformed answer.");
      break;
    case UpstreamError::exhausted:
      exchange.answer_unavailable(Reason::overload, "There is no room for another connection to the service.");
      break;
    default: exchange.answer(502, Reason::upstream, "The service could not be reached."); break;
  }
}

void note_upstream_cut(Exchange& exchange, Errc error) noexcept {
  if (exchange.cut != Cut::none) return;
  // The connection was given up since nobody wants the rest.
  if (error == Errc::cancelled) return note_client_cut(exchange);
  exchange.upstream_error = upstream_error(error, false);
  exchange.cut = error == Errc::timed_out ? Cut::timeout : Cut::upstream;
}

void note_client_cut(Exchange& exchange) noexcept {
  if (exchange.cut == Cut::none) exchange.cut = exchange.worker.ending ? Cut::shutdown : Cut::client;
}

}  // namespace gatehouse::proxy
