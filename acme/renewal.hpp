// When a certificate is renewed, and when something that failed is tried again. Functions of their arguments alone.
#pragma once

#include "acme/messages.hpp"
#include "acme/problem.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

/// A number in [0, 1) of the caller's choosing: what is random in the decisions here.
using Chance = double;

/// The latest time that a renewal is planned for, whatever the CA suggests: 76 hours of validity are left, or half of a
/// shorter lifetime. A CA that is away for a day then leaves two.
[[nodiscard]] Time latest_renewal(Time not_before, Time not_after) noexcept;

/// What was issued is not renewed before, unless a person asks: after an hour, or a tenth of a shorter `lifetime`. A
/// window in the past would have one order follow the other; so a host has at most 24 a day, of the 300 in three hours
/// that an account has at Let's Encrypt, and what is revoked is replaced within the hour.
[[nodiscard]] Time earliest_renewal(Time issued_at, Seconds lifetime) noexcept;

/// Without renewal information: two thirds of the lifetime, or the latest renewal where that is sooner, up to a fiftieth of
/// the lifetime earlier by `chance`, so that what was issued together is not renewed together.
[[nodiscard]] Time renewal_by_lifetime(Time not_before, Time not_after, Chance chance) noexcept;

/// A time within the CA's window, uniformly by `chance` (RFC 9773 section 4.2), but no later than the latest renewal. One
/// that is past means now.
[[nodiscard]] Time renewal_by_window(const RenewalInfo& info, Time not_before, Time not_after, Chance chance) noexcept;

/// When renewal information is asked for again: at its Retry-After, in a minute at the soonest and a day at the latest;
/// without one, in six hours (RFC 9773 section 4.3).
[[nodiscard]] Time next_renewal_question(std::optional<Time> retry_after, Time now) noexcept;

/// When to try again after the `failures`th failure in a row (from 1). What is the names' fault waits 1, 2, 5, 10, 45, 90,
/// 180 and then 360 minutes: never six attempts within an hour. What is the CA's waits an hour at most. `chance` adds up to
/// a fifth; the CA's Retry-After is obeyed where it is later.
[[nodiscard]] Time next_attempt(const Problem& problem, unsigned failures, Time now, Chance chance) noexcept;

}  // namespace gatehouse::acme
