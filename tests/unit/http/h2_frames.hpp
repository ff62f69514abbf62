// Frames as a client writes them, and what a session wrote taken apart: for the tests of HTTP/2.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/http/h2_guard.hpp"

namespace gatehouse::http::test {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string number(std::uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFF);
  return text;
}

inline std::string frame(H2FrameType type, unsigned flags, std::uint32_t stream, std::string_view payload = {}) {
  return number(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) + number(stream, 4) +
         std::string(payload);
}

using FieldList = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// HPACK (RFC 7541): literals without indexing and without Huffman's code, lengths of up to 16382 bytes.
inline void append_text(std::string& out, std::string_view text) {
  if (text.size() < 127) {
    out += static_cast<char>(text.size());
  } else {
    std::size_t rest = text.size() - 127;
    out += '\x7f';
    for (; rest >= 128; rest >>= 7) out += static_cast<char>(0x80 | (rest & 0x7F));
    out += static_cast<char>(rest);
  }
  out += text;
}
inline std::string block(FieldList fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';
    append_text(out, name);
    append_text(out, value);
  }
  return out;
}
inline std::string get_block(std::string_view path = "/") {
  return block({{":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", path}});
}

struct Written {
  H2FrameHead head;
  std::string payload;
};
inline std::vector<Written> take_apart(std::string_view bytes) {
  std::vector<Written> frames;
  while (bytes.size() >= H2FrameHead::size) {
    const H2FrameHead head = H2FrameHead::parse(reinterpret_cast<const unsigned char*>(bytes.data()));
    frames.push_back({head, std::string(bytes.substr(H2FrameHead::size, head.length))});
    bytes.remove_prefix(H2FrameHead::size + head.length);
  }
  return frames;
}

}  // namespace gatehouse::http::test
