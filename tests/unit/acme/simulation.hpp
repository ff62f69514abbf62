// A fleet of gateways with one storage and one CA, in a time that passes as fast as nothing happens in it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "acme/certifier.hpp"
#include "fake_ca.hpp"

namespace gatehouse::acme::test {

using Milliseconds = std::chrono::milliseconds;

// Everything costs ten times as much then: enough for what a sanitizer can find.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GATEHOUSE_TEST_IS_SANITIZED 1
#endif
#endif
#ifdef GATEHOUSE_TEST_IS_SANITIZED
inline constexpr int tenth = 10;
#else
inline constexpr int tenth = 1;
#endif

/// What waits for its time.
class Agenda {
 public:
  explicit Agenda(Time start) : start_(start) {}

  [[nodiscard]] Time now() const { return start_ + std::chrono::floor<Seconds>(passed_); }
  [[nodiscard]] Milliseconds passed() const noexcept { return passed_; }
  void at(Milliseconds delay, std::shared_ptr<const bool> is_alive, std::coroutine_handle<> coroutine) {
    items_.push({passed_ + delay, ++order_, std::move(is_alive), coroutine});
  }
  /// Until nothing is left, or so much has passed.
  void run_for(Milliseconds duration);

 private:
  struct Item {
    Milliseconds when;
    std::uint64_t order;
    std::shared_ptr<const bool> is_alive;
    std::coroutine_handle<> coroutine;
    bool operator>(const Item& other) const { return std::tie(when, order) > std::tie(other.when, other.order); }
  };
  const Time start_;
  Milliseconds passed_{};
  std::uint64_t order_ = 0;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> items_;
};

/// A storage in memory, as strict as the real ones.
class MemoryStorage {
 public:
  explicit MemoryStorage(Agenda& agenda) : agenda_(agenda) {}

  struct Item {
    std::string value;
    std::uint64_t version = 0;
  };
  std::map<std::string, Item> items;
  std::set<std::string> damaged;
  bool is_away = false;
  bool is_full = false;  // nothing more is stored
  Seconds lease{15}, life{5};

  void wipe() {
    items.clear();
    damaged.clear();
    version_ = 0;
    epoch_ += "'";
    holder_.clear();
  }
  /// Somebody else has written what cannot be read.
  void damage(const std::string& name) {
    items[name].version = ++version_;
    damaged.insert(name);
  }
  [[nodiscard]] const std::string& holder() const noexcept { return holder_; }

  StorageResult<SyncAnswer> sync(const std::string& member, const SyncRequest& request);
  StorageResult<std::uint64_t> put(const std::string& name, std::string value, std::uint64_t expected,
                                   std::uint64_t fence);

 private:
  struct Member {
    std::uint64_t seen = 0;
    Milliseconds until{};
  };
  Agenda& agenda_;
  std::string epoch_ = "first";
  std::uint64_t version_ = 0;
  std::map<std::string, Member> members_;
  std::string holder_;
  std::uint64_t fence_ = 0;
  Milliseconds held_until_{};
};

struct Fleets;

/// One gateway's certificates.
class SimulatedGateway final : public Environment, public Storage {
 public:
  SimulatedGateway(Fleets& world, std::string name);
  ~SimulatedGateway() override;

  Time now() override;
  double chance() override;
  Flow<Done> sleep(Milliseconds duration) override;
  void spawn(Flow<Done> flow) override;
  Flow<std::expected<HttpResponse, std::string>> send(const Authority& authority, HttpRequest request) override;
  Flow<std::expected<Done, std::string>> update_dns(const DnsRecords& records, std::vector<TxtChange> changes) override;
  void report(std::string_view what, std::string_view about, bool is_error) override;

  Flow<StorageResult<SyncAnswer>> sync(SyncRequest request) override;
  Flow<StorageResult<std::uint64_t>> put(std::string name, std::string value, std::uint64_t expected,
                                         std::uint64_t fence) override;
  Seconds lease_time() const noexcept override;

  const std::string name;
  std::map<std::string, std::string> served, served_second;  // chains by host
  std::vector<Presentation> answers;
  std::vector<std::string> reports;
  int orders_ended = 0;

 private:
  Fleets& world_;
  const std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);

 public:
  Fleet fleet;
  Certifier certifier;

 private:
  std::vector<std::unique_ptr<Flow<Done>>> flows_;
};

/// What they share.
struct Fleets {
  explicit Fleets(unsigned seed = 1) : random(seed) {}

  FakeCa ca;
  Agenda agenda{some_time};
  MemoryStorage storage{agenda};
  std::mt19937_64 random;
  Fleet::Options pace;
  Milliseconds latency{30};
  Seconds presentation_time{20};
  /// For months: everything that is asked for again and again, is less often.
  void take_it_slowly() {
    pace = {.pause = std::chrono::minutes(4), .busy_pause = std::chrono::seconds(1)};
    storage.life = storage.lease = presentation_time = std::chrono::minutes(20);
  }
  std::vector<std::unique_ptr<SimulatedGateway>> gateways;
  std::vector<AuthorityRef> authorities{
      std::make_shared<const Authority>(Authority{.name = "default", .directory = ca.directory_url()})};
  std::vector<Wanted> wanted;
  std::set<std::string> broken;  // hosts that no validation reaches
  int requests = 0;

  void want(const std::string& host, const std::string& tenant = "shop") {
    wanted.push_back({{Identifier::Type::dns, host}, tenant, "default"});
  }
  SimulatedGateway& start(const std::string& name);
  void kill(std::string name);  // by value: it may be the name of the one that goes
  [[nodiscard]] SimulatedGateway* leader();
  void configure();
  /// Whether every gateway serves a certificate for every host but the broken ones.
  [[nodiscard]] bool is_complete() const;
  /// Until it is so, or so much has passed; whether it is.
  bool run_until(const std::function<bool()>& condition, Milliseconds most);
};

}  // namespace gatehouse::acme::test
