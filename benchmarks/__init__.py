"""Measures weft beside its peers: ``python -m benchmarks``, see README.md."""
