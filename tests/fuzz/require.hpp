// What a fuzz target demands beyond "no crash". Used by the targets whose failures need a name.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace gatehouse::fuzz {

/// Ends the run, so that the input is kept, and tells which demand does not hold.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace gatehouse::fuzz
