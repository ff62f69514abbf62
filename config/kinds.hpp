// The kinds of values that configuration knows: what text is taken for each, what it becomes, and how a JSON Schema
// says the same. See reader.hpp for what a kind is. Called by gateway_reader.cpp and the tenant_*.cpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/files.hpp"
#include "config/quantity.hpp"
#include "config/reader.hpp"

namespace gatehouse::config {

/// The text of a scalar without control characters; nullptr after having said that `expected` should stand here.
[[nodiscard]] const std::string* text_of(Source& source, const Node& node, std::string_view expected);
/// The same, and not in quotes: numbers and booleans.
[[nodiscard]] const std::string* plain_text_of(Source& source, const Node& node, std::string_view expected);

/// The same, and text to any reader of YAML: a bare 1.5, true or null is not (YAML 1.2.2 section 10.3.2).
[[nodiscard]] const std::string* string_of(Source& source, const Node& node, std::string_view expected);

/// off, none, or a bare false.
[[nodiscard]] bool is_off(const Node& node) noexcept;

struct Duration {
  Milliseconds least{1};
  Milliseconds most{std::chrono::hours(24)};
  bool read(Source& source, const Node& node, Milliseconds& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const Milliseconds& value) const { return json_string(show_duration(value)); }
};

struct Size {
  std::uint64_t least = 1;
  std::uint64_t most = std::uint64_t{1} << 40;
  bool read(Source& source, const Node& node, std::size_t& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(std::size_t value) const { return json_string(show_size(value)); }
};

/// "240B/s", or off as zero.
struct SizePerSecond {
  std::uint64_t most = std::uint64_t{1} << 40;
  bool read(Source& source, const Node& node, std::size_t& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(std::size_t value) const {
    return json_string(value == 0 ? "off" : show_size(value) + "/s");
  }
};

struct RateKind {
  std::uint64_t most = 1'000'000'000;
  bool read(Source& source, const Node& node, Rate& out) const;
  [[nodiscard]] JsonObject schema() const;
};

struct Integer {
  std::uint64_t least = 0;
  std::uint64_t most = 0;

  template <std::unsigned_integral T>
  bool read(Source& source, const Node& node, T& out) const {
    const auto value = parse(source, node);
    if (value) out = static_cast<T>(*value);
    return value.has_value();
  }
  [[nodiscard]] JsonObject schema() const;
  template <std::unsigned_integral T>
  [[nodiscard]] std::string show(const T& value) const {
    return value < least ? std::string() : std::to_string(value);
  }

 private:
  [[nodiscard]] std::optional<std::uint64_t> parse(Source& source, const Node& node) const;
};

/// Of one processor: "50%", 0.5 or "500m", as in systemd and Kubernetes; in thousandths.
struct ProcessorShare {
  std::uint32_t most = 256'000;
  bool read(Source& source, const Node& node, std::uint32_t& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(std::uint32_t value) const;
};

/// auto (as zero) or how many.
struct Workers {
  bool read(Source& source, const Node& node, unsigned& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(unsigned value) const { return value == 0 ? "\"auto\"" : std::to_string(value); }
};

struct Boolean {
  bool read(Source& source, const Node& node, bool& out) const;
  [[nodiscard]] JsonObject schema() const { return schema_of_type("boolean"); }
  [[nodiscard]] std::string show(bool value) const { return value ? "true" : "false"; }
};

/// Words, for reading and for the schema alike. Where "off" is one of them, false means the same: kubectl and Helm turn
/// a bare off into false.
struct Words {
  std::vector<std::string_view> known;
  std::vector<std::pair<std::string_view, std::string_view>> unavailable;  // word, what to take instead

  /// The index of the word that stands here.
  [[nodiscard]] std::optional<std::size_t> index(Source& source, const Node& node) const;
  [[nodiscard]] JsonObject schema() const;
};

template <class E>
struct Choice {
  struct Option {
    std::string_view word;
    E value;
  };
  std::vector<Option> options;
  std::vector<std::pair<std::string_view, std::string_view>> unavailable{};

  bool read(Source& source, const Node& node, E& out) const {
    const auto index = words().index(source, node);
    if (index) out = options[*index].value;
    return index.has_value();
  }
  [[nodiscard]] JsonObject schema() const { return words().schema(); }
  [[nodiscard]] std::string show(const E& value) const {
    for (const Option& option : options) {
      if (option.value == value)
        return option.word == "true" || option.word == "false" ? std::string(option.word) : json_string(option.word);
    }
    return {};
  }

 private:
  [[nodiscard]] Words words() const {
    Words words{{}, unavailable};
    for (const Option& option : options) words.known.push_back(option.word);
    return words;
  }
};

/// Text that a function checks and normalises.
struct Text {
  using Check = Parsed<std::string> (*)(std::string_view);
  std::string_view expected;  // "a host name"
  Check check = nullptr;
  std::size_t most_bytes = 255;
  std::string_view pattern = {};  // for the schema
  std::size_t least_bytes = 1;

