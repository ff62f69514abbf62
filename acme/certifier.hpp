// Keeps a certificate for every host that wants one: obtains, renews and replaces, in order of need, whichever gateway of
// the fleet holds the lease. What is stored is served by all. Owned by whoever runs the gateway's certificates.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "acme/certificate.hpp"
#include "acme/environment.hpp"
#include "acme/fleet.hpp"
#include "acme/records.hpp"

namespace gatehouse::acme {

/// A host, and the CA that its certificate comes from.
struct Wanted {
  Identifier name;
  std::string tenant;
  std::string authority;  // by name
};

class Certifier final : public Fleet::Part {
 public:
  /// Bounds on what goes on at once. A tenant's hosts wait for each other before they keep anybody else waiting, and hosts
  /// that have failed before never take more than half of all room.
  static constexpr unsigned most_at_once = 32;
  static constexpr unsigned most_of_a_tenant = 2;

  /// `presentation_time`: what all gateways have to take a challenge up.
  Certifier(Environment& environment, Fleet& fleet, Seconds presentation_time = Seconds(20))
      : environment_(environment), fleet_(fleet), presentation_time_(presentation_time) {
    fleet.add({certificate_prefix, "account/", challenges_item}, *this);
  }

  /// What is to be kept, from now on. Certificates of hosts that nobody wants any more stay stored until they expire.
  void configure(std::vector<AuthorityRef> authorities, std::vector<Wanted> wanted);

  /// A host has a certificate that it had not before: record() has what is to be served from now on.
  std::function<void(const Identifier& host)> on_certificate;
  /// All challenges that are to be answered from now on, and no others; done once they are.
  std::function<Flow<Done>(const std::vector<Presentation>& presentations)> on_challenges;
  /// An order has come to its end.
  std::function<void(bool is_success)> on_order;

  /// What is known of a host, for status and command line.
  struct State {
    CertificateName name;
    std::string tenant, authority;
    std::optional<CertificateFacts> facts;  // of its certificate
    bool is_at_work = false;
    Time renew_at{}, next_attempt{};
    unsigned failures = 0;
    std::string last_error;
  };
  [[nodiscard]] std::vector<State> states() const;
  [[nodiscard]] bool knows(const Identifier& host) const { return entries_.contains({host, false}); }
  /// The certificate that is served now, and its key; null where there is none.
  [[nodiscard]] const CertificateRecord* record(const CertificateName& name) const;

  /// Has the host's certificates replaced soon, whichever gateway does it. The error is for whoever asked.
  [[nodiscard]] Flow<std::expected<Done, std::string>> request_renewal(Identifier host);
  /// Has them revoked (RFC 5280 section 5.3.1: `reason`), and replaced.
  [[nodiscard]] Flow<std::expected<Done, std::string>> request_revocation(Identifier host, int reason);
  /// Takes a certificate from elsewhere, which is renewed like any other. Where there are two of the host, it takes the
  /// place of the one with the same kind of key.
  [[nodiscard]] Flow<std::expected<Done, std::string>> import(Identifier host, std::string chain, Secret key);
  /// Gives the account of a CA another key.
  [[nodiscard]] Flow<std::expected<Done, std::string>> roll_over(std::string authority);

  // Fleet::Part
  Flow<Done> changed(StoredItem item) override;
  void damaged(const std::string& name, std::uint64_t version) override;
  void forgotten() override;
  Flow<Done> lead() override;

  /// Flows that are under way; it may be destroyed when there are none.
  [[nodiscard]] unsigned at_work() const noexcept { return at_work_; }

 private:
  struct Entry {
    CertificateName name;
    std::string tenant, authority;
    bool is_wanted = false;
    CertificateRecord record;
    std::uint64_t version = 0;  // stored
    bool is_unstored = false;  // the storage does not have the record, and is to get it
    bool is_at_work = false;
    std::string served;  // serial number of what on_certificate() was last told
    // What the record says of failures, known before it is stored: a storage that fails is no reason to ask the CA
    // again and again. All of it is void once it is stored.
    struct Hold {
      unsigned failures = 0;
      Time next_attempt{}, failed_at{}, ask_at{};
    } hold;
    [[nodiscard]] Time next_attempt() const noexcept { return std::max(record.next_attempt, hold.next_attempt); }
    [[nodiscard]] unsigned failures() const noexcept { return std::max(record.failures, hold.failures); }
  };
  using EntryRef = std::shared_ptr<Entry>;
  struct Account {
    AccountRecord record;
    std::uint64_t version = 0;
    bool is_unstored = false;
    std::optional<PrivateKey> key;
    bool is_at_work = false;
    unsigned failures = 0;  // of the CA, in a row: it cannot be reached, or the account not be registered
    Time next_attempt{};
    std::string last_error;
    bool is_probing = false;  // one order or question is under way to see whether it is back
    std::set<Identifier> failed_hosts;  // whose orders the CA has failed at since it last issued
    std::set<Identifier> limited_hosts;  // whose orders a limit has refused since
    Time limited_until{};  // no order is placed before
  };
  enum class Need { nothing, certificate, revocation, renewal_info };

