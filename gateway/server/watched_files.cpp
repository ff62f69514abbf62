// See watched_files.hpp.
#include "gateway/server/watched_files.hpp"

#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>

namespace gatehouse::server {

std::string fingerprint(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) {
      text += file + ":absent\n";
      continue;
    }
    text += fmt::format("{}:{}:{}:{}.{}\n", file, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
  }
  return text;
}

std::vector<std::string> expand_glob(const std::string& pattern) {
  std::vector<std::string> files;
  glob_t found{};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  return files;
}

}  // namespace gatehouse::server
