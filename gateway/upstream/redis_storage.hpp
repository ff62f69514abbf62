// The fleet's common storage in Redis: sealed items in a hash, their changes in the order of versions, members and the
// lease by Redis's own clock. Every operation is one script, so that it is whole or nothing.
#pragma once

#include <string>

#include "acme/sealed.hpp"
#include "acme/storage.hpp"
#include "gateway/upstream/redis_connection.hpp"

namespace gatehouse::upstream {

class RedisStorage final : public acme::Storage {
 public:
  static constexpr acme::Seconds lease{10};
  static constexpr acme::Seconds member_life{4};  // without a sync a gateway counts as gone
  static constexpr int page = 64;  // items an answer

  /// `member` names this gateway among those that share the storage.
  RedisStorage(runtime::Loop& loop, config::Redis settings, acme::Sealer sealer, std::string member)
      : redis_(loop, std::move(settings)), sealer_(std::move(sealer)), member_(std::move(member)) {}

  acme::Flow<acme::StorageResult<acme::SyncAnswer>> sync(acme::SyncRequest request) override;
  acme::Flow<acme::StorageResult<std::uint64_t>> put(std::string name, std::string value, std::uint64_t expected,
                                                     std::uint64_t fence) override;
  [[nodiscard]] acme::Seconds lease_time() const noexcept override { return lease; }

 private:
  RedisConnection redis_;
  const acme::Sealer sealer_;
  const std::string member_;
};

}  // namespace gatehouse::upstream
