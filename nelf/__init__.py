"""nelf: from posed photos to a neural light field small and fast enough for a phone."""

__version__ = "0.1.0"
