// How a mapping of YAML becomes a struct. A reader is a function that names each key once, with its member, its kind
// and its description:
//
//   void read_health(Mapping& m, HealthCheck& health) {
//     m.read("path", health.path, RoutePath{}, "Requested with GET from each endpoint.");
//     m.read("interval", health.interval, Duration{100ms, 1h}, "From one check to the next.");
//   }
//
// The same function, run on a mapping that describes, writes the JSON Schema: the member's value at that time is the
// default. So a new key is one line, and loader and schema cannot drift apart. Called by gateway_reader.cpp and the
// tenant_*.cpp; kinds are in kinds.hpp.
//
// A kind has
//   bool read(Source&, const Node&, T& out) const   false when it has reported why not
//   JsonObject schema() const                       or schema(const T&), with the defaults of its members
//   std::string show(const T&) const                the value as JSON, for the schema's default; "" if there is none
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/json_schema.hpp"
#include "config/yaml.hpp"

namespace gatehouse::config {

/// "'acme' is not available: it does not exist in this version of gatehouse; INSTEAD"
[[nodiscard]] std::string not_in_this_version(std::string_view what, std::string_view instead);

/// "text", "a list", "a mapping", "nothing": for messages.
[[nodiscard]] std::string_view describe(Node::Kind kind) noexcept;

class Mapping {
 public:
  /// Reads `node`, a mapping. `key_at` is where the key stands that holds it.
  Mapping(Source& source, const Node& node) : source_(&source), node_(&node) {}
  /// Describes.
  Mapping() = default;

  /// An optional key. True if it is there and was read; `out` stays as it is otherwise.
  template <class T, class Kind>
  bool read(std::string_view key, T& out, const Kind& kind, std::string_view description) {
    if (describing()) {
      add_schema(key, schema_of(kind, out), shown(kind, out), description, false);
      return false;
    }
    const Node* value = take(key, accepts_null<Kind>());
    return value != nullptr && read_value(*value, out, kind);
  }

  /// A key that must be there.
  template <class T, class Kind>
  bool require(std::string_view key, T& out, const Kind& kind, std::string_view description) {
    if (describing()) {
      add_schema(key, schema_of(kind, out), {}, description, true);
      return false;
    }
    if (node_->find(key) == nullptr) missing_.push_back(key);
    const Node* value = take(key, accepts_null<Kind>());
    return value != nullptr && read_value(*value, out, kind);
  }

  /// A key that is known but not taken, with what to say about it; no part of the schema.
  void refuse(std::string_view key, const std::string& message);
  /// A key whose feature does not exist in this version: refused with these words.
  void unavailable(std::string_view key, std::string_view instead) { refuse(key, not_in_this_version(key, instead)); }

  [[nodiscard]] bool describing() const noexcept { return node_ == nullptr; }
  [[nodiscard]] bool has(std::string_view key) const noexcept {
    return node_ != nullptr && node_->find(key) != nullptr;
  }
  /// The place of the mapping, of a key's value, and of a scalar's text.
  [[nodiscard]] Mark at() const noexcept { return node_ == nullptr ? Mark{} : node_->at; }
  [[nodiscard]] Mark at(std::string_view key) const noexcept;
  [[nodiscard]] Mark text_at(std::string_view key) const noexcept;
  /// The value of a key; nullptr if it is absent.
  [[nodiscard]] const Node* value(std::string_view key) const noexcept;
  [[nodiscard]] Mark item_at(std::string_view key, std::size_t index) const noexcept;
  /// The keys of the mapping that is a key's value (not all of thousands), and where one of them stands.
  [[nodiscard]] std::vector<std::string_view> names(std::string_view key) const;
  [[nodiscard]] Mark name_at(std::string_view key, std::string_view name) const noexcept;
  [[nodiscard]] Place place(Mark mark) const { return source_ == nullptr ? Place{} : source_->place(mark); }

  /// Reports at the mapping, or at a key's value. Nothing while describing.
  void error(const std::string& message) { error_at(at(), message); }
  void error(std::string_view key, const std::string& message) { error_at(at(key), message); }
  void warning(std::string_view key, const std::string& message) { warning_at(at(key), message); }
  void error_at(Mark mark, const std::string& message);
  void warning_at(Mark mark, const std::string& message);
  /// Reports the keys that are missing and those that nobody has read. Call once, at the end. False if anything was wrong.
  bool finish();

  /// The schema of what was described.
  [[nodiscard]] JsonObject schema() const;

 private:
  template <class Kind>
  static constexpr bool accepts_null() {
    if constexpr (requires { Kind::accepts_null; })
      return Kind::accepts_null;
    else
      return false;
  }

  template <class T, class Kind>
  static JsonObject schema_of(const Kind& kind, const T& standard) {
    if constexpr (requires { kind.schema(standard); })
      return kind.schema(standard);
    else
      return kind.schema();
  }

  template <class T, class Kind>
  static std::string shown(const Kind& kind, const T& value) {
    if constexpr (requires { kind.show(value); })
      return kind.show(value);
    else
      return {};  // an optional member has no default
  }

  template <class T, class Kind>
  bool read_value(const Node& value, T& out, const Kind& kind) {
    bool good = false;
    if constexpr (requires { kind.read(*source_, value, out); }) {
      good = kind.read(*source_, value, out);
    } else {
      typename T::value_type inner{};
      good = kind.read(*source_, value, inner);
      if (good) out = std::move(inner);
    }
    failed_ = failed_ || !good;
    return good;
  }

  /// The value of `key`, unless it is absent, null (reported) or refused. Notes the key as known.
  const Node* take(std::string_view key, bool accepts_null);
  void add_schema(std::string_view key, JsonObject schema, const std::string& standard, std::string_view description,
                  bool required);

  Source* source_ = nullptr;
  const Node* node_ = nullptr;
  bool failed_ = false;
  bool refused_given_ = false;
  std::vector<std::string_view> known_;
  std::vector<std::string_view> refused_;
  std::vector<std::string_view> missing_;
  JsonObject properties_;
  std::vector<std::string> required_;
};

/// A mapping with fixed keys. `Read` is callable as (Mapping&, T&).
template <class T, class Read>
struct Object {
  Read read_members;

  bool read(Source& source, const Node& node, T& out) const {
    if (node.kind != Node::Kind::mapping) {
      if (node.kind != Node::Kind::refused)
        source.error(node.at, "a mapping {key: value, ...} is expected here, not " + std::string(describe(node.kind)));
      return false;
    }
    Mapping mapping(source, node);
    read_members(mapping, out);
    return mapping.finish();
  }
  [[nodiscard]] JsonObject schema(const T& standard = T{}) const {
    Mapping mapping;
    T described = standard;
    read_members(mapping, described);
    return mapping.schema();
  }
  [[nodiscard]] std::string show(const T&) const { return {}; }
};

template <class T, class Read>
[[nodiscard]] Object<T, Read> object(Read read_members) {
  return {std::move(read_members)};
}

}  // namespace gatehouse::config
