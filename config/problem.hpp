// What is wrong in a configuration, and where. Everything that reads configuration reports Problems;
// `gatehouse check` prints them, the log carries them.
#pragma once

#include <string>
#include <vector>

namespace gatehouse::config {

enum class Severity { error, warning };

/// A place in a file. Lines and columns count from 1, columns in bytes; 0 when the whole file is meant.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
};

struct Problem {
  Severity severity = Severity::error;
  Place place;
  std::string message;     // what is wrong, why, and what would be right; one line, no control characters
  std::string source_line; // the line itself, for the caret; empty when there is none

  /// "file:line:column: error: message", then the line and a caret below the column.
  [[nodiscard]] std::string to_string() const;
};

using Problems = std::vector<Problem>;

[[nodiscard]] bool has_errors(const Problems& problems) noexcept;

}  // namespace gatehouse::config
