// A request as rules see it: libmodsecurity's variables, read once from the request's bytes. What the library would read
// in a way that is not certainly known here is a doubt, and the request is the library's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "waf/screen/transformation.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf::screen {

/// Collections whose elements have a name, and scalars.
enum class Source : std::uint8_t {
  args,
  cookies,
  headers,
  files,  // of a multipart body: the names of the files by the names of their parts
  file_sizes,
  file_contents,  // which are empty: the library keeps none
  part_names,
  part_file_names,
  part_heads,  // lines of them by the names of their parts
  xml_text,
  xml_attributes,
  nothing,  // without an element in every request that is not a doubt
  last_collection = nothing,
  method,
  protocol,
  line,
  uri,
  uri_raw,
  query_string,
  filename,
  basename,
  path_info,
  remote_addr,
  server_name,
  auth_type,
  body,
  body_length,
  body_processor,
  combined_size,
  files_size,
  data_error,
  boundary_mark,  // MULTIPART_UNMATCHED_BOUNDARY
  body_error,  // and its like, which are empty or "0" in every request that is not a doubt
  response_status,
  response_protocol,
  response_body,
  count,
};

/// Why a request is the library's.
enum class Doubt : std::uint8_t {
  none,
  rule,  // one may match
  target,  // an odd one
  encoding,  // a % that is none, or a byte of zero
  arguments,  // too many
  cookies,  // that applications read in several ways
  type,  // of a body, not certainly any
  xml,  // not certainly well formed, or rules look at more of it than is read here
  multipart,  // not certainly well formed
  charset,
  json,  // not well formed, or not certainly
  size,
  count,
};
[[nodiscard]] std::string_view name_of(Doubt doubt) noexcept;

/// An element of a collection. Of arguments `part` says where they stand.
struct Element {
  enum class Part : std::uint8_t { query, form, json };
  std::string_view name;
  std::string_view value;
  Part part = Part::query;
};

class Reading {
 public:
  /// The head's first line and the connection. Views must stay valid.
  void begin(const RequestStart& start);
  void add_header(std::string_view name, std::string_view value);
  /// When all header fields are known.
  void end_head();
  /// The whole body; empty if there is none.
  void read_body(std::string_view body);
  void clear() noexcept;

  [[nodiscard]] Doubt doubt() const noexcept { return doubt_; }
  [[nodiscard]] std::span<const Element> elements(Source source) const noexcept {
    return collections_[static_cast<std::size_t>(source)];
  }
  [[nodiscard]] std::string_view scalar(Source source) const noexcept {
    return scalars_[static_cast<std::size_t>(source)];
  }
  [[nodiscard]] Arena& arena() noexcept { return arena_; }
  /// Whether there is a body of a type that nobody parses, of which rules see the bytes alone.
  [[nodiscard]] bool body_unparsed() const noexcept { return body_unparsed_; }
  [[nodiscard]] bool is_xml() const noexcept {
    return !scalar(Source::body).empty() && scalar(Source::body_processor) == "XML";
  }
  void doubt(Doubt why) noexcept {
    if (doubt_ == Doubt::none) doubt_ = why;
  }

 private:
  class Json;

  void set(Source source, std::string_view value) noexcept { scalars_[static_cast<std::size_t>(source)] = value; }
  void add(Source source, std::string_view name, std::string_view value) {
    collections_[static_cast<std::size_t>(source)].push_back({name, value});
  }
  void add_argument(std::string_view name, std::string_view value, Element::Part part);
  void read_arguments(std::string_view text, Element::Part part);
  void read_multipart(std::string_view body);
  void read_xml_body(std::string_view body);
  void read_cookies(std::string_view header);
  void count_argument(std::size_t bytes) noexcept {
    arguments_counted_ = true;
    arguments_bytes_ += bytes;
  }
  void set_combined_size();
  [[nodiscard]] std::string_view decoded(std::string_view text);

  Arena arena_;
  Doubt doubt_ = Doubt::none;
  std::array<std::vector<Element>, static_cast<std::size_t>(Source::last_collection) + 1> collections_;
  std::array<std::string_view, static_cast<std::size_t>(Source::count)> scalars_;
  std::string_view content_type_;
  bool has_content_type_ = false;
  bool body_unparsed_ = false;
  bool arguments_counted_ = false;
  std::size_t arguments_bytes_ = 0;
};

}  // namespace gatehouse::waf::screen
