// Functions of the module that need no model.
#pragma once

#include <nanobind/nanobind.h>

namespace bitwright {

void bind_functional(nanobind::module_& m);

}  // namespace bitwright
