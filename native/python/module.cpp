// The nanobind module `bitwright.runtime._native`: thin. src/bitwright/runtime checks arguments, allocates outputs and gives names.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>

#include "bind_functional.h"
#include "bitwright.h"
#include "cpus.h"
#include "describe.h"
#include "error.h"
#include "functional.h"
#include "machine.h"
#include "reader.h"
#include "session.h"
#include "tune.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace bitwright {
namespace {

using Array = nb::ndarray<nb::ro, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Words = nb::ndarray<const uint32_t, nb::c_contig, nb::device::cpu>;

nb::tuple dims_of(const ValueInfo& v) { return nb::make_tuple(v.dims[0], v.dims[1], v.dims[2], v.dims[3]); }

nb::list id_list(const std::vector<uint32_t>& ids) {
  nb::list list;
  for (uint32_t id : ids) list.append(id);
  return list;
}

nb::dict value_dict(const Model& model, uint32_t id) {
  const ValueInfo& v = model.values[id];
  nb::list axes;
  for (uint8_t a : v.axes)
    if (a) axes.append(v.dims[a - 1]);
  nb::dict d;
  d["id"] = id;
  d["name"] = v.name;
  d["dtype"] = name_of(v.dtype);
  d["dims"] = dims_of(v);
  d["groups"] = v.groups;
  d["planes"] = v.planes;
  d["scale"] = v.scale;
  d["zero"] = v.zero;
  d["role"] = v.is_input ? "input" : v.is_output ? "output" : "";
  d["shape"] = axes;
  d["arena_offset"] = v.offset;
  d["bytes"] = v.bytes;
  return d;
}

// A caller's array seen as one of the model's inputs or outputs.
ExternalTensor external(const ValueInfo& v, const Array& a, const char* role) {
  ExternalTensor t;
  const nb::dlpack::dtype type = a.dtype();
  const bool floats = v.dtype == DType::kF32, ids = v.dtype == DType::kI32;
  if (v.dtype == DType::kU8 && type == nb::dtype<uint8_t>())
    t.type = ElementType::kU8;
  else if (floats && type == nb::dtype<float>())
    t.type = ElementType::kF32;
  else if (ids && type == nb::dtype<int32_t>())
    t.type = ElementType::kI32;
  else if (ids && type == nb::dtype<int64_t>())
    t.type = ElementType::kI64;
  else
    fail(Status::kInput, role, " '", v.name, "': wrong element type");
  size_t rank = 0;
  while (rank < 4 && v.axes[rank]) ++rank;
  if (a.ndim() != rank + 1) fail(Status::kInput, role, " '", v.name, "': ", a.ndim(), " dimensions, ", rank + 1, " are expected");
  t.data = const_cast<void*>(a.data());
  t.strides[0] = a.stride(0);
  for (size_t k = 0; k < rank; ++k) {
    const int axis = v.axes[k];
    if (a.shape(k + 1) != v.dims[axis - 1]) fail(Status::kInput, role, " '", v.name, "': wrong size in dimension ", k + 1);
    t.strides[axis] = a.stride(k + 1);
  }
  return t;
}

std::vector<uint64_t> run_session(Session& session, const std::vector<Array>& inputs, const std::vector<Array>& outputs, bool profile) {
  const Model& model = session.model();
  if (inputs.size() != model.inputs.size() || outputs.size() != model.outputs.size()) fail(Status::kInput, "wrong number of inputs or outputs");
  std::vector<ExternalTensor> in, out;
  size_t samples = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    in.push_back(external(model.values[model.inputs[i]], inputs[i], "input"));
    if (i == 0) samples = inputs[0].shape(0);
    if (inputs[i].shape(0) != samples) fail(Status::kInput, "inputs of different batch sizes");
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    out.push_back(external(model.values[model.outputs[i]], outputs[i], "output"));
    if (outputs[i].shape(0) != samples) fail(Status::kInput, "an output of another batch size");
  }
  std::vector<uint64_t> op_ns;
  nb::gil_scoped_release release;
  session.run(samples, in.data(), out.data(), profile ? &op_ns : nullptr);
  return op_ns;
}

