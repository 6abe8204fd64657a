"""Compiled primitives that two or more rooms share."""
