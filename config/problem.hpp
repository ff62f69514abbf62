// What is wrong in a configuration, and where. Everything that reads configuration reports Problems;
// `gatehouse check` prints them, the log carries them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::config {

enum class Severity { error, warning };

/// A place in a file. Lines and columns count from 1, columns in bytes; 0 when the whole file is meant.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;

  /// For whoever goes there: the whole file is its beginning.
  [[nodiscard]] int shown_line() const noexcept { return std::max(line, 1); }
  [[nodiscard]] int shown_column() const noexcept { return std::max(column, 1); }
};

struct Problem {
  Severity severity = Severity::error;
  Place place;
  std::string message;     // what is wrong, why, and what would be right; one line, no control characters
  std::string source_line; // the line itself or a part of it, for the caret; empty when there is none
  int caret = 0;           // where in source_line the caret stands, from 1; 0: at place.column

  /// "file:line:column: error: message", 1:1 of the whole file, then the line and a caret below the column. Safe to print whatever a file
  /// holds: controls and invalid UTF-8 are replaced, secrets masked, long lines cut.
  [[nodiscard]] std::string to_string() const;

  /// Takes from `text`, the whole file, the line that `place` names: secrets masked, at most 200 bytes around the
  /// column.
  void show_source(std::string_view text);
};

using Problems = std::vector<Problem>;

[[nodiscard]] bool has_errors(const Problems& problems) noexcept;

/// By line and column; what concerns the whole file first.
void sort_by_place(Problems& problems);

}  // namespace gatehouse::config
