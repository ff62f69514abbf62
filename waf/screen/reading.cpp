#include "waf/screen/reading.hpp"

#include <yajl/yajl_parse.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

#include "waf/base_rules.hpp"
#include "waf/body_bounds.hpp"
#include "waf/charsets.hpp"
#include "waf/cookies.hpp"
#include "waf/json_names.hpp"
#include "waf/screen/multipart.hpp"
#include "waf/screen/xml.hpp"
#include "waf/seclang.hpp"

namespace gatehouse::waf::screen {
namespace {

using seclang::equals_ignoring_case;

constexpr std::size_t most_body_bytes = std::size_t{256} * 1024;  // beyond, the engine's own bounds apply
constexpr std::size_t most_xml_bytes = std::size_t{64} * 1024;  // of which libxml2 makes a tree
constexpr std::size_t most_cookie_bytes = std::size_t{32} * 1024;

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The parts of `text` between `separator`, as std::getline has them: what follows the last one is none if it is empty.
template <typename Part>
void split(std::string_view text, char separator, Part part) {
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    part(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

bool starts_ignoring_case(std::string_view text, std::string_view with) noexcept {
  return text.size() >= with.size() && equals_ignoring_case(text.substr(0, with.size()), with);
}

bool contains_ignoring_case(std::string_view text, std::string_view what) noexcept {
  for (std::size_t at = 0; at + what.size() <= text.size(); ++at)
    if (equals_ignoring_case(text.substr(at, what.size()), what)) return true;
  return false;
}

// What the library makes of a body of this type, for the types of which that is certain.
enum class BodyType { form, json, multipart, xml, other };

bool is_plain_name(std::string_view name) noexcept {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

BodyType body_type(std::string_view content_type) {
  const std::size_t end = std::min(content_type.find_first_of("; \t,"), content_type.size());
  const std::string type = seclang::lower_case(content_type.substr(0, end));
  if (type == "application/x-www-form-urlencoded") return BodyType::form;
  if (type == "multipart/form-data") return BodyType::multipart;
  if (type == "application/json" || type == "text/json") return BodyType::json;
  if (type == "application/xml" || type == "text/xml") return BodyType::xml;
  const std::size_t slash = type.find('/');
  const std::size_t plus = type.find('+');
  if (slash == std::string::npos || plus == std::string::npos || plus < slash) return BodyType::other;
  const std::string_view family = std::string_view(type).substr(0, slash);
  const std::string_view name = std::string_view(type).substr(slash + 1, plus - slash - 1);
  const std::string_view suffix = std::string_view(type).substr(plus + 1);
  if (!is_plain_name(family) || !is_plain_name(name) || name.contains("xml")) return BodyType::other;
  if (suffix == "json") return BodyType::json;
  return suffix == "xml" && !name.contains("json") && (family == "application" || family == "text") ? BodyType::xml
                                                                                                    : BodyType::other;
}

}  // namespace

std::string_view name_of(Doubt doubt) noexcept {
  static constexpr std::array<std::string_view, static_cast<std::size_t>(Doubt::count)> names{
      "none", "rule", "target",    "encoding", "arguments", "cookies",
      "type", "xml",  "multipart", "charset",  "json",      "size"};
  return names[static_cast<std::size_t>(doubt)];
}

// Arguments of a JSON body, by the parser that the library uses and under the names that it gives them
// (libmodsecurity 3.0.9, request_body_processor/json.cc).
class Reading::Json {
 public:
  explicit Json(Reading& reading) : reading_(reading) {}

  bool parse(std::string_view body) {
    static const yajl_callbacks callbacks{
        .yajl_null = [](void* self) { return of(self).value({}); },
        .yajl_boolean = [](void* self, int value) { return of(self).value(value != 0 ? "true" : "false"); },
        .yajl_integer = nullptr,
        .yajl_double = nullptr,
        .yajl_number = [](void* self, const char* text, std::size_t size) { return of(self).value({text, size}); },
        .yajl_string = [](void* self, const unsigned char* text,
                          std::size_t size) { return of(self).value({reinterpret_cast<const char*>(text), size}); },
        .yajl_start_map = [](void* self) { return of(self).open(false); },
        .yajl_map_key =
            [](void* self, const unsigned char* text, std::size_t size) {
              of(self).key_.assign(reinterpret_cast<const char*>(text), size);
              return 1;
            },
        .yajl_end_map = [](void* self) { return of(self).close(); },
        .yajl_start_array = [](void* self) { return of(self).open(true); },
        .yajl_end_array = [](void* self) { return of(self).close(); }};
    const std::unique_ptr<yajl_handle_t, void (*)(yajl_handle)> parser(yajl_alloc(&callbacks, nullptr, this),
                                                                       yajl_free);
    if (!parser) return false;
    yajl_config(parser.get(), yajl_allow_partial_values, 0);
    return yajl_parse(parser.get(), reinterpret_cast<const unsigned char*>(body.data()), body.size()) ==
               yajl_status_ok &&
           yajl_complete_parse(parser.get()) == yajl_status_ok;
  }

 private:
  struct Container {
    bool is_array;
    std::size_t elements = 0;
    std::size_t path_bytes;  // of the names before it and its own
  };

  static Json& of(void* self) noexcept { return *static_cast<Json*>(self); }

  int open(bool is_array) {
    if (stack_.size() >= max_json_depth) return 0;
    path_ += taken_key();
    stack_.push_back({.is_array = is_array, .path_bytes = path_.size()});
    if (!is_array) path_ += '.';
    return 1;
  }

  int close() {
    const std::size_t outer = stack_.size() > 1 ? stack_[stack_.size() - 2].path_bytes : 0;
    stack_.pop_back();
    path_.resize(outer);
    if (stack_.empty()) return 1;
    Container& in = stack_.back();
    if (in.is_array)
      ++in.elements;
    else
      path_ += '.';
    return 1;
  }

  int value(std::string_view text) {
    if (!stack_.empty() && stack_.back().is_array) {
      const std::string name = path_ + ".array_" + std::to_string(stack_.back().elements++);
      return add(name, text);
    }
    return add(path_ + taken_key(), text);
  }

  int add(std::string_view name, std::string_view text) {
    Arena& arena = reading_.arena_;
    reading_.add_argument(arena.keep(name), arena.keep(text), Element::Part::json);
    reading_.count_argument(name.size() + text.size());
    return reading_.doubt_ == Doubt::none ? 1 : 0;
  }

  // The name of what comes next. In an array it is that of the element.
  std::string taken_key() {
    if (stack_.empty()) return "json";
    std::string name;
    if (stack_.back().is_array) name = ".array_" + std::to_string(stack_.back().elements);
    if (key_.empty()) return stack_.back().is_array ? name : "empty-key";
    name += key_;
    key_.clear();
    return name;
  }

  Reading& reading_;
  std::vector<Container> stack_;
  std::string path_;  // ends with the innermost container's name, and a dot if that is an object
  std::string key_;
};

void Reading::clear() noexcept {
  arena_.clear();
  doubt_ = Doubt::none;
  for (auto& collection : collections_) collection.clear();
  scalars_.fill({});
  content_type_ = {};
  has_content_type_ = false;
  body_unparsed_ = false;
  arguments_counted_ = false;
  arguments_bytes_ = 0;
}

void Reading::begin(const RequestStart& start) {
  set(Source::remote_addr, start.client_ip);
  set(Source::method, start.method);
  const std::string_view received = start.received.empty() ? start.target : start.received;
  std::string text = "HTTP/" + std::string(start.http_version);
  set(Source::protocol, arena_.keep(text));
  set(Source::line, arena_.keep(std::string(start.method) + ' ' + std::string(received) + ' ' + text));
  set(Source::uri_raw, received);

  const std::string_view target = start.target;
  const auto is_odd = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
  if (!target.starts_with('/') || std::ranges::any_of(target, is_odd)) return doubt(Doubt::target);
  const std::size_t question = target.find('?');
  // The library decodes the whole target and then looks for the path's end; "%3f" is escaped before it gets here.
  std::string decoded_uri;
  decoded_uri.reserve(target.size());
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == '%') {
      const int high = i + 2 < target.size() ? hex_digit(target[i + 1]) : -1;
      const int low = i + 2 < target.size() ? hex_digit(target[i + 2]) : -1;
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return doubt(Doubt::encoding);
      decoded_uri += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      decoded_uri += target[i];
    }
  }
  const std::string_view uri = arena_.keep(decoded_uri);
  const std::string_view path = uri.substr(0, uri.find('?'));
  if (path.find('?') != std::string_view::npos) return doubt(Doubt::target);
  set(Source::uri, uri);
  set(Source::filename, path);
  set(Source::path_info, path);
  const std::size_t slash = path.find_last_of("/\\");
  if (slash != std::string_view::npos && slash + 1 < path.size()) set(Source::basename, path.substr(slash + 1));
  if (question == std::string_view::npos) return;
  set(Source::query_string, target.substr(question + 1));
  read_arguments(target.substr(question + 1), Element::Part::query);
}

void Reading::add_header(std::string_view name, std::string_view value) {
  collections_[static_cast<std::size_t>(Source::headers)].push_back({name, value});
  if (equals_ignoring_case(name, "cookie")) return read_cookies(value);
  if (equals_ignoring_case(name, "content-type")) {
    if (has_content_type_) doubt(Doubt::type);
    content_type_ = value;
    has_content_type_ = true;
  } else if (equals_ignoring_case(name, "host")) {
    set(Source::server_name, value.substr(0, value.find(':')));
  } else if (equals_ignoring_case(name, "authorization")) {
    set(Source::auth_type, value.substr(0, value.find(' ')));
  }
}

void Reading::end_head() {
  if (!has_content_type_) {
    set(Source::body_processor, "URLENCODED");  // rule 200011
    return;
  }
  const BodyType type = body_type(content_type_);
  if (type == BodyType::other &&
      (starts_ignoring_case(content_type_, "multipart") ||
       starts_ignoring_case(content_type_, "application/x-www-form-urlencoded") ||
       contains_ignoring_case(content_type_, "xml") || contains_ignoring_case(content_type_, "json")))
    return doubt(Doubt::type);
  static constexpr std::array<std::string_view, 5> processors{"URLENCODED", "JSON", "MULTIPART", "XML", ""};
  set(Source::body_processor, processors[static_cast<std::size_t>(type)]);
}

void Reading::read_body(std::string_view body) {
  if (doubt_ != Doubt::none) return;
  set(Source::data_error, "0");
  if (!body.empty()) {
    if (body.size() > most_body_bytes) return doubt(Doubt::size);
    if (has_content_type_ && !has_known_charset(content_type_)) return doubt(Doubt::charset);
    set(Source::body, body);
    char digits[24];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), body.size()).ptr;
    set(Source::body_length, arena_.keep({digits, static_cast<std::size_t>(end - digits)}));
    switch (has_content_type_ ? body_type(content_type_) : BodyType::form) {
      case BodyType::form: read_arguments(body, Element::Part::form); break;
      case BodyType::json:
        if (!json_is_within_bounds(body) || !Json(*this).parse(body)) {
          doubt(Doubt::json);
          break;
        }
        empty_json_containers(body, [this](const std::string& name) {
          add_argument(arena_.keep(name), {}, Element::Part::json);
          count_argument(name.size());
          return doubt_ == Doubt::none;
        });
        break;
      case BodyType::multipart: read_multipart(body); break;
      case BodyType::xml: read_xml_body(body); break;
      case BodyType::other: body_unparsed_ = true; break;
    }
  } else if (has_content_type_) {
    // The library parses these also where there is nothing, and finds fault with it.
    const BodyType type = body_type(content_type_);
    if (type == BodyType::multipart || type == BodyType::xml) return doubt(Doubt::type);
  }
  set_combined_size();
}

