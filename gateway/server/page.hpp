// The operator's page: /status as a table that renews itself. Static text; the browser fills it in.
#pragma once

#include <string>

namespace gatehouse::server {
[[nodiscard]] std::string status_page();
}
