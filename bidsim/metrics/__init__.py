"""Figures of a finished run: money, rates, welfare, incrementality. Reads a `Result` and nothing else."""