void Reading::add_argument(std::string_view name, std::string_view value, Element::Part part) {
  auto& arguments = collections_[static_cast<std::size_t>(Source::args)];
  if (arguments.size() + 2 > max_arguments) return doubt(Doubt::arguments);
  arguments.push_back({name, value, part});
}

void Reading::set_combined_size() {
  if (!arguments_counted_) return;
  set(Source::combined_size, arena_.keep(std::to_string(arguments_bytes_)));
}

void Reading::read_arguments(std::string_view text, Element::Part part) {
  split(text, '&', [&](std::string_view argument) {
    if (doubt_ != Doubt::none) return;
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : argument.substr(equals + 1);
    const std::string_view decoded_name = decoded(name);
    const std::string_view decoded_value = decoded(value);
    add_argument(decoded_name, decoded_value, part);
    count_argument(decoded_name.size() + decoded_value.size());
  });
  if (part == Element::Part::query) set_combined_size();
}

// '+' is a blank, "%41" a byte; a '%' that is none, and a byte of zero, are doubts.
std::string_view Reading::decoded(std::string_view text) {
  if (text.find_first_of(std::string_view("%+\0", 3)) == std::string_view::npos) return text;
  char* const place = arena_.allocate(text.size());
  std::size_t size = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+') {
      c = ' ';
    } else if (c == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        doubt(Doubt::encoding);
        return {};
      }
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    if (c == '\0') {
      doubt(Doubt::encoding);
      return {};
    }
    place[size++] = c;
  }
  return {place, size};
}

