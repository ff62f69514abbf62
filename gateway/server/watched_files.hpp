// Files whose changes make a reload. Called by server.cpp, and by snapshot_builder.cpp for the WAF's rules.
#pragma once

#include <string>
#include <vector>

namespace gatehouse::server {

/// Size, time and inode of each file as text; two equal fingerprints mean that nothing changed. Follows symbolic links,
/// so that the swap of a mounted ConfigMap is a change.
[[nodiscard]] std::string fingerprint(const std::vector<std::string>& files);

/// The files that a glob pattern names, sorted.
[[nodiscard]] std::vector<std::string> expand_glob(const std::string& pattern);

}  // namespace gatehouse::server
