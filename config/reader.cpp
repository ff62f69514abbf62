// See reader.hpp.
#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/spelling.hpp"
#include "config/text.hpp"

namespace gatehouse::config {

std::string not_in_this_version(std::string_view what, std::string_view instead) {
  return fmt::format("'{}' is not available: it does not exist in this version of gatehouse; {}", what, instead);
}

std::string_view describe(Node::Kind kind) noexcept {
  switch (kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::scalar: return "text";
    case Node::Kind::sequence: return "a list";
    case Node::Kind::mapping: return "a mapping";
    case Node::Kind::refused: break;
  }
  return "what was refused";
}

void Mapping::refuse(std::string_view key, const std::string& message) {
  if (describing()) return;
  refused_.push_back(key);
  if (const Member* member = node_->find(key)) {
    refused_given_ = true;
    error_at(member->key_at, message);
  }
}

const Node* Mapping::value(std::string_view key) const noexcept {
  const Member* member = node_ == nullptr ? nullptr : node_->find(key);
  return member == nullptr ? nullptr : &member->value;
}

Mark Mapping::at(std::string_view key) const noexcept {
  const Node* node = value(key);
  return node == nullptr ? at() : node->at;
}

Mark Mapping::text_at(std::string_view key) const noexcept {
  const Node* node = value(key);
  return node == nullptr || node->kind != Node::Kind::scalar ? at(key) : node->text_at;
}

Mark Mapping::item_at(std::string_view key, std::size_t index) const noexcept {
  const Node* node = value(key);
  return node == nullptr || index >= node->items.size() ? at(key) : node->items[index].at;
}

std::vector<std::string_view> Mapping::names(std::string_view key) const {
  constexpr std::size_t most = 1'000;  // of more the mapping itself is refused
  std::vector<std::string_view> names;
  if (const Node* node = value(key)) {
    for (std::size_t i = 0; i < node->members.size() && i < most; ++i) names.push_back(node->members[i].key);
  }
  return names;
}

Mark Mapping::name_at(std::string_view key, std::string_view name) const noexcept {
  const Node* node = value(key);
  const Member* named = node == nullptr ? nullptr : node->find(name);
  return named == nullptr ? at(key) : named->key_at;
}

void Mapping::error_at(Mark mark, const std::string& message) {
  if (describing()) return;
  failed_ = true;
  source_->error(mark, message);
}

void Mapping::warning_at(Mark mark, const std::string& message) {
  if (!describing()) source_->warning(mark, message);
}

bool Mapping::finish() {
  if (describing()) return true;
  // What was refused may stand instead of a missing key ("dns" for "endpoints"): one sentence is enough then.
  if (!refused_given_) {
    for (const std::string_view key : missing_) error(fmt::format("'{}' is missing here", key));
  }
  std::size_t unknown = 0;
  for (const Member& member : node_->members) {
    const auto is_key = [&](std::string_view key) { return key == member.key; };
    if (std::ranges::any_of(known_, is_key) || std::ranges::any_of(refused_, is_key)) continue;
    // Of tens of thousands of unknown keys only the first are shown anyway.
    const bool shown = ++unknown <= Source::kMostProblems;
    error_at(member.key_at,
             shown ? fmt::format("{} is not a key here{}", cite(member.key), suggestion(member.key, known_))
                   : std::string());
  }
  return !failed_;
}

const Node* Mapping::take(std::string_view key, bool accepts_null) {
  known_.push_back(key);
  const Member* member = node_->find(key);
  if (member == nullptr) return nullptr;
  if (member->value.kind == Node::Kind::refused) {
    failed_ = true;
    return nullptr;
  }
  if (member->value.kind == Node::Kind::null && !accepts_null) {
    error_at(member->value.at, fmt::format("'{}' has no value", key));
    return nullptr;
  }
  return &member->value;
}

void Mapping::add_schema(std::string_view key, JsonObject schema, const std::string& standard,
                         std::string_view description, bool required) {
  schema.add_string("description", description);
  if (!standard.empty()) schema.add("default", standard);
  if (required) required_.push_back(json_string(key));
  properties_.add(key, schema.to_string());
}

JsonObject Mapping::schema() const {
  JsonObject schema = schema_of_type("object");
  schema.add("properties", properties_.to_string());
  if (!required_.empty()) schema.add("required", json_array(required_));
  schema.add("additionalProperties", "false");
  return schema;
}

}  // namespace gatehouse::config
