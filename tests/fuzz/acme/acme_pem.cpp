// Feeds the readers of certificates and keys arbitrary bytes. Beyond "no crash":
// - what is read can be shown, and is the same in its DER form
// - a key that is read is the same after PEM; a refusal says nothing of the input
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "acme/certificate.hpp"
#include "acme/private_key.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::acme;
using gatehouse::fuzz::require;

namespace {

void require_text(std::string_view text) {
  require(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }), "a text can be shown");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view pem(reinterpret_cast<const char*>(data), size);
  const auto facts = read_chain(pem);
  const std::string der = leaf_der(pem);
  if (facts) {
    require(!der.empty() && !facts->names.empty(), "a chain has a leaf with names");
    require(facts->lifetime() > Seconds(0), "a certificate lives");
    require(std::ranges::is_sorted(facts->names), "names are sorted");
    for (const Identifier& name : facts->names) require_text(name.value);
    require_text(facts->issuer);
    require_text(facts->top_issuer);
    require(facts->serial.size() % 2 == 0 && !facts->serial.empty(), "a serial number has bytes");
  } else {
    require(facts.error().size() < 100, "a refusal is one of ours");
  }

  const auto key = PrivateKey::from_pem(pem);
  if (!key) {
    require(key.error() == "there is no private key in PEM form" ||
                key.error() == "the private key cannot be read; it must not be encrypted" ||
                key.error() == "it is too large for a private key",
            "a refusal says nothing of the input");
    return 0;
  }
  static_cast<void>(is_for_key(pem, *key));
  if (key->is_p256()) {
    require(!key->public_jwk().empty() && key->thumbprint().size() == 43, "a P-256 key is an account's");
    const auto again = PrivateKey::from_pem(key->to_pem().reveal());
    require(again && again->thumbprint() == key->thumbprint(), "a key is the same after PEM");
  }
  return 0;
}
