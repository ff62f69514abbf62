// server/file_storage.hpp and server/fleet_tickets.hpp: what several processes see of one folder.
#include "gateway/server/file_storage.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gateway/server/fleet_tickets.hpp"

namespace gatehouse::server {
namespace {

using acme::StorageError;
using acme::SyncAnswer;

class FileStorageTest : public ::testing::Test {
 protected:
  FileStorageTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gatehouse-storage-XXXXXX").string();
    root_ = mkdtemp(name.data());
    folder = root_ + "/state/certificates";
  }
  ~FileStorageTest() override { std::filesystem::remove_all(root_); }

  static acme::StorageResult<SyncAnswer> sync(FileStorage& storage, const std::string& epoch = {},
                                              std::uint64_t seen = 0, bool wants_lease = true) {
    auto flow = storage.sync({epoch, seen, wants_lease});
    flow.start();
    return flow.result();
  }
  static acme::StorageResult<std::uint64_t> put(FileStorage& storage, const std::string& name, const std::string& value,
                                                std::uint64_t expected, std::uint64_t fence = 0) {
    auto flow = storage.put(name, value, expected, fence);
    flow.start();
    return flow.result();
  }

  std::string folder;

 private:
  std::string root_;
};

TEST_F(FileStorageTest, TellsWhatHasChanged) {
  FileStorage storage(folder, "one");
  const SyncAnswer empty = sync(storage).value();
  EXPECT_TRUE(empty.changed.empty());
  EXPECT_NE(empty.fence, 0U);
  EXPECT_EQ(put(storage, "certificate/a.example", "first", 0).value(), 1U);
  EXPECT_EQ(put(storage, "certificate/*.b.example", "second\nline", 0).value(), 2U);
  const SyncAnswer two = sync(storage, empty.epoch, 0).value();
  ASSERT_EQ(two.changed.size(), 2U);
  EXPECT_EQ(two.changed[0].name, "certificate/a.example");
  EXPECT_EQ(two.changed[0].value, "first");
  EXPECT_EQ(two.changed[1].name, "certificate/*.b.example");
  EXPECT_EQ(two.changed[1].value, "second\nline");
  EXPECT_EQ(two.version, 2U);
  EXPECT_TRUE(sync(storage, two.epoch, 2).value().changed.empty());
  EXPECT_EQ(sync(storage, "another", 2).value().changed.size(), 2U) << "to whom it is new";
}

TEST_F(FileStorageTest, ComparesBeforeItChanges) {
  FileStorage storage(folder, "one");
  ASSERT_TRUE(sync(storage));
  ASSERT_EQ(put(storage, "x", "1", 0).value(), 1U);
  EXPECT_EQ(put(storage, "x", "2", 0).error().kind, StorageError::Kind::conflict);
  EXPECT_EQ(put(storage, "x", "2", 1).value(), 2U);
  EXPECT_EQ(put(storage, "y", "2", 2).error().kind, StorageError::Kind::conflict);
}

TEST_F(FileStorageTest, OneHoldsTheLeaseUntilItEnds) {
  auto first = std::make_unique<FileStorage>(folder, "one");
  FileStorage second(folder, "two");
  const std::uint64_t fence = sync(*first).value().fence;
  EXPECT_NE(fence, 0U);
  EXPECT_EQ(sync(second).value().fence, 0U);
  EXPECT_EQ(sync(second).value().members, 2U);
  EXPECT_EQ(put(second, "x", "1", 0, fence).error().kind, StorageError::Kind::fenced);
  EXPECT_TRUE(put(*first, "x", "1", 0, fence));
  first.reset();  // as when its process ends
  const SyncAnswer after = sync(second).value();
  EXPECT_GT(after.fence, fence);
  EXPECT_EQ(after.members, 1U);
  EXPECT_EQ(put(second, "x", "2", 1, fence).error().kind, StorageError::Kind::fenced) << "that of the one before";
}

TEST_F(FileStorageTest, KnowsWhatEverybodyHasSeen) {
  FileStorage first(folder, "one"), second(folder, "two");
  const std::string epoch = sync(first).value().epoch;
  ASSERT_TRUE(sync(second));
  ASSERT_TRUE(put(first, "x", "1", 0));
  EXPECT_EQ(sync(first, epoch, 1).value().seen_by_all, 0U);
  ASSERT_TRUE(sync(second, epoch, 1));
  EXPECT_EQ(sync(first, epoch, 1).value().seen_by_all, 1U);
  ASSERT_TRUE(sync(second, epoch, 1, false));  // it leaves
  EXPECT_EQ(sync(first, epoch, 1).value().members, 1U);
}

TEST_F(FileStorageTest, GivesManyItemsInPages) {
  FileStorage storage(folder, "one");
  ASSERT_TRUE(sync(storage));
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(put(storage, "item " + std::to_string(i), "v", 0));
  std::string epoch;
  std::uint64_t seen = 0;
  std::size_t items = 0;
  for (bool more = true; more;) {
    const SyncAnswer answer = sync(storage, epoch, seen).value();
    items += answer.changed.size();
    EXPECT_LE(answer.changed.size(), 64U);
    epoch = answer.epoch;
    seen = answer.version;
    more = answer.has_more;
  }
  EXPECT_EQ(items, 150U);
}

TEST_F(FileStorageTest, IsForItsUserAlone) {
  FileStorage storage(folder, "one");
  ASSERT_TRUE(sync(storage));
  ASSERT_TRUE(put(storage, "certificate/a.example", "secret", 0));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    struct stat status{};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0077U, 0U) << entry.path();
  }
}

