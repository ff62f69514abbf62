// RESP2 framing: commands as bytes, and replies as values by hiredis's reader. Bytes in, values out; hiredis stays
// behind this header. Called by ratelimit/redis_script.cpp and gateway/upstream/redis_session.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::ratelimit {

struct RespValue {
  enum class Type { null, string, status, error, integer, array };
  Type type = Type::null;
  std::int64_t integer = 0;
  std::string text;              // string, status, error
  std::vector<RespValue> items;  // array
};

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> arguments);

/// The same piece by piece, for commands of many arguments: the head says how many bulk strings follow.
void append_command_head(std::string& out, std::size_t arguments);
void append_bulk(std::string& out, std::string_view argument);
void append_bulk(std::string& out, std::uint64_t argument);

/// Incremental reader of replies. Hostile input costs bounded memory: a reply of more than `max_reply_bytes` in all,
/// nested deeper than 7, of more than 100,000 elements or with a line beyond 64 KiB is a protocol error. After an
/// error every further call gives the same error: the connection is to be closed.
class RespReader {
 public:
  explicit RespReader(std::size_t max_reply_bytes = 1024 * 1024);
  ~RespReader();
  RespReader(RespReader&&) noexcept;
  RespReader& operator=(RespReader&&) noexcept;

  /// Takes what was read from the peer. Call next() until it wants more before the next feed: what lies here
  /// undrained may not grow beyond `max_reply_bytes` and one feed.
  void feed(std::string_view bytes);
  /// The next whole reply; std::nullopt when more bytes are needed; an error text when the peer does not speak RESP2.
  [[nodiscard]] std::expected<std::optional<RespValue>, std::string> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gatehouse::ratelimit
