"""Shared scenarios for tests: small, quick, with the oracle for a model unless said otherwise."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

import bidsim

if TYPE_CHECKING:
    from collections.abc import Callable

# the first example may compile a kernel
settings.register_profile("bidsim", deadline=None, derandomize=True)
settings.load_profile("bidsim")

ROOT = Path(__file__).resolve().parent.parent
LONG = (
    "planted/test_planted_bugs.py", "cvr/test_trees.py", "cvr/test_ensemble.py", "monitoring/test_monitor.py", "test_docs.py", "core/test_result.py", "engine/test_plain.py", "test_package.py",
    "reports/test_advertiser.py", "test_notebooks.py", "test_quickstart.py", "experiments/test_compare.py", "explain/test_effects.py",
)  # fmt: skip
"""Files whose tests take longest; they are begun first, or at the end one core would wait for the other; the second and the third compile no request loop while the first does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    place = {ROOT / "tests" / file: k for k, file in enumerate(LONG)}
    assert all(file.is_file() for file in place), "a file of LONG was renamed"
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


SCENARIOS = ROOT / "scenarios"

SMALL = """
# A small market for tests.
name = "small"
seed = 3
requests = 4_000
duration = "2d"

[traffic]
users = 600

[history]
requests = 3_900

[auction]
format = "second_price"
reserve_cpm = 0.4
fee = 0.13

[market]
kind = "landscape"
median_cpm = 20.0

[seats.main]
model = "oracle"

[products.soap]
price = 5.0
interest = "household"
repurchase = "10d"

[products.lamp]
price = 60.0
interest = "technology"
delay = "1d"

[campaigns.soap-everyone]
advertiser = "clean"
product = "soap"
budget = 6.0
daily_budget = 4.0
policy = "truthful"

[campaigns.soap-mobile]
advertiser = "clean"
product = "soap"
budget = 5.0
policy = { name = "shaded", factor = 0.8 }
pacing = "adaptive"
targeting = { device = ["mobile"] }
frequency_cap = { count = 2, per = "6h" }

[campaigns.lamp]
advertiser = "bright"
product = "lamp"
budget = 9.0
policy = { name = "linear", base_cpm = 25.0 }
pacing = "even"
targeting = { geo = ["US", "GB"], placement = ["above-fold", "in-feed"] }
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Path of the small scenario."""
    path = tmp_path / "small.toml"
    path.write_text(textwrap.dedent(SMALL))
    return path


@pytest.fixture
def run_small(small: Path) -> Callable[..., bidsim.Result]:
    """Run the small scenario with overrides."""

    def run(overrides: dict[str, Any] | None = None, **options: Any) -> bidsim.Result:
        return bidsim.run(bidsim.load_scenario(small, overrides), progress=lambda stage, done, total: None, **options)

    return run


def fingerprint(result: bidsim.Result) -> dict[str, Any]:
    """Every number of every table as bytes, for exact comparison."""
    return {
        name: {
            column: values.tobytes() if hasattr(values, "tobytes") else list(values) for column, values in table.items()
        }
        for name, table in result.tables.items()
    }
