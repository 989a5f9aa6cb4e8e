// Pools for calls that belong to no session.
#pragma once

#include <memory>

#include "pool.h"

namespace bitwright {

// The process's pool of so many threads (0: as many as the process may use), made on first use and kept. Throws Error(kArgument) for more than 4096.
std::shared_ptr<Pool> shared_pool(unsigned threads);

}  // namespace bitwright
