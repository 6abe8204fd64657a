"""Rivals outside the scenario: price landscapes and replayed logs."""
