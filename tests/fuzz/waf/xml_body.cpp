// Fuzzes the scans of XML bodies against libxml2 itself: a body that xml_is_within_bounds() lets through shows its
// parser no more elements, attributes, depth or namespaces than the bounds say, and a body in which libxml2 sees an
// element or attribute with a secret's name is never taken for harmless by may_name_secret().
//
// Bounds are far away from what a fuzzer writes by itself, so an input is a recipe: a count, two separators, and three
// parts of which the middle is repeated.
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "repeated_part.hpp"
#include "waf/body_bounds.hpp"
#include "waf/mask.hpp"
#include "waf/xml_secrets.hpp"

namespace {

using namespace gatehouse::waf;

struct Seen {
  const Masker* masker = nullptr;
  std::size_t nodes = 0;
  std::size_t depth = 0;
  std::size_t most_depth = 0;
  std::size_t most_attributes = 0;
  std::size_t most_namespaces = 0;
  std::vector<std::size_t> namespaces;
  bool secret = false;
};

std::string_view text_of(const xmlChar* text) { return reinterpret_cast<const char*>(text); }

void start_element(void* context, const xmlChar* name, const xmlChar*, const xmlChar*, int namespaces, const xmlChar**,
                   int attributes, int, const xmlChar** attribute) {
  Seen& seen = *static_cast<Seen*>(context);
  seen.nodes += 1 + static_cast<std::size_t>(attributes);
  seen.most_attributes = std::max(seen.most_attributes, static_cast<std::size_t>(attributes));
  seen.namespaces.push_back((seen.namespaces.empty() ? 0 : seen.namespaces.back()) +
                            static_cast<std::size_t>(namespaces));
  seen.most_namespaces = std::max(seen.most_namespaces, seen.namespaces.back());
  seen.most_depth = std::max(seen.most_depth, seen.namespaces.size());
  seen.secret = seen.secret || seen.masker->is_secret_name(text_of(name));
  for (int i = 0; i < attributes; ++i)
    seen.secret = seen.secret || seen.masker->is_secret_name(text_of(attribute[i * 5]));
}

void end_element(void* context, const xmlChar*, const xmlChar*, const xmlChar*) {
  Seen& seen = *static_cast<Seen*>(context);
  if (!seen.namespaces.empty()) seen.namespaces.pop_back();
}

void count_text(void* context, const xmlChar*) { ++static_cast<Seen*>(context)->nodes; }
void count_instruction(void* context, const xmlChar*, const xmlChar*) { ++static_cast<Seen*>(context)->nodes; }
void count_block(void* context, const xmlChar*, int) { ++static_cast<Seen*>(context)->nodes; }
void say_nothing(void*, const char*, ...) {}

// Reads the document in one piece until its first error.
bool read(const std::string& xml, Seen& seen) {
  xmlSAXHandler handler;
  std::memset(&handler, 0, sizeof(handler));
  handler.initialized = XML_SAX2_MAGIC;
  handler.startElementNs = start_element;
  handler.endElementNs = end_element;
  handler.comment = count_text;
  handler.processingInstruction = count_instruction;
  handler.cdataBlock = count_block;
  handler.warning = say_nothing;
  handler.error = say_nothing;
  xmlParserCtxtPtr const parser = xmlCreatePushParserCtxt(&handler, &seen, nullptr, 0, nullptr);
  if (parser == nullptr) std::abort();
  xmlParseChunk(parser, xml.data(), static_cast<int>(xml.size()), 0);
  xmlParseChunk(parser, nullptr, 0, 1);
  const bool well_formed = parser->wellFormed != 0;
  xmlFreeDoc(parser->myDoc);
  xmlFreeParserCtxt(parser);
  return well_formed;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Masker masker({"password", "token"});
  xmlSetGenericErrorFunc(nullptr, say_nothing);
  const std::string xml = with_repeated_part({reinterpret_cast<const char*>(data), size});
  const bool within_bounds = xml_is_within_bounds(xml);
  // What is beyond them may take libxml2 very long, which is why; what is within them must not: -timeout tells.
  if (!within_bounds && xml.size() > 4096) return 0;
  Seen seen{.masker = &masker};
  const bool well_formed = read(xml, seen);
  if (within_bounds) {
    require(seen.most_attributes <= max_xml_attributes);
    require(seen.most_depth <= max_xml_depth);
    require(seen.most_namespaces <= max_xml_namespaces);
    require(seen.nodes <= max_xml_nodes);
  }
  if (well_formed && seen.secret) require(may_name_secret(xml, masker));
  return 0;
}
