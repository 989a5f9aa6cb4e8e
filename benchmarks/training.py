"""Recipes trained to the end on this machine: accuracy, minutes, size. Writes results/training.csv.

    python benchmarks/training.py [digits_cnn.yaml fashion_cnn.yaml]

`last.ckpt` is evaluated, not the best of the run; test images are used for nothing else. `engine_top1` is the compiled
file's accuracy. Rows of recipes that are not named stay as they are.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from bitwright import compiler, data, runtime, train
from bitwright.bench.pipeline import export_network, load_trained, prepared_test_images
from bitwright.bench.quickstart import find_recipe
from bitwright.bench.results import earlier_rows, write_results
from bitwright.train.cli import train_main

RESULTS = "results/training.csv"


def measure(recipe: str) -> dict[str, object]:
    """Train one recipe and describe what came out."""
    folder = Path("runs/training") / Path(recipe).stem
    start = time.perf_counter()
    if train_main(["--config", str(find_recipe(recipe)), "--run_dir", str(folder), "--overwrite", "true"]):
        raise SystemExit("training stopped")
    minutes = (time.perf_counter() - start) / 60
    checkpoint = folder / "last.ckpt"
    network, stored, facts = load_trained(checkpoint)
    module = data.create(stored["data"]["name"])
    result = train.evaluate(network, module.eval_loader("test"))
    export_network(network, folder / "net.onnx", facts)
    compiler.compile(folder / "net.onnx", folder / "net.bwm")
    images, labels = prepared_test_images(stored)
    scores = runtime.Session(folder / "net.bwm", threads=2).run(images.numpy())
    return {
        "recipe": recipe,
        "data": facts.title,
        "network": stored["network"]["name"],
        "method": stored["network"]["method"],
        "seed": stored["seed"],
        "test_images": result.images,
        "test_top1": f"{result.top1:.4f}",
        "engine_top1": f"{(scores.argmax(1) == labels.numpy()).mean():.4f}",
        "minutes": f"{minutes:.1f}",
        "torch_threads": torch.get_num_threads(),
        "bwm_bytes": os.path.getsize(folder / "net.bwm"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="train recipes and write results/training.csv")
    parser.add_argument("recipes", nargs="*", default=["digits_cnn.yaml", "fashion_cnn.yaml"])
    for recipe in parser.parse_args().recipes:
        row = measure(recipe)
        print(*(f"{key}: {value}" for key, value in row.items()), sep="\n")
        command, keep = f"python benchmarks/training.py {recipe}", earlier_rows(RESULTS, "recipe", recipe)
        print(f"wrote {write_results(RESULTS, command, [row], keep=keep)}")


if __name__ == "__main__":
    main()
