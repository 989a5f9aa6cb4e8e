"""Settings of all tests."""

from hypothesis import settings

# On a loaded machine a single example may take long; pytest-timeout guards against tests that hang.
settings.register_profile("bitwright", deadline=None)
settings.load_profile("bitwright")
