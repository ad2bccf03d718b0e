"""nelf: posed photos in, a neural light field small and fast enough for a phone out."""

__version__ = "0.1.0"
