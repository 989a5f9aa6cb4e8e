// How one op is to run, as text: "bconv_avx512vpopcnt/7x64 pixels=64 threads=1". A kernel, perhaps with a register tile; and, where they are not to be as
// the rules have them, the pixels of a work item and the threads.
#pragma once

#include <cstdint>
#include <string>

namespace bitwright {

struct Choice {
  std::string kernel;
  uint32_t pixels = 0;   // of a work item, at most; 0: by the rules
  uint32_t threads = 0;  // at most; 0: the session's
};

constexpr uint32_t kMostItemPixels = 1 << 20;
constexpr uint32_t kMostThreads = 1 << 16;

// Throws Error(kKernel) if the text is not one of a choice; whether there is such a kernel is not looked at.
Choice parse_choice(const std::string& text);
std::string text_of(const Choice& choice);

}  // namespace bitwright
