"""BNN-PYNQ: FINN's parameter files of the LFC and CNV accelerators, in a folder or a tar archive."""

from __future__ import annotations

from ..bnn_pynq.files import digest, is_set, read_set
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source


def sniff(source: Source) -> bool:
    return is_set(source)


@register_format("bnn_pynq", "BNN-PYNQ parameters, LFC and CNV with 1-bit activations (folder, .tar, .tar.xz)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """Unfolds the memories of the processing elements and writes the network."""
    from ..bnn_pynq.convert import Conversion

    files = read_set(source)
    conversion = Conversion(files, str(source.path))
    metadata = {"import.format": "bnn_pynq", "import.file": source.path.name, "import.sha256": digest(files)}
    imported = Imported(conversion.run(metadata), "bnn_pynq", str(source.path), conversion.findings)
    channels = conversion.network.sample[0]
    imported.describe_images([0.0] * channels, [1 / 255] * channels, conversion.classes)  # pixels as they are
    return imported
