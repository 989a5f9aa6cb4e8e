#pragma once

#include <cstddef>
#include <cstdint>

// Reads every byte once, with the widest loads of this CPU.
uint64_t read_all(const void* data, size_t bytes);
