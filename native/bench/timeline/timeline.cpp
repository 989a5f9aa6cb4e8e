// Where two threads lose time: moments of every thread in every shared job, from a pool and an executor compiled with stamps (engine/timeline.h).
//
//   bitwright_timeline                  ResNet-18's binary 3x3 layers and some of 1x1, one by one, with a threshold
//   bitwright_timeline NETWORK.bwm      a network's ops, within whole runs
//   bitwright_timeline --runs 200 ...
//
// Microseconds, medians of the runs (one thread and two in turn): `one`, `two` and their ratio; `sum` is what both threads worked together, over `one`:
// above 1 is work done twice or slower; `before` is the op's time before the job opens, `wake` until the worker begins its first item; `features` what
// one thread needs to make features (and what comes before), and each of two threads; `parts` how many it took, `share` how much of all the worker did,
// `work` how long; `idle` how long it waited for the other one at the end, `join` from the end of the last part until the caller goes on. In layers
// `limit` is what two sessions of one thread each reach at once. Stamps take some 20 ns each, four a part: `two` is a little more than without.
#include "timeline.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "layer_model.h"
#include "reader.h"
#include "session.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace bitwright {
namespace {

uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t t;
  asm volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

struct Event {
  uint64_t at;
  Moment moment;
  size_t item;
};

constexpr unsigned kThreads = 2;

// Written by its thread while a job runs, read between jobs.
struct alignas(128) Log {
  std::vector<Event> events;
};
std::array<Log, kThreads> logs;
bool recording = false;

}  // namespace

void stamp(Moment moment, unsigned thread, size_t item) {
  if (recording && thread < kThreads) logs[thread].events.push_back({ticks(), moment, item});
}

}  // namespace bitwright

using namespace bitwright;
using layers_bench::Layer;

