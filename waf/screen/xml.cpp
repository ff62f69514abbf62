#include "waf/screen/xml.hpp"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <memory>

namespace gatehouse::waf::screen {
namespace {

struct FreeContext {
  void operator()(xmlParserCtxt* context) const noexcept {
    xmlFreeDoc(context->myDoc);
    xmlFreeParserCtxt(context);
  }
};

void say_nothing(void*, const char*, ...) {}

std::string content_of(const xmlNode* node) {
  const std::unique_ptr<xmlChar, void (*)(void*)> content(xmlNodeGetContent(node), [](void* p) { xmlFree(p); });
  return content ? reinterpret_cast<const char*>(content.get()) : "";
}

// The element that follows in the document's order; null behind the last one.
const xmlNode* next_element(const xmlNode* node) {
  const xmlNode* next = node->type == XML_ELEMENT_NODE ? node->children : nullptr;
  for (;;) {
    while (next != nullptr && next->type != XML_ELEMENT_NODE) next = next->next;
    if (next != nullptr) return next;
    if (node == nullptr || node->parent == nullptr) return nullptr;
    next = node->next;
    node = node->parent;
  }
}

}  // namespace

std::optional<XmlTexts> read_xml(std::string_view document) {
  xmlSetGenericErrorFunc(nullptr, say_nothing);  // of this thread; the library does the same
  const std::unique_ptr<xmlParserCtxt, FreeContext> context(
      xmlCreatePushParserCtxt(nullptr, nullptr, document.data(), static_cast<int>(document.size()), "body.xml"));
  if (!context) return std::nullopt;
  xmlParseChunk(context.get(), nullptr, 0, 1);
  if (context->wellFormed != 1 || context->myDoc == nullptr) return std::nullopt;
  const xmlNode* const root = xmlDocGetRootElement(context->myDoc);
  if (root == nullptr) return std::nullopt;
  XmlTexts out;
  out.text = content_of(root);
  for (const xmlNode* node = root; node != nullptr; node = next_element(node))
    for (const xmlAttr* attribute = node->properties; attribute != nullptr; attribute = attribute->next)
      out.attributes.push_back(content_of(reinterpret_cast<const xmlNode*>(attribute)));
  return out;
}

}  // namespace gatehouse::waf::screen
