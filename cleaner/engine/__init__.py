"""Runs a function over tasks and remembers which are done; knows nothing about models."""
