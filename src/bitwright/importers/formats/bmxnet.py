"""BMXNet, and plain MXNet: `NAME-symbol.json` with `NAME-NNNN.params`; either file finds the other."""

from __future__ import annotations

from ..bmxnet.files import find_pair, is_params, is_symbol
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source


def sniff(source: Source) -> bool:
    return is_params(source) or is_symbol(source)


@register_format("bmxnet", "BMXNet or MXNet (-symbol.json and .params, either of the two)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """Reads both files and converts the graph."""
    from ..bmxnet.convert import Conversion
    from ..bmxnet.params import read_params
    from ..bmxnet.symbol import read_symbol

    pair = find_pair(source)
    graph, weights = Source(pair.symbol), Source(pair.params)
    symbol = read_symbol(graph.data, str(pair.symbol))
    params = read_params(weights.data, str(pair.params))
    conversion = Conversion(symbol, params, options, str(pair.symbol))
    metadata = graph.metadata("bmxnet") | {"import.params": pair.params.name, "import.params.sha256": weights.sha256}
    model = conversion.run(metadata)
    return Imported(model, "bmxnet", f"{pair.symbol} + {pair.params.name}", conversion.findings)
