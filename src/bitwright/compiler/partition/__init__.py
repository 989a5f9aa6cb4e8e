"""Models that the engine cannot run alone: which nodes run natively, which in onnxruntime, and a file that holds both.

`classify` asks the real lowering about every node, `cluster` groups the nodes into parts, `cut` makes a graph or an
ONNX model of each, `plan` repeats the three until every native part compiles, `assemble` compiles the parts and writes
them, in the form that `container` knows.
"""
