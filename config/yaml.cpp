// See yaml.hpp.
#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <span>
#include <spanstream>
#include <unordered_map>

#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// The file is so far from what we read that reading on would only give noise.
struct Stop {};

/// What came before is read as ever: its problems are told along with this one.
struct SecondDocument {};

Mark mark_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::ranges::count(before, '\n');
  const auto start = before.rfind('\n');
  return {static_cast<int>(line) + 1, static_cast<int>(offset - (start == std::string_view::npos ? 0 : start + 1)) + 1};
}

Mark mark_of(const YAML::Mark& mark) { return mark.is_null() ? Mark{} : Mark{mark.line + 1, mark.column + 1}; }

/// Builds the tree from yaml-cpp's events.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(Source& source) : source_(source), text_(source.text()) {}

  [[nodiscard]] Node take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) {
      source_.error(mark_of(mark),
                    "a second document begins here; a file holds one: write the other into a file of its own");
      throw SecondDocument();
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node = make(Node::Kind::null, mark, "", anchor);
    if (!frames_.empty()) {
      const Frame& parent = frames_.back();
      // For "key:" yaml-cpp gives the place of whatever comes next.
      const std::string_view rest = text_.substr(std::min(offset_, text_.size()));
      const bool written =
          rest.starts_with('~') || rest.starts_with("null") || rest.starts_with("Null") || rest.starts_with("NULL");
      if (!written) node.at = parent.has_key ? parent.key_at : parent.node.at;
      if (parent.has_key && !parent.key_refused && !has_colon(parent)) {
        source_.error(parent.key_at,
                      fmt::format("{} stands here without a colon and a blank behind it", cite(parent.key)));
        node.kind = Node::Kind::refused;
      }
    }
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    source_.error(mark_of(mark), "aliases (*name) are not accepted: write the value out");
    Node node;
    node.kind = Node::Kind::refused;
    node.at = mark_of(mark);
    add(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = make(Node::Kind::scalar, mark, tag, anchor);
    const char first = byte_at(mark);
    node.quoted = first == '"' || first == '\'' || first == '|' || first == '>';
    node.text_at = first == '|' || first == '>' ? block_start(node.at)
                                                : Mark{node.at.line, node.at.column + (node.quoted ? 1 : 0)};
    node.text = value;
    // yaml-cpp takes the end of the file for a closing quote.
    if ((first == '"' || first == '\'') && closing_quote(offset_) == std::string_view::npos) {
      source_.error(node.at, "this quote is never closed");
    }
    check_indented(node.at);
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(make(Node::Kind::sequence, mark, tag, anchor), style == YAML::EmitterStyle::Flow);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(make(Node::Kind::mapping, mark, tag, anchor), style == YAML::EmitterStyle::Flow);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override {
    refuse_duplicates(frames_.back().node);
    close();
  }

 private:
  struct Frame {
    Node node;
    bool flow = false;      // in [] or {}
    bool has_key = false;   // mapping: a key waits for its value
    bool key_refused = false;
    std::string key;
    Mark key_at;
    std::size_t key_offset = 0;  // of the key's first byte in the text
  };

  Node make(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    Node node;
    node.kind = kind;
    node.at = mark_of(mark);
    offset_ = static_cast<std::size_t>(std::max(mark.pos, 0));
    if (anchor != 0) source_.error(node.at, "anchors (&name) are not accepted: write the value out where it is needed");
    // yaml-cpp calls a plain node "?" and a quoted one "!"; a "!" of the author's own stands in the text.
    if ((!tag.empty() && tag != "?" && tag != "!") || byte_at(mark) == '!') {
      source_.error(node.at, "tags (!name) are not accepted: the key alone says what its value is");
    }
    return node;
  }

  [[nodiscard]] char byte_at(const YAML::Mark& mark) const {
    const auto offset = static_cast<std::size_t>(std::max(mark.pos, 0));
    return offset < text_.size() ? text_[offset] : '\0';
  }

  /// Where the quote that opens at `opening` is closed; npos if nowhere.
  [[nodiscard]] std::size_t closing_quote(std::size_t opening) const {
    const char quote = text_[opening];
    for (std::size_t i = opening + 1; i < text_.size(); ++i) {
      const bool escape = quote == '"' && text_[i] == '\\';
      const bool doubled = quote == '\'' && text_.substr(i, 2) == "''";
      if (escape || doubled)
        ++i;
      else if (text_[i] == quote)
        return i;
    }
    return std::string_view::npos;
  }

  /// yaml-cpp takes a last word of the file, and any word in {}, for a key whose value is missing.
  [[nodiscard]] bool has_colon(const Frame& frame) const {
    const std::string_view rest = text_.substr(std::min(frame.key_offset, text_.size()));
    std::size_t end = frame.key.size();
    if (rest.starts_with('"') || rest.starts_with('\'')) {
      const std::size_t closing = closing_quote(frame.key_offset);
      if (closing == std::string_view::npos) return false;
      end = closing - frame.key_offset + 1;
    } else if (!rest.starts_with(frame.key)) {
      return false;  // several lines folded into one
    }
    end = rest.find_first_not_of(" \t", end);
    return end != std::string_view::npos && rest[end] == ':';
  }

  /// Where the text of a block scalar begins whose "|" stands at `header`: the next line, at its indentation.
  [[nodiscard]] Mark block_start(Mark header) {
    // Marks come in the file's order: go on from the last line looked for.
    while (line_ < header.line + 1) {
      const auto end = text_.find('\n', line_offset_);
      if (end == std::string_view::npos) return {header.line + 1, 1};
      line_offset_ = end + 1;
      ++line_;
    }
    const auto start = text_.find_first_not_of(" \n", line_offset_);
    if (start == std::string_view::npos) return {header.line + 1, 1};
    const auto line_start = text_.rfind('\n', start);
    return {header.line + 1, static_cast<int>(start - line_start)};
  }

  /// yaml-cpp takes a value in a line of its own also where it is not indented.
  void check_indented(Mark at) {
    if (frames_.empty()) return;
    const Frame& parent = frames_.back();
    if (parent.flow || !parent.has_key || at.line == parent.key_at.line || at.column > parent.node.at.column) return;
    source_.error(at, fmt::format("this value of {} must be indented further than its key", cite(parent.key)));
  }

  void open(Node node, bool flow) {
    if (flow) check_indented(node.at);
    if (frames_.size() >= kDeepest) {
      source_.error(node.at, fmt::format("more than {} levels are nested here", kDeepest));
      throw Stop();
    }
    count_node(node.at);
    // A key that is a list or a mapping: what is inside is read and dropped.
    frames_.push_back({std::move(node), flow, false, false, {}, {}, 0});
  }

  void close() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    place_into_parent(std::move(node));
  }

  void add(Node node) {
    count_node(node.at);
    place_into_parent(std::move(node));
  }

  void count_node(Mark at) {
    if (++nodes_ > kMostNodes) {
      source_.error(at, fmt::format("the file has more than {} values", kMostNodes));
      throw Stop();
    }
  }

  void place_into_parent(Node node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = frames_.back();
    if (parent.node.kind == Node::Kind::sequence) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      parent.has_key = true;
      parent.key_refused = node.kind != Node::Kind::scalar;
      if (parent.key_refused && node.kind != Node::Kind::refused)
        source_.error(node.at, "a key must be a word, followed by a colon and a blank");
      parent.key = std::move(node.text);
      parent.key_at = node.at;
      parent.key_offset = offset_;
    } else {
      if (!parent.key_refused) parent.node.members.push_back({std::move(parent.key), parent.key_at, std::move(node)});
      parent.has_key = false;
    }
  }

  void refuse_duplicates(Node& mapping) {
    std::unordered_map<std::string_view, Mark> seen;
    std::vector<std::size_t> repeated;
    for (std::size_t i = 0; i < mapping.members.size(); ++i) {
      const Member& member = mapping.members[i];
      const auto [first, is_new] = seen.try_emplace(member.key, member.key_at);
      if (is_new) continue;
      source_.error(member.key_at, fmt::format("{} is given twice, first in line {}; one of them must go",
                                               cite(member.key), first->second.line));
      repeated.push_back(i);
    }
    seen.clear();
    if (repeated.empty()) return;
    std::size_t index = 0;
    std::erase_if(mapping.members, [&](const Member&) { return std::ranges::binary_search(repeated, index++); });
  }

  Source& source_;
  std::string_view text_;
  std::vector<Frame> frames_;
  Node root_;
  std::size_t offset_ = 0;        // of the node that was made last
  std::size_t nodes_ = 0;
  int documents_ = 0;
  int line_ = 1;                  // for block_start()
  std::size_t line_offset_ = 0;
};

