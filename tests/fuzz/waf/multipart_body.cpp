// Fuzzes the scan of multipart bodies against libmodsecurity itself: of a body that multipart_is_within_bounds() lets
// through, its parser keeps no more parts and header lines than the bounds say.
//
// Bounds are far away from what a fuzzer writes by itself, so an input is a recipe: see repeated_part.hpp.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "repeated_part.hpp"
#include "waf/body_bounds.hpp"
#include "waf/library.hpp"
#include "waf/modsecurity.hpp"

namespace {

using namespace gatehouse::waf;

void require(bool condition) {
  if (!condition) std::abort();
}

modsecurity::RulesSet& rules() {
  static modsecurity::RulesSet* const set = [] {
    auto* const made = new modsecurity::RulesSet;
    const std::lock_guard lock(parse_mutex());
    require(made->load("SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 1000000\n") >= 0);
    return made;
  }();
  return *set;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static modsecurity::ModSecurity* const library = new modsecurity::ModSecurity;
  const std::string body = with_repeated_part({reinterpret_cast<const char*>(data), size});
  const std::string content_type = "multipart/form-data; boundary=b";
  if (!multipart_is_within_bounds(body, content_type)) return 0;

  modsecurity::Transaction transaction(library, &rules(), nullptr);
  transaction.processConnection("127.0.0.1", 1, "127.0.0.1", 80);
  transaction.processURI("/", "POST", "1.1");
  transaction.addRequestHeader("content-type", content_type);
  transaction.processRequestHeaders();
  transaction.appendRequestBody(reinterpret_cast<const unsigned char*>(body.data()), body.size());
  transaction.processRequestBody();

  std::vector<const modsecurity::VariableValue*> headers;
  transaction.m_variableMultipartPartHeaders.resolve(&headers);
  require(headers.size() <= max_all_header_lines);
  std::map<std::string, std::size_t> of_part;  // parts of one name are told together
  for (const modsecurity::VariableValue* header : headers) {
    ++of_part[header->getKey()];
    delete header;
  }
  std::vector<const modsecurity::VariableValue*> names;
  transaction.m_variableMultipartName.resolve(&names);
  require(names.size() <= max_parts);
  std::size_t parts = names.size();
  for (const modsecurity::VariableValue* name : names) delete name;
  for (const auto& [name, count] : of_part) require(count <= max_part_header_lines * std::max<std::size_t>(parts, 1));
  return 0;
}
