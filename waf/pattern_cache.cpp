#include "waf/pattern_cache.hpp"

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace gatehouse::waf {
namespace {

using Compile = pcre2_code*(PCRE2_SPTR, PCRE2_SIZE, std::uint32_t, int*, PCRE2_SIZE*, pcre2_compile_context*);
using JitCompile = int(pcre2_code*, std::uint32_t);
using Free = void(pcre2_code*);

// CRS has a handful of such patterns. Patterns with macros can hold what a client sent, so that the number is bounded.
constexpr std::size_t max_patterns = 64;
constexpr std::size_t longest_pattern_bytes = 4096;

template <typename Function>
Function* next_definition(const char* name) {
  void* const symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) std::abort();
  return reinterpret_cast<Function*>(symbol);
}

Compile* real_compile() {
  static auto* const function = next_definition<Compile>("pcre2_compile_8");
  return function;
}
JitCompile* real_jit_compile() {
  static auto* const function = next_definition<JitCompile>("pcre2_jit_compile_8");
  return function;
}
Free* real_free() {
  static auto* const function = next_definition<Free>("pcre2_code_free_8");
  return function;
}

struct Kept {
  pcre2_code* code = nullptr;
  int users = 0;
  int jit_result = 0;
  bool jit_done = false;
};

class Cache {
 public:
  Cache() = default;
  ~Cache() {
    for (auto& [key, kept] : by_text_) real_free()(kept.code);
  }
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  static std::string key(std::string_view pattern, std::uint32_t options) {
    std::string out(reinterpret_cast<const char*>(&options), sizeof(options));
    return out += pattern;
  }
  pcre2_code* find(const std::string& key) {
    const auto found = by_text_.find(key);
    if (found == by_text_.end()) return nullptr;
    ++found->second.users;
    ++hits;
    return found->second.code;
  }
  void keep(std::string key, pcre2_code* code) {
    if (by_text_.size() >= max_patterns) drop_unused();
    if (by_text_.size() >= max_patterns) return;
    const auto [entry, fresh] = by_text_.emplace(std::move(key), Kept{.code = code, .users = 1});
    if (fresh) by_code_.emplace(code, &entry->second);
  }
  Kept* of(const pcre2_code* code) {
    const auto found = by_code_.find(code);
    return found == by_code_.end() ? nullptr : found->second;
  }

  std::size_t hits = 0;

 private:
  void drop_unused() {
    for (auto entry = by_text_.begin(); entry != by_text_.end();) {
      if (entry->second.users > 0) {
        ++entry;
        continue;
      }
      by_code_.erase(entry->second.code);
      real_free()(entry->second.code);
      entry = by_text_.erase(entry);
    }
  }

  std::unordered_map<std::string, Kept> by_text_;
  std::unordered_map<const pcre2_code*, Kept*> by_code_;  // nodes of by_text_ do not move
};

thread_local constinit bool caching = false;

Cache& cache() {
  static thread_local Cache instance;
  return instance;
}

}  // namespace

void cache_patterns(bool on) noexcept { caching = on; }
std::size_t patterns_found() noexcept { return cache().hits; }

}  // namespace gatehouse::waf

#define GATEHOUSE_EXPORT __attribute__((visibility("default"), used))

extern "C" {

GATEHOUSE_EXPORT pcre2_code_8* pcre2_compile_8(PCRE2_SPTR8 pattern, PCRE2_SIZE length, std::uint32_t options,
                                               int* error, PCRE2_SIZE* offset, pcre2_compile_context_8* context) {
  using namespace gatehouse::waf;
  if (!caching || context != nullptr || pattern == nullptr)
    return real_compile()(pattern, length, options, error, offset, context);
  const char* const text = reinterpret_cast<const char*>(pattern);
  const std::string_view view =
      length == PCRE2_ZERO_TERMINATED ? std::string_view(text) : std::string_view(text, length);
  if (view.size() > longest_pattern_bytes) return real_compile()(pattern, length, options, error, offset, context);
  try {
    std::string key = Cache::key(view, options);
    if (pcre2_code* const found = cache().find(key)) return found;
    pcre2_code* const code = real_compile()(pattern, length, options, error, offset, context);
    if (code != nullptr) cache().keep(std::move(key), code);
    return code;
  } catch (const std::bad_alloc&) {  // the caller does not expect exceptions; "no pattern" it checks for
    if (error != nullptr) *error = PCRE2_ERROR_NOMEMORY;
    return nullptr;
  }
}

GATEHOUSE_EXPORT int pcre2_jit_compile_8(pcre2_code_8* code, std::uint32_t options) {
  using namespace gatehouse::waf;
  Kept* const kept = caching && code != nullptr ? cache().of(code) : nullptr;
  if (kept == nullptr) return real_jit_compile()(code, options);
  if (!std::exchange(kept->jit_done, true)) kept->jit_result = real_jit_compile()(code, options);
  return kept->jit_result;
}

GATEHOUSE_EXPORT void pcre2_code_free_8(pcre2_code_8* code) {
  using namespace gatehouse::waf;
  // What was compiled while a transaction ran is freed while it runs, on the same thread.
  Kept* const kept = caching && code != nullptr ? cache().of(code) : nullptr;
  if (kept == nullptr) return real_free()(code);
  --kept->users;
}

}  // extern "C"