/// yaml-cpp ends unquoted text in [] and {} at '?' and the like, and then does not know what follows.
std::string explain(std::string_view text, const YAML::ParserException& error) {
  const auto offset = static_cast<std::size_t>(std::max(error.mark.pos, 0));
  if (error.msg == "unknown token" && offset < text.size()) {
    return fmt::format("this is not YAML: {} cannot stand here; put the value in quotes", cite(text.substr(offset, 1)));
  }
  return "this is not YAML: " + printable(error.msg);
}

/// What yaml-cpp would misread or choke on, found before it sees the text. False: do not go on.
bool check_bytes(Source& source) {
  const std::string_view text = source.text();
  if (text.size() > kMostBytes) {
    source.error({}, fmt::format("the file is larger than {} bytes", kMostBytes));
    return false;
  }
  if (const auto offset = find_invalid_utf8(text); offset != std::string_view::npos) {
    source.error(mark_at(text, offset), "this byte is not UTF-8; save the file as UTF-8");
    return false;
  }
  std::size_t punctuation = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != 0x7F) {
      punctuation += std::string_view(",[]{}:?!&*\"'#|>-").find(text[i]) != std::string_view::npos ? 1 : 0;
      continue;
    }
    const bool line_start = i == 0 || text[i - 1] == '\n';
    if (c == '\t' && !line_start) continue;
    if (c == '\n') continue;
    source.error(mark_at(text, i),
                 c == '\t'   ? "this line begins with a tab; YAML is indented with blanks"
                 : c == '\r' ? "this carriage return is not part of a line end; use \\n or \\r\\n"
                             : fmt::format("the control character {} is not accepted", cite(text.substr(i, 1))));
    return false;
  }
  for (std::size_t i = text.find('\xC2'); i != std::string_view::npos; i = text.find('\xC2', i + 1)) {
    const auto second = static_cast<unsigned char>(text[i + 1]);  // it is UTF-8
    if (second > 0x9F || second == 0x85) continue;
    source.error(mark_at(text, i), fmt::format("the control character {} is not accepted", cite(text.substr(i, 2))));
    return false;
  }
  // Line ends of YAML 1.1 that YAML 1.2 took back: two readers would see two files.
  for (const std::string_view separator : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    if (const auto offset = text.find(separator); offset != std::string_view::npos) {
      source.error(
          mark_at(text, offset),
          fmt::format("the line separator {} is not accepted, since some YAML readers end a line there; within "
                      "double quotes write it as an escape",
                      cite(separator)));
      return false;
    }
  }
  if (punctuation > kMostPunctuation) {
    source.error({}, fmt::format("the file has more than {} characters of punctuation", kMostPunctuation));
    return false;
  }
  for (std::size_t i = 0; i != std::string_view::npos && i < text.size();) {
    if (text[i] == '%') {
      source.error(mark_at(text, i), "a line must not begin with '%': YAML directives are not accepted");
      return false;
    }
    i = text.find('\n', i);
    if (i != std::string_view::npos) ++i;
  }
  return true;
}

}  // namespace

