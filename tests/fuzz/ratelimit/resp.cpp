// Feeds the RESP reader arbitrary bytes in arbitrary chunks. What must hold: no crash, bounded memory (libFuzzer's
// limit), the same replies as when all bytes arrive at once, and after an error nothing but that error.
#include "ratelimit/resp.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "ratelimit/redis_script.hpp"

namespace {

using gatehouse::ratelimit::RespReader;
using gatehouse::ratelimit::RespValue;

bool same(const RespValue& a, const RespValue& b) {
  if (a.type != b.type || a.integer != b.integer || a.text != b.text || a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!same(a.items[i], b.items[i])) return false;
  }
  return true;
}

void require(bool holds) {
  if (!holds) std::abort();
}

/// All replies up to the error or to the end; `failed` tells which.
std::vector<RespValue> drain(RespReader& reader, bool& failed) {
  std::vector<RespValue> values;
  for (;;) {
    auto value = reader.next();
    if (!value) {
      failed = true;
      require(!reader.next());
      return values;
    }
    if (!*value) return values;
    values.push_back(std::move(**value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t chunk = data[0] + std::size_t{1};
  const std::string_view bytes{reinterpret_cast<const char*>(data + 1), size - 1};
  constexpr std::size_t kMaxReplyBytes = 256 * 1024;  // above any input: the bound on size has its own tests

  RespReader at_once{kMaxReplyBytes};
  at_once.feed(bytes);
  bool at_once_failed = false;
  const std::vector<RespValue> expected = drain(at_once, at_once_failed);

  RespReader in_chunks{kMaxReplyBytes};
  std::vector<RespValue> got;
  bool failed = false;
  for (std::size_t at = 0; at < bytes.size() && !failed; at += chunk) {
    in_chunks.feed(bytes.substr(at, chunk));
    for (RespValue& value : drain(in_chunks, failed)) got.push_back(std::move(value));
  }
  require(failed == at_once_failed);
  require(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) require(same(got[i], expected[i]));

  for (const RespValue& value : expected) {
    std::vector<gatehouse::ratelimit::Decision> decisions(value.items.size() / 4);
    (void)gatehouse::ratelimit::read_take_reply(value, decisions);
  }

  RespReader small{64};  // the bound on size: only that nothing breaks
  for (std::size_t at = 0; at < bytes.size(); at += chunk) {
    small.feed(bytes.substr(at, chunk));
    bool ignored = false;
    (void)drain(small, ignored);
  }
  return 0;
}