void Reading::read_xml_body(std::string_view body) {
  if (body.size() > most_xml_bytes || !xml_is_within_bounds(body)) return doubt(Doubt::xml);
  const auto texts = read_xml(body);
  if (!texts) return doubt(Doubt::xml);
  add(Source::xml_text, {}, arena_.keep(texts->text));
  for (const std::string& value : texts->attributes) add(Source::xml_attributes, {}, arena_.keep(value));
}

// The sizes of fields are not in ARGS_COMBINED_SIZE (libmodsecurity 3.0.9, request_body_processor/multipart.cc).
void Reading::read_multipart(std::string_view body) {
  const auto parts = read_parts(content_type_, body);
  if (!parts) return doubt(Doubt::multipart);
  std::size_t files_bytes = 0;
  bool has_files = false;
  for (const BodyPart& part : *parts) {
    add(Source::part_names, part.name, part.name);
    if (part.file_name) add(Source::part_file_names, *part.file_name, *part.file_name);
    for (const std::string_view line : part.head_lines) add(Source::part_heads, part.name, line);
    if (!part.is_file()) {
      add_argument(part.name, part.data, Element::Part::form);
      continue;
    }
    has_files = true;
    files_bytes += part.data.size();
    add(Source::files, part.name, *part.file_name);
    add(Source::file_sizes, part.name, arena_.keep(std::to_string(part.data.size())));
    add(Source::file_contents, part.name, {});
  }
  if (has_files) set(Source::files_size, arena_.keep(std::to_string(files_bytes)));
  set(Source::boundary_mark, "2");  // as the library does when all is well
}

void Reading::read_cookies(std::string_view header) {
  if (header.size() > most_cookie_bytes) return doubt(Doubt::cookies);
  auto& cookies = collections_[static_cast<std::size_t>(Source::cookies)];
  // Behind the last cookie blanks are dropped, of the names those before them.
  std::string_view last;
  split(header, ';', [&](std::string_view cookie) { last = cookie; });
  split(header, ';', [&](std::string_view cookie) {
    if (cookie.data() == last.data())
      while (!cookie.empty() && is_space(cookie.back())) cookie.remove_suffix(1);
    const std::size_t equals = cookie.find('=');
    std::string_view name = cookie.substr(0, equals);
    while (!name.empty() && is_space(name.front())) name.remove_prefix(1);
    if (name.empty()) return;
    cookies.push_back({name, equals == std::string_view::npos ? std::string_view{} : cookie.substr(equals + 1)});
  });
  // Those that applications see and the library does not have values and no names: the set of names is not theirs.
  unseen_cookies(header, [&](const std::string&, const std::string&) { doubt(Doubt::cookies); });
}

}  // namespace gatehouse::waf::screen