  bool read(Source& source, const Node& node, std::string& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const std::string& value) const {
    return value.empty() ? std::string() : json_string(value);
  }
};

[[nodiscard]] Text name_text(
    std::string_view expected);  // of sites, services, limits: labels of metrics, so short and plain
[[nodiscard]] Text host_pattern_text();
[[nodiscard]] Text path_text();  // of routes and exclusions: as the normalised path of a request is written
[[nodiscard]] Text field_name_text();  // lower-cased
[[nodiscard]] Text method_text();

struct Address {
  bool read(Source& source, const Node& node, SocketAddress& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const SocketAddress&) const { return {}; }
};

/// An address, or none (or off).
struct AddressOrNone {
  bool read(Source& source, const Node& node, std::optional<SocketAddress>& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const std::optional<SocketAddress>& value) const {
    return json_string(value ? value->to_string() : "none");
  }
};

struct Network {
  bool read(Source& source, const Node& node, Cidr& out) const;
  [[nodiscard]] JsonObject schema() const;
};

/// A file's path, resolved and allowed by `files`.
struct File {
  const FileRules& files;
  bool must_exist = true;  // and be a regular file that this process can read
  bool read(Source& source, const Node& node, std::string& out) const;
  [[nodiscard]] JsonObject schema() const { return schema_of_type("string"); }
  [[nodiscard]] std::string show(const std::string& value) const {
    return value.empty() ? std::string() : json_string(value);
  }
};

/// "-" (standard output), off (the empty string) or a file.
struct LogFile {
  const FileRules& files;
  bool read(Source& source, const Node& node, std::string& out) const;
  [[nodiscard]] JsonObject schema() const;
  [[nodiscard]] std::string show(const std::string& value) const { return json_string(value.empty() ? "off" : value); }
};

/// Says what is wrong with the form of a list, or of a mapping of names.
bool check_list(Source& source, const Node& node, std::size_t least, std::size_t most);
bool check_named(Source& source, const Node& node, std::size_t least, std::size_t most);

/// A list of one kind. What is given replaces what was there.
template <class Item>
struct List {
  Item item;
  std::size_t least = 0;
  std::size_t most = 1'000;

  template <class T>
  bool read(Source& source, const Node& node, std::vector<T>& out) const {
    if (!check_list(source, node, least, most)) return false;
    out.clear();
    bool good = true;
    for (const Node& each : node.items) {
      T value{};
      if (item.read(source, each, value))
        out.push_back(std::move(value));
      else
        good = false;
    }
    return good;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema = schema_of_type("array");
    schema.add("items", item.schema().to_string());
    if (least > 0) schema.add("minItems", std::to_string(least));
    return schema;
  }
  template <class T>
  [[nodiscard]] std::string show(const std::vector<T>& values) const {
    if constexpr (requires(const T& value) { item.show(value); }) {
      std::vector<std::string> items;
      items.reserve(values.size());
      for (const T& value : values) items.push_back(item.show(value));
      for (const std::string& each : items) {
        if (each.empty()) return {};
      }
      return json_array(items);
    } else {
      return values.empty() ? "[]" : std::string();
    }
  }
};

template <class Item>
[[nodiscard]] List<Item> list_of(Item item, std::size_t least = 0, std::size_t most = 1'000) {
  return {std::move(item), least, most};
}

/// A mapping from names of the author's own to mappings with fixed keys, into structs that have a `name`. `Read` is
/// callable as (Mapping&, T&).
template <class T, class Read>
struct Named {
  Read read_members;
  std::string_view expected;  // "a service's name"
  std::size_t least = 0;
  std::size_t most = 500;
  std::string_view usual = {};  // a name under which other defaults hold

  bool read(Source& source, const Node& node, std::vector<T>& out) const {
    if (!check_named(source, node, least, most)) return false;
    out.clear();
    bool good = true;
    for (const Member& member : node.members) {
      Node key;
      key.kind = Node::Kind::scalar;
      key.at = key.text_at = member.key_at;
      key.text = member.key;
      T value{};
      const bool name_good = name_text(expected).read(source, key, value.name);
      if (Object<T, const Read&>{read_members}.read(source, member.value, value) && name_good)
        out.push_back(std::move(value));
      else
        good = false;
    }
    return good;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema = schema_of_type("object");
    schema.add("propertyNames", name_text(expected).schema().to_string());
    const Object<T, const Read&> members{read_members};
    if (!usual.empty()) {
      T standard{};
      standard.name = usual;
      JsonObject named;
      named.add(usual, members.schema(standard).to_string());
      schema.add("properties", named.to_string());
    }
    schema.add("additionalProperties", members.schema().to_string());
    if (least > 0) schema.add("minProperties", std::to_string(least));
    return schema;
  }
  [[nodiscard]] std::string show(const std::vector<T>&) const { return {}; }
};

template <class T, class Read>
[[nodiscard]] Named<T, Read> named(std::string_view expected, Read read_members, std::size_t least = 0,
                                   std::string_view usual = {}) {
  return {.read_members = std::move(read_members), .expected = expected, .least = least, .usual = usual};
}

}  // namespace gatehouse::config
