"""BNN-PYNQ: the parameter files of FINN's first accelerators.

`files` collects them from a folder or an archive, `folding` puts the pieces of the processing elements together,
`networks` knows the two architectures, whose graph no file holds, and `convert` writes them as ONNX.
"""
