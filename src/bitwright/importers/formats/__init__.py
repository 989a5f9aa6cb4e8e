"""One file a format; `registry.py` finds them."""
