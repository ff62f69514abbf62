// A strict subset of YAML as a tree with places: what the readers of gateway.yaml and of tenants' files work on.
//
// yaml-cpp scans; everything by which a file could mean another thing than it shows, or cost more than it is long, is
// refused here: duplicate keys, anchors and aliases, tags, directives, several documents, keys that are not text,
// depth, size, control characters. Scalars stay text: what "010", "no" or "off" mean is decided by who expects a
// value, not by YAML's guesses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/problem.hpp"

namespace gatehouse::config {

/// Lines and columns count from 1, columns in bytes; line 0: the whole file.
struct Mark {
  int line = 0;
  int column = 0;
  bool operator==(const Mark&) const = default;
};

struct Member;

struct Node {
  enum class Kind {
    null,      // "key:" without a value, or ~
    scalar,
    sequence,
    mapping,
    refused,   // already reported; whoever expects a value says nothing more
  };
  Kind kind = Kind::null;
  bool quoted = false;           // scalar: in quotes or a block, so never a number or a boolean
  Mark at;
  Mark text_at;                  // scalar: where its text begins, behind the quote or in the line after "|"
  std::string text;              // scalar
  std::vector<Node> items;       // sequence
  std::vector<Member> members;   // mapping, in the file's order, keys unique

  [[nodiscard]] const Member* find(std::string_view key) const noexcept;
};

struct Member {
  std::string key;
  Mark key_at;
  Node value;
};

/// One file: its text and what is wrong with it.
class Source {
 public:
  Source(std::string_view text, std::string file);

  void error(Mark at, const std::string& message) { report(Severity::error, at, message); }
  void warning(Mark at, const std::string& message) { report(Severity::warning, at, message); }
  [[nodiscard]] Place place(Mark at) const { return {file_, at.line, at.column}; }
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  /// False if parse_yaml() did not get to the end of the text: keys may stand where nobody has looked.
  [[nodiscard]] bool is_whole() const noexcept { return whole_; }
  /// The problems by place; at most kMostProblems and a last one that says so.
  [[nodiscard]] Problems take_problems();

  /// A file that the text names and that is not there, or not readable: whoever watches files waits for it.
  void miss(std::string file) { missing_.push_back(std::move(file)); }
  [[nodiscard]] std::vector<std::string> take_missing() { return std::move(missing_); }

  static constexpr std::size_t kMostProblems = 100;

 private:
  friend Node parse_yaml(Source& source);
  void report(Severity severity, Mark at, const std::string& message);

  std::string text_;   // with line ends as \n and without a byte order mark
  std::string file_;
  Problems problems_;
  std::vector<std::string> missing_;
  std::size_t errors_not_shown_ = 0;
  bool whole_ = false;
};

/// Bounds, each far above what a configuration needs and far below what would hurt.
inline constexpr std::size_t kMostBytes = 4UL * 1024 * 1024;
inline constexpr std::size_t kMostNodes = 100'000;
inline constexpr std::size_t kMostPunctuation = 200'000;  // , [ ] { } : and the like bound yaml-cpp's queue of tokens
inline constexpr std::size_t kDeepest = 32;

/// The first document of `source`; problems go to it. A syntax error gives a refused node. Never throws for what a file
/// holds.
[[nodiscard]] Node parse_yaml(Source& source);

}  // namespace gatehouse::config
