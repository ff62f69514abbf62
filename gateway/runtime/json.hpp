// Appends JSON to a string: for logs and status, where every value may come from outside. Never throws but for
// memory; a hostile value stays inside its quotes.
#pragma once

#include <string>
#include <string_view>

namespace gatehouse::runtime {

/// Appends `text` as a JSON string with its quotes (RFC 8259 section 7). Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// Appends a decimal number.
void append_number(std::string& out, std::uint64_t number);

/// An object that grows member by member: {"a":"b","n":1}. Writes into the caller's string.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void text(std::string_view key, std::string_view value) {
    name(key);
    append_json_string(out_, value);
  }
  void number(std::string_view key, std::uint64_t value) {
    name(key);
    append_number(out_, value);
  }
  void boolean(std::string_view key, bool value) {
    name(key);
    out_ += value ? "true" : "false";
  }
  /// The caller appends the value itself.
  void name(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  void close() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace gatehouse::runtime
