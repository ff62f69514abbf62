// See simulation.hpp.
#include "simulation.hpp"

#include <algorithm>

namespace gatehouse::acme::test {

void Agenda::run_for(Milliseconds duration) {
  const Milliseconds end = passed_ + duration;
  while (!items_.empty() && items_.top().when <= end) {
    const Item item = items_.top();
    items_.pop();
    passed_ = item.when;
    if (*item.is_alive) item.coroutine.resume();
  }
  passed_ = end;
}

StorageResult<SyncAnswer> MemoryStorage::sync(const std::string& member, const SyncRequest& request) {
  if (is_away) return std::unexpected(StorageError{StorageError::Kind::away, "connection refused"});
  SyncAnswer answer;
  answer.epoch = epoch_;
  const std::uint64_t seen = request.epoch == epoch_ ? request.seen : 0;
  std::erase_if(members_, [&](const auto& item) { return item.second.until <= agenda_.passed(); });
  if (request.wants_lease)
    members_[member] = {seen, agenda_.passed() + life};
  else
    members_.erase(member);
  if (held_until_ <= agenda_.passed()) holder_.clear();
  if (!request.wants_lease && holder_ == member) holder_.clear();
  if (request.wants_lease && (holder_.empty() || holder_ == member)) {
    if (holder_.empty()) ++fence_;
    holder_ = member;
    held_until_ = agenda_.passed() + lease;
    answer.fence = fence_;
  }
  std::vector<StoredItem> changed;
  for (const auto& [name, item] : items)
    if (item.version > seen) changed.push_back({name, item.value, item.version});
  std::ranges::sort(changed, {}, &StoredItem::version);
  answer.has_more = changed.size() > 64;
  if (answer.has_more) changed.resize(64);
  answer.version = changed.empty() ? seen : changed.back().version;
  for (StoredItem& item : changed)
    (damaged.contains(item.name) ? answer.damaged : answer.changed).push_back(std::move(item));
  for (StoredItem& item : answer.damaged) item.value.clear();
  answer.members = members_.size();
  answer.seen_by_all = version_;
  for (const auto& [name, state] : members_) answer.seen_by_all = std::min(answer.seen_by_all, state.seen);
  return answer;
}

StorageResult<std::uint64_t> MemoryStorage::put(const std::string& name, std::string value, std::uint64_t expected,
                                                std::uint64_t fence) {
  if (is_away) return std::unexpected(StorageError{StorageError::Kind::away, "connection refused"});
  if (fence != 0 && (fence != fence_ || held_until_ <= agenda_.passed() || holder_.empty()))
    return std::unexpected(StorageError{StorageError::Kind::fenced, "the lease is another's"});
  if (is_full) return std::unexpected(StorageError{StorageError::Kind::away, "no space left"});
  const auto found = items.find(name);
  if ((found == items.end() ? 0 : found->second.version) != expected)
    return std::unexpected(StorageError{StorageError::Kind::conflict, "changed since"});
  damaged.erase(name);
  items[name] = {std::move(value), ++version_};
  return version_;
}

// --- one gateway

SimulatedGateway::SimulatedGateway(Fleets& world, std::string own_name)
    : name(std::move(own_name)),
      world_(world),
      fleet(*this, *this, world.pace),
      certifier(*this, fleet, world.presentation_time) {
  certifier.on_certificate = [this](const Identifier& host) {
    for (const bool is_second : {false, true})
      if (const auto* const record = certifier.record({host, is_second}))
        (is_second ? served_second : served)[host.value] = record->chain;
  };
  certifier.on_challenges = [this](const std::vector<Presentation>& presentations) -> Flow<Done> {
    answers = presentations;
    co_return Done{};
  };
  certifier.on_order = [this](bool) { ++orders_ended; };
}

SimulatedGateway::~SimulatedGateway() {
  *is_alive_ = false;
  flows_.clear();
}

Time SimulatedGateway::now() { return world_.agenda.now(); }

double SimulatedGateway::chance() { return std::uniform_real_distribution<double>(0, 1)(world_.random); }

Flow<Done> SimulatedGateway::sleep(Milliseconds duration) {
  struct Awaiter {
    Agenda& agenda;
    Milliseconds duration;
    std::shared_ptr<const bool> is_alive;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) { agenda.at(duration, is_alive, coroutine); }
    void await_resume() const noexcept {}
  };
  co_await Awaiter{world_.agenda, duration, is_alive_};
  co_return Done{};
}

