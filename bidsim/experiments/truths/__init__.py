"""Textbook results reproduced by the engine: one file per family of checks."""