// The word of a pixel that holds channel c in a plane.
template <class Word>
Word* bit_word(const ValueInfo& v, Word* pixel, uint32_t plane, uint32_t c) {
  return pixel + (size_t{plane} * v.groups + c / v.group_channels()) * v.words() + c % v.group_channels() / 32;
}

uint32_t bit_of(const ValueInfo& v, uint8_t level, uint32_t plane) { return v.planes == 1 ? level != 0 : level >> plane & 1u; }

// Engine layout from [samples][D][H][W][C] (elements as they are, or one byte per bit or level), and back.
void to_engine(const ValueInfo& v, size_t samples, const uint8_t* from, uint8_t* to) {
  const size_t elements = v.pixels() * v.channels();
  for (size_t n = 0; n < samples; ++n, to += v.bytes) {
    if (v.dtype != DType::kBits) {
      std::memcpy(to, from + n * elements * v.element_bytes(), elements * v.element_bytes());
      continue;
    }
    const uint8_t* level = from + n * elements;
    auto* words = reinterpret_cast<uint32_t*>(to);
    for (size_t pixel = 0; pixel < v.pixels(); ++pixel, words += v.pixel_stride())
      for (uint32_t c = 0; c < v.channels(); ++c, ++level)
        for (uint32_t plane = 0; plane < v.planes; ++plane) *bit_word(v, words, plane, c) |= bit_of(v, *level, plane) << (c % v.group_channels() % 32);
  }
}

void from_engine(const ValueInfo& v, size_t samples, const uint8_t* from, uint8_t* to) {
  const size_t elements = v.pixels() * v.channels();
  for (size_t n = 0; n < samples; ++n, from += v.bytes) {
    if (v.dtype != DType::kBits) {
      std::memcpy(to + n * elements * v.element_bytes(), from, elements * v.element_bytes());
      continue;
    }
    uint8_t* level = to + n * elements;
    const auto* words = reinterpret_cast<const uint32_t*>(from);
    for (size_t pixel = 0; pixel < v.pixels(); ++pixel, words += v.pixel_stride())
      for (uint32_t c = 0; c < v.channels(); ++c, ++level) {
        uint32_t sum = 0;
        for (uint32_t plane = 0; plane < v.planes; ++plane) sum |= (*bit_word(v, words, plane, c) >> (c % v.group_channels() % 32) & 1) << plane;
        *level = static_cast<uint8_t>(sum);
      }
  }
}