void SimulatedGateway::spawn(Flow<Done> flow) {
  std::erase_if(flows_, [](const auto& item) { return item->is_done(); });
  flows_.push_back(std::make_unique<Flow<Done>>(std::move(flow)));
  flows_.back()->start();
}

Flow<std::expected<HttpResponse, std::string>> SimulatedGateway::send(const Authority&, HttpRequest request) {
  co_await sleep(world_.latency);
  ++world_.requests;
  if (!request.url.starts_with(FakeCa::url)) co_return std::unexpected("connection refused");
  // What every gateway answers is what a validation sees, whichever it asks.
  world_.ca.presented.clear();
  for (const Presentation& answer : answers) {
    const bool is_everywhere = std::ranges::all_of(world_.gateways, [&](const auto& gateway) {
      return std::ranges::any_of(gateway->answers,
                                 [&](const Presentation& other) { return other.token == answer.token; });
    });
    if (is_everywhere && !world_.broken.contains(answer.identifier.value)) world_.ca.presented.push_back(answer);
  }
  HttpResponse response = world_.ca.answer(request, world_.agenda.now());
  co_await sleep(world_.latency);
  co_return response;
}

Flow<std::expected<Done, std::string>> SimulatedGateway::update_dns(const DnsRecords&, std::vector<TxtChange>) {
  co_return std::unexpected("no DNS here");
}

void SimulatedGateway::report(std::string_view what, std::string_view about, bool) {
  reports.push_back(std::string(what) + ": " + std::string(about));
}

Flow<StorageResult<SyncAnswer>> SimulatedGateway::sync(SyncRequest request) {
  co_await sleep(Milliseconds(1));
  co_return world_.storage.sync(name, request);
}

Flow<StorageResult<std::uint64_t>> SimulatedGateway::put(std::string item, std::string value, std::uint64_t expected,
                                                         std::uint64_t fence) {
  co_await sleep(Milliseconds(1));
  co_return world_.storage.put(item, std::move(value), expected, fence);
}

Seconds SimulatedGateway::lease_time() const noexcept { return world_.storage.lease; }

// --- all of them

SimulatedGateway& Fleets::start(const std::string& name) {
  gateways.push_back(std::make_unique<SimulatedGateway>(*this, name));
  SimulatedGateway& gateway = *gateways.back();
  gateway.certifier.configure(authorities, wanted);
  gateway.spawn(gateway.fleet.run());
  return gateway;
}

void Fleets::kill(std::string name) {
  std::erase_if(gateways, [&](const auto& gateway) { return gateway->name == name; });
}

SimulatedGateway* Fleets::leader() {
  const auto found =
      std::ranges::find_if(gateways, [&](const auto& gateway) { return gateway->name == storage.holder(); });
  return found == gateways.end() ? nullptr : found->get();
}

void Fleets::configure() {
  for (const auto& gateway : gateways) gateway->certifier.configure(authorities, wanted);
}

bool Fleets::is_complete() const {
  return std::ranges::all_of(gateways, [&](const auto& gateway) {
    return std::ranges::all_of(wanted, [&](const Wanted& item) {
      return broken.contains(item.name.value) || gateway->served.contains(item.name.value);
    });
  });
}

bool Fleets::run_until(const std::function<bool()>& condition, Milliseconds most) {
  const Milliseconds end = agenda.passed() + most;
  while (!condition()) {
    if (agenda.passed() >= end) return false;
    agenda.run_for(Milliseconds(50));
  }
  return true;
}

}  // namespace gatehouse::acme::test
