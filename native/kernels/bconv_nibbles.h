// Counts by nibble tables (nibble_table.h), in panels of kVectors vectors of channels and tiles of up to kPixels pixels. Included by one translation unit per
// instruction set, inside namespace bitwright and an unnamed namespace, after <utility> and after it has defined the vector V of kBytes bytes, zero, load
// and store (aligned), store_unaligned, add_lookups(acc, row of the table, nibbles) for any number of vectors, and add_bytes(sums, acc): 16-bit sums
// of both halves += bytes.

#include "nibble_table.h"

template <int kVectors, int kPixels>
struct Nibbles {
  static constexpr uint32_t kPanel = kBytes * kVectors;
  static constexpr size_t kWordBytes = 4 * 2 * kPanel;  // of one (tap, word) in a panel
  static constexpr uint32_t kRoom = 7;                  // words until a byte sum could exceed 255
  static constexpr uint32_t kMaxWords = 65535 / 32;     // words whose count surely fits 16 bits

  static size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

  // A stretch of a tile: `total` words beginning with word `first` of tap `tap`, weights at `w`.
  struct Stretch {
    uint32_t tap, first, total;
    const uint8_t* w;
  };

  // sums[i][v][0..1]: 16-bit sums of the first and of the second half of the channels of vector v, of pixel i.
  template <int P>
  static BITWRIGHT_INLINE void count(V (&sums)[P][kVectors][2], const BinaryTile& tile, Stretch s) {
    for (int i = 0; i < P; ++i)
      for (int v = 0; v < kVectors; ++v) sums[i][v][0] = sums[i][v][1] = zero();
    while (s.total > 0) {
      V acc[P][kVectors];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = zero();
      uint32_t room = s.total < kRoom ? s.total : kRoom;
      s.total -= room;
      while (room > 0) {
        const uint8_t* a[P];
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          a[i] = reinterpret_cast<const uint8_t*>(tile.base[i] + tile.offset[i][s.tap] + s.first);
        uint32_t words = tile.words - s.first;
        if (words > room) words = room;
        room -= words;
        s.first += words;
        if (s.first == tile.words) s.first = 0, ++s.tap;
        for (size_t k = 0; k < 4 * static_cast<size_t>(words); ++k, s.w += 2 * kPanel) {
          V low[kVectors], high[kVectors];
          BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
            low[v] = load(s.w + kBytes * v);
            high[v] = load(s.w + kPanel + kBytes * v);
          }
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
            const uint8_t* rows = table.rows[a[i][k]][0];
            add_lookups(acc[i], rows, low);
            add_lookups(acc[i], rows + 16, high);
          }
        }
      }
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_bytes(sums[i][v], acc[i][v]);
    }
  }

  template <int P>
  static void tile16(uint16_t* counts, const BinaryTile& tile) {
    V sums[P][kVectors][2];
    count<P>(sums, tile, {0, 0, tile.taps * tile.words, static_cast<const uint8_t*>(tile.weights)});
    for (int i = 0; i < P; ++i)
      for (int v = 0; v < kVectors; ++v)
        for (int h = 0; h < 2; ++h) store_unaligned(counts + i * kPanel + kBytes * v + kBytes / 2 * h, sums[i][v][h]);
  }

  template <int P>
  static void tile32(uint32_t* counts, const BinaryTile& tile) {
    for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] = 0;
    const uint64_t total = static_cast<uint64_t>(tile.taps) * tile.words;
    for (uint64_t done = 0; done < total; done += kMaxWords) {
      const uint32_t words = total - done < kMaxWords ? static_cast<uint32_t>(total - done) : kMaxWords;
      V sums[P][kVectors][2];
      count<P>(sums, tile, {static_cast<uint32_t>(done / tile.words), static_cast<uint32_t>(done % tile.words), words,
                            static_cast<const uint8_t*>(tile.weights) + done * kWordBytes});
      alignas(kBytes) uint16_t part[P * kPanel];
      for (int i = 0; i < P; ++i)
        for (int v = 0; v < kVectors; ++v)
          for (int h = 0; h < 2; ++h) store(part + i * kPanel + kBytes * v + kBytes / 2 * h, sums[i][v][h]);
      for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] += part[j];
    }
  }

  // By the tile's number of pixels.
  template <size_t... P>
  static BITWRIGHT_INLINE void count16_of(uint16_t* counts, const BinaryTile& tile, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(uint16_t*, const BinaryTile&) = {tile16<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](counts, tile);
  }
  template <size_t... P>
  static BITWRIGHT_INLINE void count32_of(uint32_t* counts, const BinaryTile& tile, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(uint32_t*, const BinaryTile&) = {tile32<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](counts, tile);
  }
  static void count16(uint16_t* counts, const BinaryTile& tile) { count16_of(counts, tile, std::make_index_sequence<kPixels>()); }
  static void count32(uint32_t* counts, const BinaryTile& tile) { count32_of(counts, tile, std::make_index_sequence<kPixels>()); }
};
