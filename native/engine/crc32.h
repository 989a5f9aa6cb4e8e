// CRC-32 with zlib's polynomial.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {
uint32_t crc32(const void* data, size_t size);
}
