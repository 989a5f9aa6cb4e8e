"""Evaluators written straight from the formats, in numpy; they share no code with the importers."""
