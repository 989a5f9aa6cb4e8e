#!/bin/sh
# Everything that only a GPU can show, in one call, within a budget of GPU time, resumable: see run_all.py.
#   benchmarks/gpu/run_all.sh [--budget 25m] [--only peaks layers] [--again] [--dry-run [--device h100]]
# State: written without a GPU; never run on one.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec "$python" benchmarks/gpu/run_all.py "$@"