namespace {

double ticks_per_us() {
  const auto start = std::chrono::steady_clock::now();
  const uint64_t from = ticks();
  while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {
  }
  return static_cast<double>(ticks() - from) / std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

using Row = std::map<std::string, std::vector<double>>;  // by column, runs

// Of one op in one run: what happened between its begin and the next one's, by the caller's clock.
void add(Row& row, uint64_t begin, uint64_t end, double per_us) {
  struct Thread {
    uint64_t first = 0, last = 0;  // begin of the first and end of the last item
    double work = 0, features = 0, parts = 0, cells = 0;
  } thread[kThreads];
  uint64_t fork = 0, last = 0;
  for (unsigned t = 0; t < kThreads; ++t) {
    uint64_t item = 0;
    size_t cell = 0;
    for (const Event& e : logs[t].events) {
      if (e.at < begin || e.at >= end) continue;
      if (e.moment == Moment::kFork && fork == 0) fork = e.at;
      if (e.moment == Moment::kItem) {
        item = e.at;
        cell = e.item;
        if (thread[t].first == 0) thread[t].first = e.at;
        ++thread[t].parts;
      }
      if (e.moment == Moment::kFeatures) thread[t].features += static_cast<double>(e.at - item) / per_us;
      if (e.moment == Moment::kItemDone) {
        thread[t].work += static_cast<double>(e.at - item) / per_us;
        thread[t].cells += static_cast<double>(e.item - cell);
        thread[t].last = e.at;
      }
    }
    last = std::max(last, thread[t].last);
  }
  row["two"].push_back(static_cast<double>(end - begin) / per_us);
  if (fork == 0) return;
  row["before"].push_back(static_cast<double>(fork - begin) / per_us);
  if (thread[1].first != 0) row["wake"].push_back(static_cast<double>(thread[1].first - fork) / per_us);
  row["first"].push_back(static_cast<double>(thread[0].first - fork) / per_us);
  row["join"].push_back(static_cast<double>(end - last) / per_us);
  for (unsigned t = 0; t < kThreads; ++t) {
    const std::string name = std::to_string(t);
    row["features" + name].push_back(thread[t].features);
    row["parts" + name].push_back(thread[t].parts);
    row["share" + name].push_back(thread[t].cells / (thread[0].cells + thread[1].cells));
    row["work" + name].push_back(thread[t].work);
    row["idle" + name].push_back(static_cast<double>(last - std::max(thread[t].last, fork)) / per_us);
  }
  row["sum"].push_back(thread[0].work + thread[1].work);
}

double median(const Row& row, const std::string& column) {
  const auto at = row.find(column);
  return at == row.end() ? 0 : layers_bench::median(at->second);
}

void header() {
  std::printf("%-26s %7s %7s %6s %6s %5s %6s %5s %5s %16s %7s %5s %13s %11s %5s\n", "us", "one", "two", "ratio", "limit", "sum", "before", "wake", "first", "features", "parts", "share", "work", "idle", "join");
}

void print(const std::string& name, const Row& row, double limit) {
  const auto m = [&](const char* column) { return median(row, column); };
  std::printf("%-26s %7.2f %7.2f %6.3f %6.3f %5.2f %6.2f %5.2f %5.2f %5.2f: %4.2f %4.2f %3.0f %3.0f %5.3f %6.2f %6.2f %5.2f %5.2f %5.2f\n", name.substr(0, 26).c_str(), m("one"), m("two"),
              m("one") / m("two"), limit, m("sum") / m("one"), m("before"), m("wake"), m("first"), m("features"), m("features0"), m("features1"), m("parts0"), m("parts1"), m("share1"), m("work0"),
              m("work1"), m("idle0"), m("idle1"), m("join"));
  std::fflush(stdout);
}

// Inputs of zeros and room for outputs.
struct Arrays {
  std::vector<std::vector<uint64_t>> memory;
  std::vector<const void*> in;
  std::vector<void*> out;
  explicit Arrays(const Model& m) {
    const auto room = [&](uint32_t id) {
      memory.emplace_back(m.values[id].bytes / 8 + 16);
      return memory.back().data();
    };
    for (uint32_t id : m.inputs) in.push_back(room(id));
    for (uint32_t id : m.outputs) out.push_back(room(id));
  }
};

// Runs the session once and gives the moments at which its ops began, and the end.
std::vector<Event> run(Session& session, Arrays& arrays) {
  for (Log& log : logs) log.events.clear();
  recording = true;
  session.run_contiguous(1, arrays.in.data(), arrays.out.data());
  recording = false;
  std::vector<Event> ops;
  for (const Event& e : logs[0].events)
    if (e.moment == Moment::kOp) ops.push_back(e);
  return ops;
}

// A row for each op; the last event of a run is its end.
std::vector<Row> measure(const std::shared_ptr<const Model>& model, unsigned runs, double per_us) {
  SessionOptions options;
  Session one(model, options);
  options.threads = kThreads;
  Session two(model, options);
  Arrays arrays(*model);
  std::vector<Row> rows(model->ops.size());
  for (unsigned done = 0; done < runs;) {
    for (Session* session : {&one, &two})
      for (unsigned i = 0; i < 24; ++i) {
        const std::vector<Event> ops = run(*session, arrays);
        if (i < 4) continue;  // the workers are up by then, the caches full
        for (size_t k = 0; k + 1 < ops.size(); ++k) {
          Row& row = rows[ops[k].item];
          if (session == &one) {
            row["one"].push_back(static_cast<double>(ops[k + 1].at - ops[k].at) / per_us);
            for (const Event& e : logs[0].events)
              if (e.moment == Moment::kFeatures && e.at > ops[k].at && e.at < ops[k + 1].at) {
                row["features"].push_back(static_cast<double>(e.at - ops[k].at) / per_us);
                break;
              }
          } else
            add(row, ops[k].at, ops[k + 1].at, per_us);
        }
      }
    done += 20;
  }
  return rows;
}

// What two sessions of one thread reach together, data of their own.
double limit_of(const std::shared_ptr<const Model>& model, unsigned runs) {
  std::array<std::vector<double>, 3> us;  // alone, and each beside the other
  Session a(model, {}), b(model, {});
  const auto time = [&](Session& session, std::vector<double>& to, unsigned count) {
    Arrays arrays(*model);
    for (unsigned i = 0; i < count; ++i) {
      const auto start = std::chrono::steady_clock::now();
      session.run_contiguous(1, arrays.in.data(), arrays.out.data());
      if (i >= count / 4 && i < count - count / 4) to.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
  };
  for (unsigned done = 0; done < runs; done += 100) {
    time(a, us[0], 100);
    std::thread other([&] { time(b, us[2], 400); });
    time(a, us[1], 400);
    other.join();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // for 2 ms after runs that overlapped, no session takes all CPUs
  const double alone = layers_bench::median(us[0]);
  return alone / layers_bench::median(us[1]) + alone / layers_bench::median(us[2]);
}

const Layer layers[] = {
    {56, 64, 64, 3, 1},  {56, 64, 128, 3, 2},  {28, 128, 128, 3, 1}, {28, 128, 256, 3, 2}, {14, 256, 256, 3, 1},  {14, 256, 512, 3, 2},
    {7, 512, 512, 3, 1}, {56, 64, 128, 1, 2}, {28, 256, 256, 1, 1}, {14, 512, 512, 1, 1}, {7, 1024, 1024, 1, 1},
};

}  // namespace

int main(int argc, char** argv) {
  unsigned runs = 400;
  std::string file;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
      runs = static_cast<unsigned>(std::max(std::atoi(argv[++i]), 20));
    else
      file = argv[i];
  }
  for (Log& log : logs) log.events.reserve(1 << 16);
  const double per_us = ticks_per_us();
  header();
  try {
    if (!file.empty()) {
      const std::shared_ptr<const Model> model = read_model_file(file);
      const std::vector<Row> rows = measure(model, runs, per_us);
      double one = 0, two = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (median(rows[i], "one") == 0) continue;
        print(model->ops[i].name, rows[i], 0);
        one += median(rows[i], "one"), two += median(rows[i], "two");
      }
      std::printf("%-26s %7.2f %7.2f %6.3f\n", "all", one, two, one / two);
      return 0;
    }
    for (const Layer& layer : layers) {
      const std::shared_ptr<const Model> model = layers_bench::model_of(layer, true);
      const double limit = limit_of(model, runs);
      print(layer.name(), measure(model, runs, per_us)[0], limit);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
