// Reading files that somebody else may replace at any moment: bounded, never waiting for a pipe, and without following a
// link that nobody has judged. Called by load.cpp for YAML and by files.cpp for what tenants name.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

namespace gatehouse::config {

enum class FileKind { any, regular };  // any: also a pipe or a device, which only the platform may name

/// What the file holds, or of a longer one the first `most_bytes` and one more; or why it cannot be read.
[[nodiscard]] std::expected<std::string, std::string> read_file(const std::string& path, FileKind kind,
                                                                std::size_t most_bytes);

struct ConfinedError {
  bool leads_out = false;  // by a link, to where `may_read` says no
  std::string reason;
};

/// Like read_file() for a regular file. `may_read` is asked about the path with every link followed, and that path is
/// then opened without following any: whoever puts a link in place meanwhile gains nothing. When the links change on the
/// way, as a ConfigMap's do, they are followed anew.
[[nodiscard]] std::expected<std::string, ConfinedError> read_confined(
    const std::string& path, const std::function<bool(const std::string& real)>& may_read, std::size_t most_bytes);

/// `path` with every link followed; what does not exist stays as written. Empty if that cannot be found out.
[[nodiscard]] std::string real_path(const std::string& path);

/// True if `path` is inside of `folder`; both absolute and normalised, `folder` "/"-terminated.
[[nodiscard]] bool is_below(std::string_view path, std::string_view folder) noexcept;
[[nodiscard]] std::string with_slash(std::string folder);

}  // namespace gatehouse::config
