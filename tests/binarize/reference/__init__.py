"""The methods a second time, in float64 numpy, straight from the formulas: nothing here imports the library.

One file a method, named as the method, with `CASES`. `tests/binarize/test_references.py` compares each with the
library's layer, values and gradients.
"""
