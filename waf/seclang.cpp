#include "waf/seclang.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace gatehouse::waf::seclang {
namespace {

bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_name_char(char c) noexcept { return is_letter(c) || is_digit(c) || c == '_'; }

/// Reads directives from the text. A line that ends in a backslash goes on in the next one: between words that is a
/// blank, within quotes it is nothing, together with the blanks on both sides.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), lines_(line_starts(text)) {}

  Text read() {
    while (next_directive_start()) read_directive();
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool at_end() const noexcept { return at_ >= text_.size(); }
  [[nodiscard]] Position place(std::size_t offset) const {
    return place_of(static_cast<std::uint32_t>(offset), lines_);
  }
  void error(std::size_t offset, std::string message) { result_.errors.push_back({place(offset), std::move(message)}); }

  // Length of a line continuation at `at`, 0 if there is none.
  [[nodiscard]] std::size_t continuation(std::size_t at) const noexcept {
    if (at >= text_.size() || text_[at] != '\\') return 0;
    if (text_.substr(at + 1, 1) == "\n") return 2;
    return text_.substr(at + 1, 2) == "\r\n" ? 3 : 0;
  }
  [[nodiscard]] bool newline() const noexcept {
    return text_[at_] == '\n' || (text_[at_] == '\r' && text_.substr(at_ + 1, 1) == "\n");
  }
  void skip_blanks() noexcept {
    while (!at_end()) {
      if (is_blank(text_[at_])) {
        ++at_;
      } else if (const std::size_t length = continuation(at_)) {
        at_ += length;
      } else {
        return;
      }
    }
  }
  void skip_line() noexcept {  // to the end of the logical line
    while (!at_end() && text_[at_] != '\n') at_ += std::max<std::size_t>(continuation(at_), 1);
  }

  bool next_directive_start() {
    while (true) {
      while (!at_end() && (is_blank(text_[at_]) || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
      if (at_end()) return false;
      if (text_[at_] != '#') return true;
      skip_comment();
    }
  }

  // libmodsecurity goes on with a comment in the next line if it ends in a backslash; a reader sees that only if that
  // line looks like a comment as well.
  void skip_comment() {
    const std::size_t comment = at_;
    while (!at_end() && text_[at_] != '\n') {
      const std::size_t length = continuation(at_);
      at_ += std::max<std::size_t>(length, 1);
      if (length == 0) continue;
      std::size_t next = at_;
      while (next < text_.size() && is_blank(text_[next])) ++next;
      const bool looks_so = next >= text_.size() || text_[next] == '#' || text_[next] == '\n' || text_[next] == '\r';
      if (!looks_so)
        result_.doubts.push_back(
            {place(comment),
             "a comment ends in a backslash, which makes a comment of the next line: remove the backslash"});
    }
  }

  void read_directive() {
    const std::size_t start = at_;
    const std::size_t errors_before = result_.errors.size();
    Directive directive;
    directive.at = place(start);
    while (!at_end() && is_name_char(text_[at_])) directive.name += text_[at_++];
    if (directive.name.empty()) {
      error(start, "a directive is expected here, such as SecRule");
      skip_line();
      return;
    }
    while (true) {
      skip_blanks();
      if (at_end() || newline()) break;
      if (text_[at_] == '\r') {
        error(at_, "a carriage return stands alone");
        skip_line();
        break;
      }
      auto word = text_[at_] == '"' ? quoted_word() : bare_word();
      if (!word) {
        skip_line();
        break;
      }
      directive.words.push_back(std::move(*word));
    }
    if (result_.errors.size() == errors_before) understand(directive);
    if (result_.errors.size() == errors_before) result_.directives.push_back(std::move(directive));
  }

  void append(Word& word) {
    word.text += text_[at_];
    word.offsets.push_back(static_cast<std::uint32_t>(at_));
    ++at_;
  }

  std::optional<Word> quoted_word() {
    const std::size_t start = at_++;
    Word word;
    word.quoted = true;
    while (true) {
      if (at_end() || newline()) {
        error(start,
              "a double quote is opened but not closed on its line; a line goes on in the next if it ends in a "
              "backslash");
        return std::nullopt;
      }
      if (const std::size_t length = continuation(at_)) {
        at_ += length;
        while (!word.text.empty() && is_blank(word.text.back())) {
          word.text.pop_back();
          word.offsets.pop_back();
        }
        while (!at_end() && is_blank(text_[at_])) ++at_;
        continue;
      }
      if (text_[at_] == '"') break;
      const bool escape = text_[at_] == '\\';
      append(word);
      if (escape && !at_end() && !newline() && continuation(at_) == 0) append(word);
    }
    word.offsets.push_back(static_cast<std::uint32_t>(at_));
    ++at_;
    if (!at_end() && !is_blank(text_[at_]) && !newline() && continuation(at_) == 0) {
      error(at_, "a blank is expected after the closing double quote; write \\\" for a quote within the text");
      return std::nullopt;
    }
    return word;
  }

  std::optional<Word> bare_word() {
    Word word;
    bool single = false;  // within '...', where blanks belong to the word: ARGS:'/a b/'
    const std::size_t start = at_;
    while (!at_end() && text_[at_] != '\n' && text_[at_] != '\r' && continuation(at_) == 0 &&
           (single || !is_blank(text_[at_]))) {
      if (text_[at_] == '"') {
        error(at_, "a double quote within a word; a blank may be missing before it");
        return std::nullopt;
      }
      if (text_[at_] == '\'') single = !single;
      append(word);
    }
    if (single) {
      error(start, "a single quote is opened but not closed");
      return std::nullopt;
    }
    word.offsets.push_back(static_cast<std::uint32_t>(at_));
    return word;
  }

  void understand(Directive& directive) {
    const bool rule = equals_ignoring_case(directive.name, "SecRule");
    if (!rule && !equals_ignoring_case(directive.name, "SecAction")) return;
    const std::size_t wanted = rule ? 3 : 1;
    if (directive.words.size() > wanted || directive.words.size() < (rule ? 2 : 1)) {
      result_.errors.push_back(
          {directive.at,
           rule ? "SecRule takes variables, an operator and actions, each in double quotes if it has blanks"
                : "SecAction takes one list of actions in double quotes"});
      return;
    }
    if (rule) {
      directive.variables = parse_variables(directive.words[0], "|", lines_, result_.errors);
      directive.op = parse_operator(directive.words[1]);
    }
    if (directive.words.size() == wanted) parse_actions(directive.words.back(), directive.actions);
    directive.words.clear();
  }

  Operator parse_operator(const Word& word) {
    Operator op;
    std::size_t at = 0;
    const std::string& text = word.text;
    while (at < text.size() && is_blank(text[at])) ++at;
    op.at = place(word.offsets[at]);
    if (at < text.size() && text[at] == '!' && at + 1 < text.size() && text[at + 1] == '@') {
      op.negated = true;
      ++at;
    }
    if (at < text.size() && text[at] == '@') {
      ++at;
      while (at < text.size() && is_name_char(text[at])) op.name += text[at++];
      if (at < text.size() && is_blank(text[at])) ++at;
    } else {
      op.name = "rx";
      if (at < text.size() && text[at] == '!') {
        op.negated = true;
        ++at;
      }
    }
    op.argument_at = place(word.offsets[at]);
    op.argument = text.substr(at);
    return op;
  }

  void parse_actions(const Word& word, std::vector<Action>& actions) {
    const std::string& text = word.text;
    std::size_t at = 0;
    const auto skip = [&] {
      while (at < text.size() && is_blank(text[at])) ++at;
    };
    while (true) {
      skip();
      if (at >= text.size()) return;
      Action action;
      action.at = place(word.offsets[at]);
      while (at < text.size() && is_letter(text[at])) action.name += text[at++];
      action.name = lower_case(action.name);
      if (action.name.empty()) {
        result_.errors.push_back({action.at, "an action is expected here, such as deny"});
        return;
      }
      if (at < text.size() && text[at] == ':') {
        ++at;
        action.has_value = true;
        action.value_at = place(word.offsets[at]);
        if (at < text.size() && text[at] == '\'') {
          ++at;
          const std::size_t start = at;
          while (at < text.size() && text[at] != '\'') at += text[at] == '\\' ? 2 : 1;
          if (at >= text.size()) {
            result_.errors.push_back({action.value_at, "a single quote is opened but not closed"});
            return;
          }
          action.value = text.substr(start, at - start);
          ++at;
        } else {
          const std::size_t start = at;
          while (at < text.size() && text[at] != ',') ++at;
          std::size_t end = at;
          while (end > start && is_blank(text[end - 1])) --end;
          action.value = text.substr(start, end - start);
        }
      }
      skip();
      if (at < text.size() && text[at] != ',') {
        result_.errors.push_back({place(word.offsets[at]), "a comma is expected between actions"});
        return;
      }
      actions.push_back(std::move(action));
      if (at < text.size()) ++at;
    }
  }

  std::string_view text_;
  std::vector<std::uint32_t> lines_;
  std::size_t at_ = 0;
  Text result_;
};

}  // namespace

Text parse(std::string_view text) { return Reader(text).read(); }

std::vector<std::uint32_t> line_starts(std::string_view text) {
  std::vector<std::uint32_t> starts{0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') starts.push_back(static_cast<std::uint32_t>(i + 1));
  }
  return starts;
}

Position place_of(std::uint32_t offset, const std::vector<std::uint32_t>& starts) {
  const auto next = std::upper_bound(starts.begin(), starts.end(), offset);
  return {static_cast<int>(next - starts.begin()), static_cast<int>(offset - *(next - 1)) + 1};
}

std::vector<Variable> parse_variables(const Word& word, std::string_view separators,
                                      const std::vector<std::uint32_t>& starts, std::vector<Error>& errors) {
  std::vector<Variable> variables;
  const std::string& text = word.text;
  std::size_t at = 0;
  const auto place = [&](std::size_t index) { return place_of(word.offsets[index], starts); };
  const auto separator = [&](char c) { return separators.find(c) != std::string_view::npos; };
  while (true) {
    while (at < text.size() && is_blank(text[at])) ++at;
    Variable variable;
    variable.at = place(at);
    if (at < text.size() && (text[at] == '!' || text[at] == '&')) {
      (text[at] == '!' ? variable.exclude : variable.count) = true;
      ++at;
    }
    while (at < text.size() && is_name_char(text[at])) variable.name += text[at++];
    variable.name = upper_case(variable.name);
    if (variable.name.empty()) {
      errors.push_back({variable.at, "a variable is expected here, such as ARGS"});
      return variables;
    }
    if (at < text.size() && (text[at] == ':' || text[at] == '.')) {
      ++at;
      variable.has_selector = true;
      const bool quoted = at < text.size() && text[at] == '\'';
      if (quoted) ++at;
      const std::size_t start = at;
      if (quoted) {
        at = std::min(text.find('\'', at), text.size());
        if (at == text.size()) {
          errors.push_back({variable.at, "a single quote is opened but not closed"});
          return variables;
        }
      } else {
        while (at < text.size() && !separator(text[at]) && !is_blank(text[at])) ++at;
      }
      variable.selector = text.substr(start, at - start);
      if (quoted) ++at;
      std::string& selector = variable.selector;
      if (selector.size() >= 2 && selector.front() == '/' && selector.back() == '/' && variable.name != "XML") {
        variable.regex = true;
        selector = selector.substr(1, selector.size() - 2);
      }
      if (selector.empty()) {
        errors.push_back({variable.at, "a name is expected after the colon"});
        return variables;
      }
    }
    variables.push_back(std::move(variable));
    while (at < text.size() && is_blank(text[at])) ++at;
    if (at >= text.size()) return variables;
    if (!separator(text[at])) {
      errors.push_back({place(at), "variables are separated by \"|\""});
      return variables;
    }
    ++at;
  }
}

std::string upper_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - ('a' - 'A'));
  }
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto fold = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
           return fold(x) == fold(y);
         });
}

}  // namespace gatehouse::waf::seclang
