// From a .bwm file (docs/bwm.md) to a Model. Trusts nothing in the file.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "model.h"

namespace bitwright {

// Maps the file. Replace a file in use by renaming, as one does with a shared library: it must not shrink while it is mapped.
std::shared_ptr<const Model> read_model_file(const std::string& path, const Limits& limits = {});

// Copies the bytes (constants must be aligned).
std::shared_ptr<const Model> read_model_bytes(const void* data, size_t size, const Limits& limits = {});

}  // namespace bitwright
