// Between load.cpp, which reads files, and gateway_reader.cpp, which reads their text.
#pragma once

#include <string>
#include <string_view>

#include "config/load.hpp"

namespace gatehouse::config {

/// As parse_gateway(); with `on_this_machine` the tenants' directory must exist too.
[[nodiscard]] LoadedGateway read_gateway(std::string_view text, const std::string& path, bool on_this_machine);

/// The path of a file as given on a command line, made absolute.
[[nodiscard]] std::string absolute_file(const std::string& path);

}  // namespace gatehouse::config