// inputs, outputs: {value id: C-contiguous array [samples, D, H, W, C]}, f32, i32, u8, i16 or, for bits, uint8.
void run_one(Session& session, size_t index, const nb::dict& inputs, const nb::dict& outputs) {
  const Model& model = session.model();
  if (index >= model.ops.size()) fail(Status::kArgument, "op ", index, ": the model has ", model.ops.size());
  std::map<uint32_t, AlignedBuffer> memory;
  std::map<uint32_t, void*> values;
  size_t samples = 0;
  const auto view = [&](uint32_t id, const nb::dict& arrays, auto type_tag) {
    const nb::object key = nb::int_(id);
    if (!arrays.contains(key)) fail(Status::kInput, "value ", id, " is missing");
    const auto a = nb::cast<decltype(type_tag)>(arrays[key]);
    const ValueInfo& v = model.values[id];
    const bool bytes = v.dtype == DType::kBits || v.dtype == DType::kU8;
    const nb::dlpack::dtype type = bytes ? nb::dtype<uint8_t>() : v.dtype == DType::kI32 ? nb::dtype<int32_t>()
                                   : v.dtype == DType::kI16 ? nb::dtype<int16_t>() : nb::dtype<float>();
    bool fits = a.ndim() == 5 && a.dtype() == type && (samples == 0 || a.shape(0) == samples);
    for (size_t k = 0; fits && k < 4; ++k) fits = a.shape(k + 1) == v.dims[k];
    if (!fits) fail(Status::kInput, "value ", id, ": wrong shape or element type");
    samples = a.shape(0);
    return a;
  };
  const OpInfo& op = model.ops[index];
  for (uint32_t id : op.reads()) {
    const auto a = view(id, inputs, nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>());
    const ValueInfo& v = model.values[id];
    memory.emplace(id, AlignedBuffer(v.bytes * samples, true));
    to_engine(v, samples, static_cast<const uint8_t*>(a.data()), memory[id].as<uint8_t>());
  }
  if (samples > UINT32_MAX) fail(Status::kInput, samples, " samples are too many");
  for (uint32_t id : op.writes()) {
    view(id, outputs, nb::ndarray<nb::c_contig, nb::device::cpu>());
    memory.emplace(id, AlignedBuffer(model.values[id].bytes * samples, true));
  }
  for (const auto& [id, buffer] : memory) values[id] = buffer.data();
  {
    nb::gil_scoped_release release;
    if (samples) session.run_one(index, static_cast<uint32_t>(samples), values);
  }
  for (uint32_t id : op.writes()) {
    const auto a = view(id, outputs, nb::ndarray<nb::c_contig, nb::device::cpu>());
    from_engine(model.values[id], samples, memory[id].as<uint8_t>(), static_cast<uint8_t*>(a.data()));
  }
}

nb::list ops(const Session& session) {
  const Model& model = session.model();
  nb::list list;
  for (size_t i = 0; i < model.ops.size(); ++i) {
    const OpInfo& op = model.ops[i];
    const OpFacts f = facts_of(session.prepared(), i);
    nb::list steps;
    for (const StepInfo& s : op.steps) steps.append(name_of(s.kind));
    nb::dict d;
    d["index"] = i;
    d["name"] = op.name;
    d["kind"] = name_of(op.opcode);
    const std::string kernel = f.kernel;
    d["kernel"] = kernel.substr(0, kernel.find('/'));  // the tile is the choice's
    d["choice"] = text_of(choice_of(session.prepared(), i));
    d["epilogue"] = f.epilogue;
    d["steps"] = steps;
    d["in_shape"] = dims_of(model.values[op.in]);
    d["out_shape"] = dims_of(model.values[op.writes().front()]);
    d["groups"] = op.geometry.groups;
    d["kernel_shape"] = nb::make_tuple(op.geometry.kernel[0], op.geometry.kernel[1], op.geometry.kernel[2]);
    d["reads"] = id_list(op.reads());
    d["writes"] = id_list(op.writes());
    d["binary_macs"] = f.binary_macs;
    d["float_macs"] = f.float_macs;
    d["int8_macs"] = f.int8_macs;
    d["weight_bytes"] = f.weight_bytes;
    d["constant_bytes"] = f.constant_bytes;
    d["packed_bytes"] = f.packed_bytes;
    d["planes"] = f.planes;
    list.append(d);
  }
  return list;
}

// What the machine can do with the session's threads. Each wish: a family of loops, and the instruction set of the kernels to compare with, or "".
nb::list machine_rates(Session& session, uint64_t bytes, const std::vector<std::pair<std::string, std::string>>& wishes) {
  static const char* const families[] = {"binary", "float", "int8", "read", "write"};
  std::vector<const RooflineLoop*> loops;
  for (const auto& [family, isa] : wishes) {
    const auto* found = std::find(std::begin(families), std::end(families), family);
    if (found == std::end(families)) fail(Status::kArgument, "'", family, "' is no family of loops; known: binary, float, int8, read, write");
    loops.push_back(&roofline_loop(static_cast<RooflineFamily>(found - families), isa.empty() ? nullptr : isa.c_str()));
  }
  std::vector<MachineRate> rates;
  {
    nb::gil_scoped_release release;
    rates = session.measure_machine(bytes, loops);
  }
  nb::list list;
  for (const MachineRate& rate : rates) {
    nb::dict d;
    d["loop"] = rate.loop->name;
    d["about"] = rate.loop->about;
    d["per_ns"] = rate.per_ns;
    list.append(d);
  }
  return list;
}

