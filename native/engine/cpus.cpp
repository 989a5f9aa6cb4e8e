#include "cpus.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace bitwright {
namespace {

unsigned affinity_cpus() {
#if defined(__linux__)
  for (int count = 1024; count <= 1 << 20; count *= 4) {
    cpu_set_t* set = CPU_ALLOC(count);
    if (!set) break;
    const size_t size = CPU_ALLOC_SIZE(count);
    const bool known = ::sched_getaffinity(0, size, set) == 0;
    const int cpus = known ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (cpus > 0) return static_cast<unsigned>(cpus);
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

double smaller(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// v2: "<quota or max> <period>".
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;  // "max" is no number
}

// v1: a quota of -1 is no limit.
double quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period : 0;
}

// The smallest limit of a group and the groups around it. Inside a container the path may name a folder that only the host sees; then the groups
// around it are missing too, down to the mount's root, which is the container's own.
template <class Quota>
double smallest(const std::string& mount, std::string group, const Quota& quota_of) {
  double limit = 0;
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    limit = smaller(limit, quota_of(mount + group));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return limit;
    group.resize(slash);
  }
}

}  // namespace

double cpu_quota(const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mounts = root + "/sys/fs/cgroup";
  double limit = 0;
  // Lines "<number>:<controllers>:<path>"; v2 has number 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      limit = smaller(limit, smallest(mounts, path, quota_v2));
      limit = smaller(limit, smallest(mounts + "/unified", path, quota_v2));
      continue;
    }
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
      if (name != "cpu") continue;
      limit = smaller(limit, smallest(mounts + "/cpu", path, quota_v1));
      if (controllers != "cpu") limit = smaller(limit, smallest(mounts + "/" + controllers, path, quota_v1));
    }
  }
  return limit;
}

unsigned available_cpus(const std::string& root) {
  const unsigned cpus = affinity_cpus();
  const double quota = cpu_quota(root);
  return quota == 0 ? cpus : std::clamp(static_cast<unsigned>(std::min(quota, 1e6)), 1u, cpus);
}

}  // namespace bitwright
