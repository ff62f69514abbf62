// What the process has one of (a lock for libmodsecurity's parser) and what each thread has one of (a ModSecurity
// object). Used by everything in waf/ that touches libmodsecurity.
#pragma once

#include <mutex>

#include "waf/modsecurity.hpp"

namespace gatehouse::waf {

/// libmodsecurity's SecLang parser keeps state in globals: only one thread may be in it (ModSecurity issue 2536).
[[nodiscard]] std::mutex& parse_mutex() noexcept;

/// The calling thread's ModSecurity object: made on first use, kept for the next thread when this one ends, never
/// destroyed (its destructor takes down libxml2 and curl for the whole process).
[[nodiscard]] modsecurity::ModSecurity& thread_library();

}  // namespace gatehouse::waf
