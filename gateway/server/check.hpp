// `gatehouse check`: everything that a start would find wrong, without starting.
#pragma once

#include <ostream>
#include <string>

namespace gatehouse::server {

struct CheckOptions {
  std::string path;
  bool verbose = false;
  bool json = false;
};

/// Prints every problem; true when none is an error.
bool run_check(const CheckOptions& options, std::ostream& out);

}  // namespace gatehouse::server
