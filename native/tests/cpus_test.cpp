// Container limits, read from made-up /proc and /sys trees.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cpus.h"

namespace bitwright {
namespace {

class Root {
 public:
  Root() : path_(std::filesystem::temp_directory_path() / ("bitwright-cpus-" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Root() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& content) const {
    const std::filesystem::path target = path_ / file;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target) << content;
  }
  std::string str() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(Cpus, NoControlGroupsNoLimit) {
  const Root root;
  EXPECT_EQ(cpu_quota(root.str()), 0);
  EXPECT_GE(available_cpus(root.str()), 1u);
}

TEST(Cpus, Version2) {
  const Root root;
  root.write("proc/self/cgroup", "0::/\n");
  root.write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 1.5);
  EXPECT_EQ(available_cpus(root.str()), 1u);  // rounded down: 2 threads would be stopped for a quarter of every period
  root.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(available_cpus(root.str()), 1u);
  root.write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_quota(root.str()), 0);
  root.write("sys/fs/cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(available_cpus(root.str()), available_cpus("/nonexistent"));  // never more than the affinity mask has
}

TEST(Cpus, Version2OuterGroupsLimitToo) {
  const Root root;
  root.write("proc/self/cgroup", "0::/pod/box\n");
  root.write("sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
  root.write("sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 2);
  root.write("sys/fs/cgroup/pod/box/cpu.max", "100000 100000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 1);
}

TEST(Cpus, Version1) {
  const Root root;
  root.write("proc/self/cgroup", "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");  // the container sees its own group as the root
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 3);
  root.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 3);
  root.write("sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us", "25000\n");
  root.write("sys/fs/cgroup/cpu/docker/cpu.cfs_period_us", "50000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 0.5);
  EXPECT_EQ(available_cpus(root.str()), 1u);
}

TEST(Cpus, HybridMountOfVersion2) {
  const Root root;
  root.write("proc/self/cgroup", "9:cpuset:/\n0::/service\n");
  root.write("sys/fs/cgroup/unified/service/cpu.max", "100000 50000\n");
  EXPECT_DOUBLE_EQ(cpu_quota(root.str()), 2);
}

TEST(Cpus, NonsenseIsNoLimit) {
  const Root root;
  root.write("proc/self/cgroup", "nonsense\n0:\n0::/\n7:cpu:/\n");
  root.write("sys/fs/cgroup/cpu.max", "-5 0\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "");
  EXPECT_EQ(cpu_quota(root.str()), 0);
}

}  // namespace
}  // namespace bitwright
