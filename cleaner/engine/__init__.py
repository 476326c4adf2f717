"""Runs a function over tasks, remembers which are done; knows nothing of models."""
