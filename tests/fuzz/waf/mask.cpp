// Fuzzes the search for secrets: what it finds are parts of the text, in order, and what is shown of the text is
// printable and short; unescaping keeps track of where each byte came from; a secret's value that stands in plain form
// never survives.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "waf/mask.hpp"
#include "waf/unescape.hpp"

namespace {

using namespace gatehouse::waf;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Masker masker({"password", "token", "cookie"});
  const std::string text(reinterpret_cast<const char*>(data), size);

  const std::vector<Masker::Range> found = masker.secrets(text);
  std::size_t end = 0;
  for (const Masker::Range& range : found) {
    require(range.begin >= end && range.begin < range.end && range.end <= text.size());
    end = range.end;
  }
  const std::string shown = masker.text(text, 100);
  require(shown.size() <= 110);
  for (const char c : shown) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);

  if (const auto plain = unescaped(text)) {
    require(plain->from.size() == plain->text.size() + 1);
    require(plain->text.size() <= text.size());
    for (std::size_t i = 1; i < plain->from.size(); ++i) require(plain->from[i - 1] <= plain->from[i]);
    require(plain->from.back() <= text.size());
  }

  // Behind any query that ends a pair, and in front of any that begins one.
  constexpr std::string_view secret = "Zx9Qw7Lm";
  if (text.find(secret) != std::string::npos) return 0;
  require(!masker.query(text + "&password=" + std::string(secret)).contains(secret));
  require(!masker.query("token=" + std::string(secret) + "&" + text).contains(secret));
  return 0;
}
