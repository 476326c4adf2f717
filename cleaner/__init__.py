"""cleaner: staged cleaning of labelled image sets for classification."""

__version__ = "0.1.0"
