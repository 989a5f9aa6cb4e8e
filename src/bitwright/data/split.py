"""Fixed splits: the same images for everybody, whatever a run's seed is."""

from __future__ import annotations

import numpy as np

# Splits that we make ourselves (digits' test set, held-out validation images) use this seed and nothing else.
SPLIT_SEED = 1


def stratified_split(labels: np.ndarray, held_out: int, seed: int = SPLIT_SEED) -> tuple[np.ndarray, np.ndarray]:
    """Splits indices so that each class keeps its share (to the nearest image; exactly `held_out` in all).

    Args:
        labels: integer labels, shape [N].
        held_out: number of indices in the second part, 0 <= held_out <= N.
        seed: of numpy's PCG64 generator, which is stable over numpy versions.

    Returns:
        (kept, held out): sorted int64 arrays of indices.

    Raises:
        ValueError: held_out out of range.
    """
    total = len(labels)
    if not 0 <= held_out <= total:
        raise ValueError(f"cannot hold out {held_out} of {total} images")
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * held_out / max(total, 1)
    take = np.floor(shares).astype(np.int64)
    # The images missing to the total go to the classes with the largest remainders (ties: the lower class).
    order = np.argsort(-(shares - take), kind="stable")
    take[order[: held_out - int(take.sum())]] += 1
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = []
    for value, number in zip(classes, take, strict=True):
        members = np.flatnonzero(labels == value)
        # argsort of raw integers: `Generator.permutation` and `choice` may change between numpy versions.
        keys = generator.bit_generator.random_raw(len(members))
        chosen.append(members[np.argsort(keys, kind="stable")[:number]])
    second = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    first = np.setdiff1d(np.arange(total), second)
    return first, second
