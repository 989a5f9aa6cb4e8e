// int8 convolutions: by tiles of pixels, or by rows of outputs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// A tile: out[i*panel + j] = sum over taps and channels of q * w, modulo 2^32, with q the stored bytes: the caller takes the zero
// point's share off. The channels of a tap may be read up to the next multiple of 64 bytes past their end; what is there does not count.
struct Int8Tile {
  const uint8_t* const* base;    // [pixels]
  const int32_t* const* offset;  // [pixels] -> [taps], in bytes; a tap in the padding points to a pixel that holds the zero point
  uint32_t pixels;               // 1..mr
  uint32_t taps;
  uint32_t channels;             // input channels of one group (run), real channels of the panel (depthwise)
  const void* weights;           // one packed panel
};

// One output pixel's window, for `gather`: its taps in order, as runs of contiguous elements (bytes).
struct GatherRun {
  int32_t offset;  // from the window's origin, or, with `fixed`, from the sample's first element (the padding pixel)
  uint32_t count;
  bool fixed;
};
struct GatherWindow {
  const uint8_t* origin;
  const uint8_t* sample;
  const GatherRun* runs;
  uint32_t n_runs;
};

// A stretch of one row of outputs whose windows lie side by side: the channels of tap t of pixel i are at line[t] + i*step. kLinePixels more windows
// and 128 bytes may be read past the last one.
struct Int8Lines {
  const uint8_t* const* line;    // [taps]
  size_t step;                   // bytes
  uint32_t pixels, taps, channels;
  const void* weights;           // one packed panel
  const int32_t* const* origin;  // [pixels, rounded up to a multiple of kLinePixels] -> [panel]: what the sums begin with
  uint8_t* spare;                // lines_spare(taps, channels, pixels) bytes
  bool again = false;            // the lines are those of the call before, which left in `spare` what it made of them
};

// The maxima of windows of 3 pixels every 2, the first of which begins one pixel before the stretch: (pixels + 1)/2 rows of `panel`, rounded up to a
// multiple of kLinePixels/2.
struct Int8Maxima {
  int32_t* into;   // or null: maxima of these and what is there
  int32_t* fresh;  // or null: these
};

inline constexpr uint32_t kLinePixels = 8;

struct Int8Kernel {
  const char* name;  // "qconv_avx512vnni"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t panel;
  uint32_t mr;
  size_t (*panel_bytes)(uint32_t taps, uint32_t channels);  // a multiple of 64; panels are 64-byte aligned
  void (*pack)(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels);  // canonical [O][taps][channels]
  void (*run)(int32_t* out, const Int8Tile& tile);
  // Depthwise: out[i*panel + j] = sum over taps of q[channel j] * w[tap][j] for j < channels. Weights: int8 [taps][panel], 0 past the last channel.
  void (*depthwise)(int32_t* out, const Int8Tile& tile);
  // Copies windows one after the other into rows of row_bytes: those of a convolution of few channels that reach into the padding. May write up to 64
  // bytes past the last row and read as many past a run.
  void (*gather)(uint8_t* rows, size_t row_bytes, const GatherWindow* windows, uint32_t pixels);
  // Rows of outputs, for convolutions of few channels whose taps are lines; null where `run` and `gather` serve them. Sums modulo 2^32; rows of `out`
  // as of `run`, their number rounded up to a multiple of kLinePixels.
  void (*lines)(int32_t* out, const Int8Lines& job) = nullptr;
  void (*maxima)(const Int8Maxima& to, const Int8Lines& job) = nullptr;
  size_t (*lines_spare)(uint32_t taps, uint32_t channels, uint32_t pixels) = nullptr;
};

}  // namespace bitwright
