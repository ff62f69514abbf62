// Keeps the regular expressions that libmodsecurity compiles while it evaluates: selectors like TX:/^a/ and patterns
// with macros are compiled anew each time, JIT and all, for the same text. Defines pcre2_compile_8,
// pcre2_jit_compile_8 and pcre2_code_free_8 before the library's (see interpose.hpp). Told by waf/interpose.cpp when a
// transaction is running.
#pragma once

#include <cstddef>

namespace gatehouse::waf {

/// While on, what this thread compiles is kept and found again; what is found must not be freed by anyone else.
void cache_patterns(bool on) noexcept;

/// For tests: how many compilations of this thread were answered from the cache.
[[nodiscard]] std::size_t patterns_found() noexcept;

}  // namespace gatehouse::waf
