"""Your own torch model, made binary by rule, trained a little, compiled and run.

python examples/own_network.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

import bitwright as bw


def own_network() -> nn.Module:
    """Any torch model: here three convolutions for 8x8 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def train(network: nn.Module, epochs: int = 8) -> None:
    """A plain torch loop; the three `bw.binarize` calls are all that a binary network adds."""
    loader = bw.data.create("digits", batch_size=64).train_dataloader()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    step, steps = 0, epochs * len(loader)
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for images, labels in loader:
            bw.binarize.set_progress(network, epoch=epoch, epochs=epochs, step=step, steps=steps)  # schedules
            loss = nn.functional.cross_entropy(network(images), labels)
            extra = bw.binarize.regularization(network)  # the method's own loss term, if it has one
            optimizer.zero_grad()
            (loss if extra is None else loss + extra).backward()
            optimizer.step()
            bw.binarize.clip_latent_(network)  # to the method's range
            step += 1
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}")


def main(folder: Path) -> None:
    torch.manual_seed(0)
    network = own_network().train()
    bw.nn.binarize_(network, method="irnet")
    print(network.binarize_report)
    train(network)
    network.eval()

    data = bw.data.create("digits")
    images, labels = data.split("test")
    x = data.normalize(images)
    packed = bw.export.freeze(network)
    bw.export.to_onnx(packed, x[:2], folder / "own.onnx")
    print(bw.compiler.compile(folder / "own.onnx", folder / "own.bwm"))
    scores = bw.runtime.Session(folder / "own.bwm").run(x.numpy())
    with torch.no_grad():
        same = (scores.argmax(1) == network(x).numpy().argmax(1)).mean()
    print(f"engine: {(scores.argmax(1) == labels.numpy()).mean():.2%} of {len(labels)} test images right")
    print(f"same class as PyTorch: {same:.2%}")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_network")
    target.mkdir(parents=True, exist_ok=True)
    main(target)
