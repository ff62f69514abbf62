// What Redis means by an error: its code, whether any other call would be served, and what an operator does about it.
// Called by redis_session.cpp and redis_trouble.cpp.
#pragma once

#include <string>
#include <string_view>

#include "ratelimit/resp.hpp"

namespace gatehouse::upstream {

/// What has a code of its own here, where Redis has none but ERR; in small letters, as no code of Redis's is.
inline constexpr std::string_view redis_maxclients = "maxclients";  // no more connections
inline constexpr std::string_view redis_login_refused = "login";
inline constexpr std::string_view redis_database_refused = "database";

/// The code of an error ("WRONGPASS"), and where a script of ours met it, the code that the script met; or
/// redis_maxclients. Nothing else of the text, which may repeat what was sent, a password among it; empty where the text
/// begins with no code.
[[nodiscard]] std::string redis_error_code(const ratelimit::RespValue& error);

/// The server will not serve any call for a while: a replica after a failover, one that loads its data, whose memory is
/// full, that may not do what the script does. A new connection may reach another.
[[nodiscard]] bool refuses_all_calls(std::string_view code) noexcept;

/// What to do about it, for the log.
[[nodiscard]] std::string_view redis_advice(std::string_view code) noexcept;

}  // namespace gatehouse::upstream
