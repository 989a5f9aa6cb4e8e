"""Binary layers that a file of standard operators only spells out: found by value, proven, and written as the dialect.

`graph` is the model in the making, `constants` computes what does not depend on an input, `elementwise` follows one
float through elementwise operators, `signals` says which tensors hold few levels and why, `layers` rewrites the layers
that read them.
"""
