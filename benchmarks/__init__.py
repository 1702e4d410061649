"""Benchmarks, run from a checkout; see `python -m benchmarks --help`."""
