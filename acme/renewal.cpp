// Renewal and retry; see renewal.hpp.
#include "acme/renewal.hpp"

#include <algorithm>
#include <array>

namespace gatehouse::acme {

namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr Seconds kept_validity = hours(76);  // 48 h, a day without the CA, and the longest pause between attempts
constexpr Seconds least_age = hours(1);
constexpr Seconds shortest_question = minutes(1);
constexpr Seconds usual_question = hours(6);
constexpr Seconds longest_question = hours(24);

constexpr std::array<minutes, 8> pauses_of_names = {minutes(1),  minutes(2),  minutes(5),   minutes(10),
                                                    minutes(45), minutes(90), minutes(180), minutes(360)};
constexpr std::array<minutes, 6> pauses_of_cas = {minutes(1),  minutes(2),  minutes(5),
                                                  minutes(10), minutes(30), minutes(60)};

Seconds share(Seconds whole, Chance chance) noexcept {
  return Seconds(static_cast<Seconds::rep>(static_cast<double>(whole.count()) * std::clamp(chance, 0.0, 1.0)));
}

}  // namespace

Time latest_renewal(Time not_before, Time not_after) noexcept {
  return not_after - std::min(kept_validity, (not_after - not_before) / 2);
}

Time earliest_renewal(Time issued_at, Seconds lifetime) noexcept {
  return issued_at + std::min<Seconds>(least_age, lifetime / 10);
}

Time renewal_by_lifetime(Time not_before, Time not_after, Chance chance) noexcept {
  const Seconds lifetime = not_after - not_before;
  const Time due = std::min(not_before + lifetime / 3 * 2, latest_renewal(not_before, not_after));
  return due - share(lifetime / 50, chance);
}

Time renewal_by_window(const RenewalInfo& info, Time not_before, Time not_after, Chance chance) noexcept {
  return std::min(info.start + share(info.end - info.start, chance), latest_renewal(not_before, not_after));
}

Time next_renewal_question(std::optional<Time> retry_after, Time now) noexcept {
  return std::clamp(retry_after.value_or(now + usual_question), now + shortest_question, now + longest_question);
}

Time next_attempt(const Problem& problem, unsigned failures, Time now, Chance chance) noexcept {
  const std::size_t step = failures > 0 ? failures - 1 : 0;
  const Seconds pause = problem.is_of_the_names() ? pauses_of_names[std::min(step, pauses_of_names.size() - 1)]
                                                  : pauses_of_cas[std::min(step, pauses_of_cas.size() - 1)];
  const Time next = now + pause + share(pause / 5, chance);
  return std::max(next, problem.retry_at.value_or(next));
}

}  // namespace gatehouse::acme
