// See spelling.hpp.
#include "config/spelling.hpp"

#include <algorithm>
#include <vector>

#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::size_t kLongestWord = 64;    // longer ones are nobody's typing error, and the table is quadratic
constexpr std::size_t kListedWords = 40;
constexpr std::size_t kComparedWords = 200;

char folded(char c) noexcept { return c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string fold(std::string_view word) {
  std::string out(word);
  std::ranges::transform(out, out.begin(), folded);
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  if (a.size() > kLongestWord || b.size() > kLongestWord) return kLongestWord;
  // Three rows of the usual table: swaps look two rows back.
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = folded(a[i - 1]) == folded(b[j - 1]);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1])) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  known = known.first(std::min(known.size(), kComparedWords));
  std::string_view best;
  std::size_t least = word.size() <= 4 ? 2 : word.size() <= 8 ? 3 : 4;  // exclusive: a third of the word or so
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  if (!best.empty() || word.size() < 3 || word.size() > kLongestWord) return best;
  // "certificate" for certificate_file, "ratelimits" for rate_limits, "endpoint" for endpoints.
  const std::string start = fold(word);
  for (const std::string_view candidate : known) {
    if (candidate.starts_with(start) || (candidate.size() >= 4 && start.starts_with(candidate))) return candidate;
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known) {
  if (known.empty()) return {};
  if (const std::string_view meant = nearest(word, known); !meant.empty()) return "; did you mean " + cite(meant) + "?";
  std::string out = known.size() == 1 ? "; known is " : "; known are ";
  for (std::size_t i = 0; i < known.size() && i < kListedWords; ++i) {
    if (i > 0) out += ", ";
    out += cite(known[i]);
  }
  if (known.size() > kListedWords) out += " and others";
  return out;
}

}  // namespace gatehouse::config