const Member* Node::find(std::string_view key) const noexcept {
  const auto found = std::ranges::find(members, key, &Member::key);
  return found == members.end() ? nullptr : &*found;
}

Source::Source(std::string_view text, std::string file) : file_(std::move(file)) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  text = text.substr(0, kMostBytes + 1);
  text_.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    text_ += text[i];
  }
}

void Source::report(Severity severity, Mark at, const std::string& message) {
  if (problems_.size() >= kMostProblems) {
    if (severity == Severity::error) ++errors_not_shown_;
    return;
  }
  int column = 0;
  Problem problem{severity, place(at), without_secrets(message, column), {}, 0};
  problem.show_source(text_);
  problems_.push_back(std::move(problem));
}

Problems Source::take_problems() {
  sort_by_place(problems_);
  if (errors_not_shown_ > 0) {
    problems_.push_back(
        {Severity::error, place({}), fmt::format("and {} more errors, which are not shown", errors_not_shown_), {}, 0});
  }
  return std::move(problems_);
}

Node parse_yaml(Source& source) {
  Node refused;
  refused.kind = Node::Kind::refused;
  if (!check_bytes(source)) return refused;
  Builder builder(source);
  try {
    std::ispanstream stream(std::span<const char>(source.text()));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    source.whole_ = true;
    return builder.take_root();
  } catch (const Stop&) {
    return refused;
  } catch (const SecondDocument&) {
    Node first = builder.take_root();
    return first.kind == Node::Kind::null ? refused : first;  // "---" twice: that nothing stands between is no problem
  } catch (const YAML::ParserException& error) {
    source.error(mark_of(error.mark), explain(source.text(), error));
  } catch (const YAML::Exception& error) {
    source.error(mark_of(error.mark), "this is not accepted as YAML: " + printable(error.msg));
  }
  return refused;
}

}  // namespace gatehouse::config
