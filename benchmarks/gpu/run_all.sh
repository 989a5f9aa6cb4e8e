#!/bin/sh
# Everything that only a GPU can show, in one call: correctness on silicon first, then timings of all candidates.
# Writes results/gpu_correctness.json, results/gpu_sweep.jsonl (the tuner's store), results/gpu_sweep.csv and
# results/gpu_compare.json (ours beside CUTLASS's default tile and dense products, as products and as whole layers).
#   benchmarks/gpu/run_all.sh [--dry-run] [--budget 60s]
# --dry-run needs no GPU: it lists what would run on the GPU of the table that --device names.
# State: written without a GPU; never run on one.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
"$python" benchmarks/gpu/correctness.py "$@"
"$python" benchmarks/gpu/sweep.py "$@"
