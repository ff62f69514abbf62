// What gateway.yaml's acme and storage name files for: keys and passwords. Read when the configuration is, by the gateway and
// by `check`.
#pragma once

#include <expected>
#include <string>

#include "acme/environment.hpp"
#include "acme/sealed.hpp"
#include "config/gateway_config.hpp"

namespace gatehouse::server {

/// The first line of a file that gateway.yaml names. The error names the file.
[[nodiscard]] std::expected<acme::Secret, std::string> read_secret(const std::string& file);

/// The error says which file cannot be used and why, and nothing of what it holds.
[[nodiscard]] std::expected<acme::AuthorityRef, std::string> read_authority(const config::AcmeAuthority& config);

/// From storage.redis.encryption_key_file.
[[nodiscard]] std::expected<acme::Sealer, std::string> read_storage_key(const std::string& file);

}  // namespace gatehouse::server
