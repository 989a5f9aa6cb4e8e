"""The assembly of the bit-sliced counting loop is what its generator writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KERNELS = Path(__file__).parents[2] / "native" / "kernels"


def test_header_is_what_the_generator_writes(tmp_path: Path) -> None:
    written = tmp_path / "gfni_steps.h"
    subprocess.run([sys.executable, str(KERNELS / "gfni_steps.py"), str(written)], check=True)
    assert written.read_text() == (KERNELS / "gfni_steps.h").read_text()
