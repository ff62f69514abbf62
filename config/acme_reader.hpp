// `acme` and `storage` of gateway.yaml. Called by gateway_reader.cpp.
#pragma once

#include <string_view>

#include "config/files.hpp"
#include "config/gateway_config.hpp"
#include "config/reader.hpp"

namespace gatehouse::config {

/// The CA that there is where gateway.yaml has no acme; one of this name needs no directory.
inline constexpr std::string_view kUsualAuthority = "default";
[[nodiscard]] AcmeAuthority usual_authority();

void read_authority(Mapping& m, AcmeAuthority& authority, const FileRules& files);
void read_storage(Mapping& m, Storage& storage, const FileRules& files);
/// What can only be seen once all of gateway.yaml has been read.
void check_acme(Mapping& m, const GatewayConfig& config);

}  // namespace gatehouse::config
