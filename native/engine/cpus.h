// How many CPUs this process may use.
#pragma once

#include <string>

namespace bitwright {

// The CPUs of the affinity mask, cut to the container's limit (the bandwidth limits of control groups v2 and v1, of this process's group and of
// those around it, rounded down), at least 1. `root` is put in front of the paths of /proc and /sys, for tests.
unsigned available_cpus(const std::string& root = "");

// The container's limit in CPUs; 0: none.
double cpu_quota(const std::string& root = "");

}  // namespace bitwright