// What Session::tune of Python keeps: {op: choice}.
std::shared_ptr<Session> with_choices(const Session& session, const std::map<size_t, std::string>& choices) {
  SessionOptions options;
  options.threads = session.threads();
  options.choices = choices;
  return std::make_shared<Session>(session.prepared().model, options);
}

nb::dict tuned_dict(Session& session, size_t op, uint32_t samples) {
  TunedOp tuned;
  {
    nb::gil_scoped_release release;
    tuned = tune_op(session, op, samples);
  }
  nb::dict ns;
  for (const KernelTime& t : tuned.times) ns[nb::str(t.choice.c_str())] = t.ns;
  nb::dict d;
  d["standard"] = tuned.standard;
  d["kernel"] = tuned.chosen;
  d["gain"] = tuned.gain;
  d["ns"] = ns;
  return d;
}

std::shared_ptr<Session> make_session(std::shared_ptr<const Model> model, unsigned threads, const std::string& kernel) {
  SessionOptions options;
  options.threads = threads;
  options.kernel = kernel;
  return std::make_shared<Session>(std::move(model), options);
}

std::shared_ptr<Session> binary_conv(const std::array<uint32_t, 4>& in, uint32_t out_channels, const std::array<uint32_t, 3>& out, const Words& weight,
                                     const Floats& threshold, const std::array<std::array<uint32_t, 3>, 5>& geometry, uint32_t groups,
                                     uint32_t pad_mode, bool transposed, uint32_t low, uint32_t bits, const Floats& offset, unsigned threads,
                                     const std::string& kernel) {
  BinaryConvProblem p;
  p.in = in;
  p.out_channels = out_channels;
  p.out = out;
  uint32_t(*fields[5])[3] = {&p.geometry.kernel, &p.geometry.stride, &p.geometry.dilation, &p.geometry.pad_begin, &p.geometry.pad_end};
  for (size_t i = 0; i < 5; ++i)
    for (size_t k = 0; k < 3; ++k) (*fields[i])[k] = geometry[i][k];
  p.geometry.groups = groups;
  if (pad_mode > 3) fail(Status::kArgument, "pad_mode ", pad_mode);
  p.geometry.pad_mode = static_cast<PadMode>(pad_mode);
  p.geometry.transposed = transposed;
  p.low = low;
  p.weight = weight.data();
  p.weight_elements = weight.size();
  p.threshold = threshold.data();
  p.threshold_elements = threshold.size();
  p.bits = bits;
  p.offset = offset.data();
  p.offset_elements = offset.size();
  return make_session(binary_conv_model(p), threads, kernel);
}

