"""BMXNet and MXNet: `-symbol.json` with `.params`.

`files` finds the pair, `params` and `symbol` read it, `convert` walks the graph, `ops` has one function an operator.
"""
