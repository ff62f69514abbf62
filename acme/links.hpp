// Link fields, by which CAs name other chains (RFC 8555 section 7.4.2). Called by acme/order.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::acme {

/// The URLs of a Link field with the relation (RFC 8288 section 3). Only those that may be asked: relative ones do not count.
[[nodiscard]] std::vector<std::string> links(std::string_view field, std::string_view relation);

}  // namespace gatehouse::acme
