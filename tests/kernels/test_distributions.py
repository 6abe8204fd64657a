from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from bidsim.kernels.distributions import Distribution, cdf, coded, quantile, quantiles, student_t_quantile
from bidsim.kernels.vector import normal_pair, vector_exp, vector_log, vector_sigmoid

TWINS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "uniform", "low": -1.0, "high": 3.0}, stats.uniform(-1, 4)),
    ({"type": "exponential", "rate": 2.5}, stats.expon(scale=0.4)),
    ({"type": "lognormal", "mu": 0.3, "sigma": 0.7}, stats.lognorm(0.7, scale=np.exp(0.3))),
    ({"type": "normal", "mean": -2.0, "sd": 1.5}, stats.norm(-2, 1.5)),
    ({"type": "beta", "a": 2.0, "b": 5.0}, stats.beta(2, 5)),
    ({"type": "beta", "a": 0.4, "b": 0.7}, stats.beta(0.4, 0.7)),
]


@pytest.mark.parametrize(("settings", "twin"), TWINS, ids=lambda x: str(x.get("type")) if isinstance(x, dict) else "")
def test_distribution__agrees_with_scipy(settings: dict[str, Any], twin: Any) -> None:
    code, a, b = coded(TypeAdapter(Distribution).validate_python(settings))
    u = np.linspace(0.001, 0.999, 97)
    x = twin.ppf(u)
    np.testing.assert_allclose([quantile(code, a, b, p) for p in u], x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose([cdf(code, a, b, v) for v in x], u, rtol=1e-9)


def test_point__is_a_step() -> None:
    code, a, b = coded(TypeAdapter(Distribution).validate_python({"type": "point", "value": 2.0}))
    assert [cdf(code, a, b, x) for x in (1.9, 2.0)] == [0.0, 1.0]
    assert quantile(code, a, b, 0.3) == 2.0


def test_quantiles__are_equally_likely() -> None:
    made = quantiles(TypeAdapter(Distribution).validate_python({"type": "uniform"}), 4)
    np.testing.assert_allclose(made, [0.125, 0.375, 0.625, 0.875])


@pytest.mark.parametrize("freedom", [1, 2, 5, 19, 199, 7.5])
def test_student__agrees_with_scipy(freedom: float) -> None:
    assert student_t_quantile(0.975, freedom) == pytest.approx(stats.t(freedom).ppf(0.975), rel=1e-9)


@given(st.floats(-700, 700))
def test_vector_exp__agrees_with_the_library(x: float) -> None:
    assert vector_exp(x) == pytest.approx(float(np.exp(x)), rel=1e-14)


@given(st.floats(1e-300, 1e300))
def test_vector_log__agrees_with_the_library(x: float) -> None:
    assert vector_log(x) == pytest.approx(float(np.log(x)), rel=1e-13, abs=1e-14)


@given(st.floats(-800, 800))
def test_vector_sigmoid__agrees_with_the_library(x: float) -> None:
    assert vector_sigmoid(x) == pytest.approx(1.0 / (1.0 + float(np.exp(-max(x, -700.0)))), rel=1e-13)


def test_normal_pair__is_standard_and_independent() -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, 60_000, dtype=np.uint64)
    z = np.array([normal_pair(b) for b in bits])
    assert stats.kstest(z[:, 0], "norm").pvalue > 0.001
    assert stats.kstest(z[:, 1], "norm").pvalue > 0.001
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(len(z))
    assert abs(np.corrcoef(np.abs(z.T))[0, 1]) < 4 / np.sqrt(len(z))
