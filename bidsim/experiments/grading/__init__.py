"""Explanations graded against the truth, on worlds that nothing was tuned on."""
