#include "shared_pool.h"

#include <map>
#include <mutex>

#include "cpus.h"
#include "error.h"

namespace bitwright {

std::shared_ptr<Pool> shared_pool(unsigned threads) {
  constexpr unsigned kMost = 4096;
  if (threads > kMost) fail(Status::kArgument, threads, " threads; at most ", kMost, " are possible");
  // Never destroyed: a thread may still use its pool while the process ends.
  static auto& mutex = *new std::mutex;
  static auto& pools = *new std::map<unsigned, std::shared_ptr<Pool>>;
  const unsigned wanted = threads == 0 ? available_cpus() : threads;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& pool = pools[wanted];
  if (!pool) pool = std::make_shared<Pool>(wanted);
  return pool;
}

}  // namespace bitwright
