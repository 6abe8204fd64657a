import numpy as np
from scipy import stats

from bidsim.core.random import draw, name_id, stream_key, uniform, uniform_open

KEY = stream_key(7, "test")


def test_uniform__is_a_pure_function_of_key_and_ids() -> None:
    assert uniform(KEY, 1, 2, 3) == uniform(KEY, 1, 2, 3)
    distinct = {draw(KEY, a, b, c) for a in range(12) for b in range(12) for c in range(12)}
    assert len(distinct) == 12**3


def test_uniform__looks_uniform_along_each_id() -> None:
    for axis in range(3):
        ids = [[0, 0, 0] for _ in range(20_000)]
        for k, row in enumerate(ids):
            row[axis] = k
        drawn = [uniform(KEY, *row) for row in ids]
        assert stats.kstest(drawn, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03


def test_uniform_open__never_touches_the_ends() -> None:
    drawn = [uniform_open(KEY, k, 0, 0) for k in range(10_000)]
    assert min(drawn) > 0.0 and max(drawn) < 1.0


def test_stream_key__differs_by_seed_and_name() -> None:
    assert len({int(stream_key(s, n)) for s in range(50) for n in ("a", "b", "c")}) == 150


def test_name_id__fits_an_int64() -> None:
    assert all(0 <= name_id(f"campaign-{k}") < 2**63 for k in range(1000))