TEST_F(FileStorageTest, NoticesThatItWasEmptied) {
  FileStorage storage(folder, "one");
  const SyncAnswer before = sync(storage).value();
  ASSERT_TRUE(put(storage, "x", "1", 0, before.fence));
  std::filesystem::remove_all(folder);
  const SyncAnswer after = sync(storage, before.epoch, 1).value();
  EXPECT_TRUE(after.changed.empty());
  EXPECT_NE(after.fence, 0U);
  EXPECT_TRUE(put(storage, "x", "1", 0, after.fence));
}

// Versions and fences are kept in one file: lost, spoiled or put back as it was, it must not stop who holds the lease.
TEST_F(FileStorageTest, GoesOnWhenItsStateIsLost) {
  const std::string path = folder + "/.state";
  FileStorage storage(folder, "one");
  FileStorage follower(folder, "two");
  const SyncAnswer first = sync(storage).value();
  std::stringstream old;
  old << std::ifstream(path).rdbuf();
  std::uint64_t version = put(storage, "x", "1", 0, first.fence).value();
  std::uint64_t last_fence = first.fence;
  std::string epoch = first.epoch;
  for (const std::string& mishap : {std::string(), std::string("garbage"), old.str()}) {
    SCOPED_TRACE(mishap);
    ASSERT_TRUE(sync(storage, epoch, version));
    if (mishap.empty())
      std::filesystem::remove(path);
    else
      std::ofstream(path) << mishap;
    const SyncAnswer after = sync(storage, epoch, version).value();
    EXPECT_GT(after.fence, last_fence);
    const auto put_again = put(storage, "x", "2" + mishap, version, after.fence);
    ASSERT_TRUE(put_again) << put_again.error().reason;
    EXPECT_GT(*put_again, version) << "no version is given twice";
    const SyncAnswer seen = sync(follower, epoch, version).value();
    ASSERT_EQ(seen.changed.size(), 1U);
    EXPECT_EQ(seen.changed[0].value, "2" + mishap);
    EXPECT_EQ(seen.fence, 0U);
    version = *put_again;
    last_fence = after.fence;
    epoch = after.epoch;
  }
}

TEST_F(FileStorageTest, TellsOfDamageAndTakesAnotherItem) {
  FileStorage storage(folder, "one");
  const std::string epoch = sync(storage).value().epoch;
  ASSERT_TRUE(put(storage, "x", "1", 0));
  std::ofstream(folder + "/items/x") << "spoiled";
  FileStorage another(folder, "two");
  const SyncAnswer answer = sync(another).value();
  ASSERT_EQ(answer.damaged.size(), 1U);
  EXPECT_EQ(answer.damaged[0].name, "x");
  EXPECT_TRUE(put(storage, "x", "2", 0));
  EXPECT_EQ(sync(another, epoch, 1).value().changed.front().value, "2");
}

TEST(FileStorageNames, LeadNowhereElse) {
  for (const std::string name :
       {"certificate/a.example", "..", ".", "../../etc/passwd", "a/../b", "%41", "x y", "\xff"}) {
    const std::string file = FileStorage::file_name(name);
    EXPECT_EQ(FileStorage::item_name(file), name);
    EXPECT_EQ(file.find('/'), std::string::npos);
    EXPECT_NE(file.front(), '.');
  }
}

TEST(FleetTicketKeys, ComeBackAsTheyWere) {
  const auto keys =
      net::TicketKeys::rotated(nullptr, net::TicketKey::Time(std::chrono::seconds(1000)), std::chrono::seconds(0));
  const std::string text = write_ticket_keys(*keys);
  const auto read = read_ticket_keys(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->all().front().name, keys->all().front().name);
  EXPECT_EQ(read->all().front().cipher_key, keys->all().front().cipher_key);
  EXPECT_EQ(read->all().front().mac_key, keys->all().front().mac_key);
  EXPECT_EQ(read->all().front().active_from, keys->all().front().active_from);
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(read_ticket_keys(text.substr(0, size))) << size;
}

}  // namespace
}  // namespace gatehouse::server