  [[nodiscard]] Need need_of(const Entry& entry, Time now) const;
  [[nodiscard]] AuthorityRef authority_named(const std::string& name) const;
  [[nodiscard]] KeyType key_type_for(const Entry& entry, const Authority& authority) const;
  [[nodiscard]] std::vector<EntryRef> siblings_of(const Entry& entry) const;
  [[nodiscard]] bool is_held_by_siblings(const Entry& entry, Need need, Time now) const;
  [[nodiscard]] std::vector<EntryRef> entries_of(const Identifier& host) const;
  [[nodiscard]] AuthorityRef rehearsal_for(const Entry& entry);
  [[nodiscard]] AuthorityRef authority_for(const Entry& entry, Time now);
  [[nodiscard]] AuthorityRef issuer_of(const CertificateRecord& record) const;
  [[nodiscard]] Account& account_of(const Authority& authority) { return accounts_[account_item(authority.directory)]; }
  void start_work();
  bool may_start(const Entry& entry);

  [[nodiscard]] Flow<Done> restore();
  [[nodiscard]] Flow<Done> store_challenges();
  [[nodiscard]] Flow<Done> register_account(AuthorityRef authority, std::uint64_t fence);
  [[nodiscard]] Flow<Done> settle_keys(const Authority& authority, bool is_doubted, std::uint64_t fence);
  [[nodiscard]] Flow<Done> obtain(EntryRef entry, AuthorityRef authority, std::uint64_t fence);
  [[nodiscard]] Flow<Done> note_rehearsal(Entry& entry, const Authority& rehearsal, std::uint64_t fence);
  [[nodiscard]] Flow<Done> ask_for_renewal(EntryRef entry, AuthorityRef authority, std::uint64_t fence);
  [[nodiscard]] Flow<Done> revoke(EntryRef entry, AuthorityRef authority, std::uint64_t fence);

  struct Work;
  template <class T>
  [[nodiscard]] Flow<bool> drive(Flow<T>& flow, Conversation& conversation, Entry* entry, const Authority& authority,
                                 std::uint64_t fence);
  [[nodiscard]] Flow<std::expected<Done, std::string>> present(const Entry& entry, const Authority& authority,
                                                               std::vector<Presentation> presentations,
                                                               std::uint64_t fence);
  [[nodiscard]] Flow<Done> withdraw(const Entry& entry, const Authority& authority);
  [[nodiscard]] Flow<std::expected<Done, std::string>> store(Entry& entry,
                                                             std::function<void(CertificateRecord&)> change,
                                                             std::uint64_t fence);
  [[nodiscard]] Flow<StorageResult<Done>> store_account(Account& account, const Authority& authority,
                                                        AccountRecord record, std::uint64_t fence);
  void hold_back(Entry& entry, const Problem& problem, Time now);
  void keep_unstored(Entry& entry, const std::function<void(CertificateRecord&)>& change);
  void do_not_wait(Entry& entry);
  [[nodiscard]] bool is_authority_to_blame(const Authority& authority, const Entry& entry, const Problem& problem);
  void note_authority(const Authority& authority, const Problem* problem);
  void note_limit(const Authority& authority, const Entry& entry, const Problem& problem);

  Environment& environment_;
  Fleet& fleet_;
  const Seconds presentation_time_;
  std::vector<AuthorityRef> authorities_;
  std::map<CertificateName, EntryRef> entries_;
  std::map<std::string, Account> accounts_;  // by item
  std::map<std::string, unsigned> tenants_at_work_;
  unsigned at_work_ = 0, failed_at_work_ = 0;

  std::map<CertificateName, std::vector<Presentation>> presented_;  // as the lease's holder
  std::uint64_t challenges_version_ = 0;  // stored
  std::uint64_t challenges_wanted_ = 0, challenges_stored_ = 0;  // generations of presented_
  bool needs_restoring_ = false;  // something is_unstored
  Time restore_at_{};  // not before, after a failure
  std::string last_started_;  // tenant; the next turn begins behind it
};

}  // namespace gatehouse::acme
