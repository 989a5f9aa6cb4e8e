// From a .bwm file (docs/bwm.md) to a Model. Trusts nothing in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "model.h"

namespace bitwright {

// Maps the file. Replace a file in use by renaming, as one does with a shared library: it must not shrink while it is mapped.
std::shared_ptr<const Model> read_model_file(const std::string& path, const Limits& limits = {});

// The same for a model that is `bytes` of a larger file, from `offset` on (a multiple of 64: constants must be aligned).
std::shared_ptr<const Model> read_model_part(const std::string& path, uint64_t offset, uint64_t bytes, const Limits& limits = {});

// Copies the bytes (constants must be aligned).
std::shared_ptr<const Model> read_model_bytes(const void* data, size_t size, const Limits& limits = {});

}  // namespace bitwright
