"""Shrinking a noisy estimate towards what is known of its kind."""

from __future__ import annotations

from bidsim.core.kernel import kernel


@kernel()
def posterior_mean(estimate: float, mean: float, spread: float, noise: float) -> float:
    """Mean of a normal value given an unbiased estimate (Gelman et al., Bayesian Data Analysis, equation 2.10).

    Args:
        estimate: What was observed.
        mean: Mean of values of this kind.
        spread: Their standard deviation.
        noise: Standard deviation of the estimate's error.

    """
    total = spread * spread + noise * noise
    return estimate if total == 0.0 else mean + spread * spread / total * (estimate - mean)
