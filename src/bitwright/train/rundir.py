"""Where a run writes: `last.ckpt`, `best.ckpt`, `config.yaml`, `csv/` and `tensorboard/` in one folder."""

from __future__ import annotations

from pathlib import Path

LAST, BEST, CONFIG = "last.ckpt", "best.ckpt", "config.yaml"


class RunFolderError(ValueError):
    """The folder already holds another run."""


def choose_run_dir(run_dir: str | None, recipe: str | None, ckpt_path: str | None, overwrite: bool) -> Path:
    """The folder of a run.

    Args:
        run_dir: as given by the user. It may hold a run only if that is continued (`ckpt_path`) or `overwrite` is set.
        recipe: path of the recipe; without `run_dir` the run goes to `runs/<its name>`, or `runs/<its name>-2`, ...
        ckpt_path: of the run that is continued; without `run_dir` it goes on in the checkpoint's folder.
        overwrite: start anew in a folder that holds a run; its checkpoints are deleted.

    Raises:
        RunFolderError: `run_dir` holds a run and nothing says what to do with it.
    """
    if run_dir is not None:
        folder = Path(run_dir)
        if (folder / LAST).exists() and ckpt_path is None:
            if not overwrite:
                raise RunFolderError(
                    f"{folder} already holds a run: continue it with --ckpt_path '{folder / LAST}', start anew with "
                    "--overwrite true, or choose another --run-dir"
                )
            for name in (LAST, BEST):
                (folder / name).unlink(missing_ok=True)
        return folder
    if ckpt_path is not None:
        return Path(ckpt_path).parent
    name = Path(recipe).stem if recipe else "run"
    number, folder = 1, Path("runs") / name
    while (folder / LAST).exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder
