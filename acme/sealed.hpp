// Values that are kept where others may read them: AES-256-GCM (NIST SP 800-38D) under the fleet's key. Called by
// storages that are not this machine's own files.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace gatehouse::acme {

class Sealer {
 public:
  static constexpr std::size_t key_bytes = 32;

  /// From the key's base64 (RFC 4648 section 4), on one line. The error says what is wrong, and nothing of the key.
  [[nodiscard]] static std::expected<Sealer, std::string> from_base64(std::string_view text);
  ~Sealer();
  Sealer(Sealer&& other) noexcept : key_(other.key_), id_(other.id_) { other.wipe(); }
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  Sealer& operator=(Sealer&&) = delete;

  /// `name` is bound to the value: it opens under no other. Throws std::runtime_error where there is no randomness.
  [[nodiscard]] std::string seal(std::string_view name, std::string_view value) const;

  enum class Fault { other_key, damaged };
  [[nodiscard]] std::expected<std::string, Fault> open(std::string_view name, std::string_view sealed) const;

 private:
  explicit Sealer(const std::array<unsigned char, key_bytes>& key);
  void wipe() noexcept;
  std::array<unsigned char, key_bytes> key_;
  std::array<unsigned char, 8> id_;  // of the key: tells another key from damage
};

}  // namespace gatehouse::acme
