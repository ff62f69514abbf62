// Which files a configuration may name. The platform's gateway.yaml names any; a tenant only those in its own folder
// and in the folders that the platform opens to tenants (policy.files). Called by the kinds File and LogFile.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/gateway_config.hpp"

namespace gatehouse::config {

class FileRules {
 public:
  /// For gateway.yaml at `file`: relative paths are relative to its folder.
  [[nodiscard]] static FileRules of_gateway(const std::string& file);
  /// For the tenant whose file is called STEM.yaml: relative paths resolve below tenants/STEM.d/.
  [[nodiscard]] static FileRules of_tenant(const GatewayConfig& gateway, std::string_view stem);

  /// The same rules, but files need not be there: for what was read before.
  [[nodiscard]] FileRules without_looking() && {
    looks_ = false;
    return std::move(*this);
  }
  [[nodiscard]] bool looks() const noexcept { return looks_; }

  /// The absolute path that `path` means, or why it is refused. For a tenant the path must stay within an allowed
  /// folder both as it is written and after following every link: a link in a folder that a tenant can write must not
  /// lead out of it. A ConfigMap's ..data links stay inside.
  [[nodiscard]] std::expected<std::string, std::string> resolve(std::string_view path) const;

  /// What the regular file at `absolute_path`, which resolve() has returned, holds now, or why it cannot be read. The
  /// rules for links hold for what is opened, whatever has changed since.
  [[nodiscard]] std::expected<std::string, std::string> read(const std::string& absolute_path) const;

  /// More than any certificate, key or list of authorities has: a file without end must not fill the memory.
  static constexpr std::size_t most_bytes = 4UL * 1024 * 1024;

  /// Empty if `absolute_path` is a regular file of at most `most_bytes` that this process can read, else what is wrong.
  [[nodiscard]] static std::string why_unreadable(const std::string& absolute_path);

  /// Empty if a log could be written at `absolute_path`, or if only another user could: its folder, or the one above,
  /// is there, and it is neither a folder nor a link. Else what is wrong. As gateway/runtime/log.cpp opens it.
  [[nodiscard]] static std::string why_no_log(const std::string& absolute_path);

 private:
  /// Whether a tenant may read the file at `real`, a path without links.
  [[nodiscard]] bool may_read(const std::string& real) const;

  std::string base_;  // absolute, "/"-terminated
  std::string own_name_;  // tenant: "STEM.d"
  std::string tenants_directory_;  // tenant: the folder that must hold own_name_
  std::vector<std::string> allowed_;  // tenant: policy.files, "/"-terminated
  bool confined_ = false;
  bool looks_ = true;
};

/// `path` made absolute below `base` and freed of ".", ".." and "//"; does not look at the disk.
[[nodiscard]] std::string absolute_path(std::string_view path, const std::string& base);
/// "tenants/shop.yaml" -> "shop".
[[nodiscard]] std::string stem_of(std::string_view path);
/// The folder of an absolute path, "/"-terminated.
[[nodiscard]] std::string folder_of(const std::string& absolute_path);

}  // namespace gatehouse::config
