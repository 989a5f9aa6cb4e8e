"""The methods, one a file. Adding a method is adding a file here: every module of this folder is imported.

Such a file decorates one function with `register_method(MethodInfo(...))`. The function's keyword arguments are the
method's options; it returns `MethodParts`: which weight binarizer, activation binarizer, output rule and
initialisation, each with its options. Blocks that exist only for one method live in its file and register themselves
(`WEIGHTS.register("name")`, `ACTIVATIONS`, `OUTPUTS`, `register_estimator`). What a block may do beyond its forward
pass (schedules, extra losses, initialisation from data) is in `bitwright.binarize.Part`.
"""

from __future__ import annotations

from bitwright.discovery import import_all

import_all(__name__, __path__)
