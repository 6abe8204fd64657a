"""Benchmarks: side by side with peers and goals, in one run. Not part of the package."""
