// Images as they come, plane by plane, brought into pixels of 3 channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// to[3*i + c] = from[c*plane + i] for i < pixels, c < 3. Nothing past them is read or written.
void interleave3(uint8_t* to, const uint8_t* from, ptrdiff_t plane, size_t pixels);
void interleave3(uint32_t* to, const uint32_t* from, ptrdiff_t plane, size_t pixels);

}  // namespace bitwright
