"""Kernel Tuner's strategies on recorded timings, in its simulation mode; runs in the peers' environment.

    python kernel_tuner_replay.py < request.json > answer.json

Request: {"spaces": [{"keys": [...], "configs": [{"values": [text, ...], "ms": time}, ...]}], "strategies": [...],
"seeds": n, "count": k}. Answer: {strategy: [for each space [for each seed [time of the first candidate, of the second,
...]]]}, at most k of them, in the order in which the strategy asked for them, each candidate once.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

KERNEL = "recorded"
PATIENCE = 8
"""Seconds for one replay: some local searches wait for new candidates for ever where a space has none left."""


def give_up(*_: object) -> None:
    raise TimeoutError


def write_cache(space: dict[str, Any], path: Path) -> dict[str, list[str]]:
    """A cache file as simulation mode reads it; returns the parameters with their values."""
    keys = space["keys"]
    rows = [config["values"] for config in space["configs"]]
    parameters = {key: sorted({row[i] for row in rows}) for i, key in enumerate(keys)}
    timings = {"compile_time": 0, "verification_time": 0, "benchmark_time": 0, "strategy_time": 0, "framework_time": 0}
    cache = {
        ",".join(config["values"]): {
            **dict(zip(keys, config["values"], strict=True)),
            "time": config["ms"],
            "times": [config["ms"]],
            **timings,
        }
        for config in space["configs"]
    }
    head = {"device_name": "recorded", "kernel_name": KERNEL, "problem_size": [1], "objective": "time"}
    path.write_text(json.dumps({**head, "tune_params_keys": keys, "tune_params": parameters, "cache": cache}))
    return parameters


def replay(space: dict[str, Any], strategy: str, seed: int, count: int, path: Path) -> list[float]:
    """Times in the order of measurement."""
    from constraint import FunctionConstraint
    from kernel_tuner import tune_kernel

    parameters = write_cache(space, path)
    keys = space["keys"]
    known = {tuple(config["values"]) for config in space["configs"]}
    signal.alarm(PATIENCE)
    random.seed(seed)  # what its strategies draw from
    np.random.seed(seed)
    results, _ = tune_kernel(
        KERNEL, "void recorded() {}", 1, [], parameters, lang="C", simulation_mode=True, cache=str(path), quiet=True,
        restrictions=[FunctionConstraint(lambda *values: values in known)],
        strategy=strategy, strategy_options={"max_fevals": min(count, len(known))}, seed=seed,
    )  # fmt: skip
    signal.alarm(0)
    times: dict[tuple[str, ...], float] = {}
    for result in results:
        time = result.get("time")
        if isinstance(time, (int, float)):
            times.setdefault(tuple(result[key] for key in keys), float(time))
    return list(times.values())[:count]


def main() -> None:
    request = json.load(sys.stdin)
    signal.signal(signal.SIGALRM, give_up)
    answer: dict[str, list[list[list[float]]]] = {}
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        path = Path(folder) / "cache.json"
        for strategy in request["strategies"]:
            try:
                with contextlib.redirect_stdout(nothing):
                    answer[strategy] = [
                        [replay(space, strategy, seed, request["count"], path) for seed in range(request["seeds"])]
                        for space in request["spaces"]
                    ]
            except TimeoutError:
                print(f"  {strategy}: no end within {PATIENCE} s, left out", file=sys.stderr, flush=True)
            except (IndexError, TypeError) as error:  # too few configs or neighbours
                print(f"  {strategy}: left out, it fails on a space of this size: {error}", file=sys.stderr, flush=True)
            else:
                print(f"  {strategy}", file=sys.stderr, flush=True)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
