"""Hostile input: readers, mutators, and the watch over each case. `benchmarks/fuzz.py` runs them."""