void raise_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    if (error.status == Status::kFile && error.system_error) {
      const std::string message = error.what();
      const nb::object value = nb::make_tuple(error.system_error, message);
      PyErr_SetObject(PyExc_OSError, value.ptr());
      return;
    }
    const char* name = nullptr;
    switch (error.status) {
      case Status::kModel: name = "ModelError"; break;
      case Status::kInput: name = "InputError"; break;
      case Status::kKernel: name = "KernelError"; break;
      case Status::kArgument: PyErr_SetString(PyExc_ValueError, error.what()); return;
      case Status::kMemory: PyErr_SetString(PyExc_MemoryError, error.what()); return;
      default: PyErr_SetString(PyExc_RuntimeError, error.what()); return;
    }
    const nb::object type = nb::module_::import_("bitwright.runtime.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
  }
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // sessions held by module globals at interpreter exit are no leak
  nb::register_exception_translator(raise_error);
  m.attr("__version__") = bitwright_version();
  m.def("kernels", [] {
    nb::list list;
    for (const KernelFacts& k : list_kernels()) {
      nb::dict d;
      d["name"] = k.name;
      d["operation"] = k.operation;
      d["isa"] = k.isa;
      d["supported"] = k.supported;
      d["default"] = k.is_default;
      d["about"] = k.about;
      nb::list tiles;
      for (const std::string& tile : k.tiles) tiles.append(tile);
      d["tiles"] = tiles;
      list.append(d);
    }
    return list;
  });
  m.def("measure_clock", [] {
    nb::gil_scoped_release release;
    return measure_clock();
  });
  m.def("available_cpus", [] { return available_cpus(); });
  bind_functional(m);
  nb::class_<Session>(m, "Session")
      .def("run", &run_session, "inputs"_a, "outputs"_a, "profile"_a = false)
      .def("run_op", &run_one, "index"_a, "inputs"_a, "outputs"_a)
      .def("time_op", [](Session& s, size_t index, uint32_t samples, uint32_t repeats) {
        nb::gil_scoped_release release;
        return s.time_op(index, samples, repeats);
      }, "index"_a, "samples"_a, "repeats"_a)
      .def("measure_machine", &machine_rates, "bytes"_a, "wishes"_a)
      .def("ops", &ops)
      .def("tune_op", &tuned_dict, "index"_a, "samples"_a)
      .def("kernels_for", &kernels_for, "index"_a)
      .def("layer_text", [](const Session& s, size_t op) { return layer_text(s.model(), op); }, "index"_a)
      .def("with_choices", [](const Session& s, const std::map<size_t, std::string>& choices) {
        nb::gil_scoped_release release;
        return with_choices(s, choices);
      }, "choices"_a)
      .def("value", [](const Session& s, uint32_t id) { return value_dict(s.model(), id); })
      .def_prop_ro("value_count", [](const Session& s) { return s.model().values.size(); })
      .def_prop_ro("inputs", [](const Session& s) { return s.model().inputs; })
      .def_prop_ro("outputs", [](const Session& s) { return s.model().outputs; })
      .def_prop_ro("meta", [](const Session& s) { return s.model().meta; })
      .def_prop_ro("threads", &Session::threads)
      .def_prop_ro("micro_batch", &Session::micro_batch)
      .def_prop_ro("arena_bytes", [](const Session& s) { return s.model().arena_bytes; })
      .def_prop_ro("file_bytes", [](const Session& s) { return s.model().file_bytes; })
      .def_prop_ro("prepared_bytes", [](const Session& s) { return s.prepared().bytes; })
      .def_prop_ro("weight_bytes", [](const Session& s) { return s.prepared().weight_bytes; })
      .def_prop_ro("scratch_bytes", &Session::scratch_bytes);
  m.def("open_file", [](const std::string& path, unsigned threads, const std::string& kernel) {
    nb::gil_scoped_release release;
    return make_session(read_model_file(path), threads, kernel);
  }, "path"_a, "threads"_a, "kernel"_a);
  m.def("open_part", [](const std::string& path, uint64_t offset, uint64_t bytes, unsigned threads, const std::string& kernel) {
    nb::gil_scoped_release release;
    return make_session(read_model_part(path, offset, bytes), threads, kernel);
  }, "path"_a, "offset"_a, "bytes"_a, "threads"_a, "kernel"_a);
  m.def("open_bytes", [](const nb::bytes& data, unsigned threads, const std::string& kernel) {
    const void* bytes = data.data();
    const size_t size = data.size();
    nb::gil_scoped_release release;
    return make_session(read_model_bytes(bytes, size), threads, kernel);
  }, "data"_a, "threads"_a, "kernel"_a);
  m.def("binary_conv", &binary_conv, "in_dims"_a, "out_channels"_a, "out_dims"_a, "weight"_a, "threshold"_a, "geometry"_a, "groups"_a, "pad_mode"_a,
        "transposed"_a, "low"_a, "bits"_a, "offset"_a, "threads"_a, "kernel"_a);
}

}  // namespace bitwright
