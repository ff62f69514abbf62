// RESP2 framing over hiredis's reader and formatter: bytes in, values out. hiredis stays behind this header.
#pragma once

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
  std::string text;                 // string, status, error
  std::vector<RespValue> items;     // array
};

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> arguments);

/// Incremental reader of replies. Hostile input costs bounded memory: a reply of more than `max_reply_bytes` in all,
/// nested deeper than 7 or of more than 100,000 elements is a protocol error; after an error the connection is to be closed.
class RespReader {
 public:
  explicit RespReader(std::size_t max_reply_bytes = 1024 * 1024);
  ~RespReader();
  RespReader(RespReader&&) noexcept;
  RespReader& operator=(RespReader&&) noexcept;

  void feed(std::string_view bytes);
  /// The next whole reply; std::nullopt when more bytes are needed; an error text when the peer does not speak RESP2.
  [[nodiscard]] std::expected<std::optional<RespValue>, std::string> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gatehouse::ratelimit
