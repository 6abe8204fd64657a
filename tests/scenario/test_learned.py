"""Policies and pacers that begin with what they had learned: by the names of campaigns and columns, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.core.errors import UsageError
from bidsim.core.registry import find, names
from bidsim.scenario.build import build
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from pathlib import Path


def _world(policies: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "learners",
        "requests": 400,
        "count": "exact",
        "duration": "2d",
        "values": {"kind": "independent"},
        "market": {"kind": "distribution"},
        "auction": {"format": "first_price"},
        "campaigns": {name: {"budget": 500.0, "pacing": "adaptive", "policy": p} for name, p in policies.items()},
        **changes,
    }


def _run(data: dict[str, Any]) -> bidsim.Result:
    return bidsim.run(scenario_of(data), progress=lambda *told: None)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier") / "run"
    _run(_world({"a": "learned_shading", "b": "thompson", "c": "truthful"})).save(folder)
    return folder


def test_warm_start__begins_with_the_very_numbers(earlier: Path) -> None:
    """Campaigns in another order, and one more that begins anew."""
    data = _world({"new": "ucb", "c": "truthful", "b": "thompson", "a": "learned_shading"})
    cold, _ = build(scenario_of(data))
    warm, _ = build(scenario_of({**data, "warm_start": {"run": str(earlier), "fresh": ["new"]}}))
    table = bidsim.load_result(earlier).frame("learned")
    assert set(table["campaign"]) == {"a", "b", "c"}
    for row, name in enumerate(warm.names.campaigns):
        for family, slab in (("policy", "policy_floats"), ("pacing", "pacer_floats")):
            mine = getattr(warm.state.bidder, slab)[row]
            if name == "new":
                assert np.array_equal(mine, getattr(cold.state.bidder, slab)[row])
                continue
            kind = find(
                family,
                {"a": "learned_shading", "b": "thompson", "c": "truthful"}[name] if family == "policy" else "adaptive",
            )
            floats = {c if isinstance(c, str) else c[0] for c in kind.floats}
            kept = table[(table["campaign"] == name) & (table["family"] == family) & table["column"].isin(floats)]
            assert np.array_equal(mine[: len(kept)], kept["number"].to_numpy())
    assert not np.array_equal(cold.state.bidder.policy_floats, warm.state.bidder.policy_floats)


def test_warm_start__changes_what_is_bid(earlier: Path) -> None:
    data = _world({"a": "learned_shading", "b": "thompson", "c": "truthful"}, seed=9)
    cold, warm = _run(data), _run({**data, "warm_start": {"run": str(earlier)}})
    assert cold.campaigns["payment_nanos"].tolist() != warm.campaigns["payment_nanos"].tolist()


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"a": "learned_shading", "bb": "thompson"}, "there is no campaign 'bb'"),
        ({"a": "thompson"}, "campaign 'a' had policy LearnedShading there and has Thompson here"),
    ],
)
def test_warm_start__what_does_not_fit_is_one_line(earlier: Path, policies: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        build(scenario_of(_world(policies, warm_start={"run": str(earlier)})))
    assert "\n" not in str(error.value)


def test_warm_start__without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(bidsim.BidsimError, match="nowhere"):
        build(scenario_of(_world({"a": "truthful"}, warm_start={"run": str(tmp_path / "nowhere")})))


def test_learned__holds_every_column_of_every_policy() -> None:
    """All policies in one world; the table has as many numbers as the classes name."""
    told = {
        "ortb": {"c_cpm": 300.0},
        "max_ecpc": {"max_ecpc": 0.5},
        "fixed_bid": {"bid_cpm": 400.0},
        "equilibrium": {"bidders": 3},
    }
    table = _run(_world({name: {"name": name, **told.get(name, {})} for name in names("policy")})).frame("learned")
    for name in names("policy"):
        kind = find("policy", name)
        width = sum(1 if isinstance(c, str) else c[1] for c in (*kind.floats, *kind.ints))
        assert ((table["campaign"] == name) & (table["family"] == "policy")).sum() == width
