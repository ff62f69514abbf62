#include "waf/json_names.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "waf/base_rules.hpp"

namespace gatehouse::waf {
namespace {

void append_utf8(std::uint32_t code, std::string& out) {
  const auto byte = [&](std::uint32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6);
    byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3F));
    byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3F));
    byte(0x80 | (code >> 6 & 0x3F));
    byte(0x80 | (code & 0x3F));
  }
}

// Four hexadecimal digits at `at`; 0 if they are none.
std::uint32_t code_at(std::string_view text, std::size_t at) noexcept {
  std::uint32_t code = 0;
  if (text.size() < at + 4) return 0;
  std::from_chars(text.data() + at, text.data() + at + 4, code, 16);
  return code;
}

std::string unescaped_name(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        std::uint32_t code = code_at(text, i + 1);
        i += 4;
        if (code >= 0xD800 && code < 0xDC00 && text.substr(std::min(i + 1, text.size())).starts_with("\\u")) {
          code = 0x10000 + ((code & 0x3FF) << 10 | (code_at(text, i + 3) & 0x3FF));
          i += 6;
        }
        append_utf8(code, out);
        break;
      }
      default: out += text[i];
    }
  }
  return out;
}

class Walk {
 public:
  Walk(std::string_view json, std::function<bool(const std::string&)> report)
      : json_(json), report_(std::move(report)) {}

  /// False if the names are too long, which ends it.
  bool run() {
    walk();
    return names_bytes_ <= max_json_names_bytes;
  }

 private:
  using Node = std::uint32_t;  // a container by the names on the way to it, whichever elements of arrays it is in
  struct Container {
    Node node = 0;
    std::string_view name;  // escaped
    bool is_array = false;
    bool empty = true;
    bool name_is_next = true;  // of an object
    bool has_value = false;    // a text, number or the like, since the last comma
    std::size_t index = 0;     // of an array
    std::size_t path_bytes = 0;  // about those of the names up to here
  };

  // What is no JSON is an error to the parser, sooner or later: until then, whatever it may still read is counted.
  void walk() {
    for (; at_ < json_.size(); ++at_) {
      const char c = json_[at_];
      switch (c) {
        case '"': string(); break;
        case '{':
        case '[':
          if (!open(c == '[')) return;
          break;
        case '}':
        case ']':
          if (!stack_.empty() && !close()) return;
          break;
        case ',':
          if (stack_.empty()) break;
          if (!count_value()) return;
          stack_.back().name_is_next = true;
          ++stack_.back().index;
          break;
        case ':':
          if (!stack_.empty()) stack_.back().name_is_next = false;
          break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case '\v':  // these two to yajl alone
        case '\f': break;
        default:
          if (stack_.empty()) break;
          stack_.back().empty = false;
          stack_.back().has_value = true;
      }
    }
  }

  bool count_value() {
    Container& in = stack_.back();
    if (!std::exchange(in.has_value, false) || values_ > max_arguments) return true;
    ++values_;
    names_bytes_ += in.path_bytes + (in.is_array ? 0 : name_.size());
    return names_bytes_ <= max_json_names_bytes;
  }

  void string() {
    const std::size_t begin = ++at_;
    while (at_ < json_.size() && json_[at_] != '"') at_ += json_[at_] == '\\' ? 2 : 1;
    if (stack_.empty() || at_ >= json_.size()) return;
    Container& in = stack_.back();
    in.empty = false;
    if (!in.is_array && in.name_is_next)
      name_ = json_.substr(begin, at_ - begin);
    else
      in.has_value = true;
  }

  bool open(bool is_array) {
    if (stack_.size() > max_json_depth) return false;
    Container next{.is_array = is_array};
    if (!stack_.empty()) {
      Container& in = stack_.back();
      in.empty = false;
      if (!in.is_array) next.name = name_;
      constexpr std::size_t around_a_name = 16;  // dots, the number of an element
      next.path_bytes = in.path_bytes + next.name.size() + around_a_name;
      if (!report_) {
        stack_.push_back(next);
        return true;
      }
      const std::pair<Node, std::string_view> key{in.node, next.name};
      next.node = nodes_.try_emplace(key, static_cast<Node>(nodes_.size() + 1)).first->second;
    }
    stack_.push_back(next);
    return true;
  }

  bool close() {
    if (!count_value()) return false;
    const Container last = stack_.back();
    if (!last.empty || stack_.size() == 1 || !report_ || !told_.insert(last.node).second) {
      stack_.pop_back();
      return true;
    }
    std::string name = "json";
    for (std::size_t i = 0; i < stack_.size(); ++i) {
      const bool named = i > 0 && !stack_[i - 1].is_array;
      if (named) name += stack_[i].name.empty() ? "empty-key" : unescaped_name(stack_[i].name);
      if (i + 1 == stack_.size()) break;
      name += stack_[i].is_array ? ".array_" + std::to_string(stack_[i].index) : ".";
    }
    stack_.pop_back();
    return report_(name);
  }

  std::string_view json_;
  std::function<bool(const std::string&)> report_;  // null: nobody asks
  std::size_t at_ = 0;
  std::string_view name_;  // the last one of an object
  std::vector<Container> stack_;
  std::size_t values_ = 0;
  std::size_t names_bytes_ = 0;  // of the values
  std::map<std::pair<Node, std::string_view>, Node> nodes_;
  std::set<Node> told_;
};

}  // namespace

bool json_is_within_bounds(std::string_view json) { return Walk(json, {}).run(); }

void empty_json_containers(std::string_view json, const std::function<bool(const std::string& name)>& report) {
  Walk(json, report).run();
}

}  // namespace gatehouse::waf
