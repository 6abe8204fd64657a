"""Every kind of incident: what it does not touch stays as it was, to the bit, and what it touches does not."""

from __future__ import annotations

from typing import Any

import pytest

import bidsim
from bidsim.core.incidents import BUDGET, IncidentBrief, IncidentKind
from bidsim.core.registry import find, names
from bidsim.core.units import HOUR
from bidsim.scenario.load import scenario_of
from tests.conftest import fingerprint
from tests.engine.plain_worlds import _market

START = 12
EAGER = {"click_rate": 0.8, "conversion_rate": 0.6, "buyers": 0.9, "delay": "20m"}


def _example(name: str) -> dict[str, Any]:
    """The kind's own example, of the small market's advertisers."""
    given = dict(find("incident", name).example)
    return {**given, "advertiser": "clean"} if "advertiser" in given else given


def _run(incidents: list[dict[str, Any]]) -> bidsim.Result:
    changes: dict[str, Any] = {
        "incidents": incidents,
        "seats": {"main": {"model": "oracle"}},
        "campaigns": {"soap-everyone": {"budget": 5.0}, "lamp": {"budget": 1e6}},
        "monitoring": {"window": "6h"},
    }
    return bidsim.run(scenario_of(_market(900, **changes)), progress=lambda *told: None)


@pytest.mark.parametrize("name", names("incident"))
def test_incident__changes_what_comes_after_it_and_nothing_before(name: str) -> None:
    quiet = _run([])
    broken = _run([{"kind": name, "start": f"{START}h", **_example(name)}])
    assert fingerprint(quiet) != fingerprint(broken)
    for table in ("requests", "bids"):
        rows = [r.frame(table).query(f"time_us < {START * HOUR}") for r in (quiet, broken)]
        assert len(rows[0]) > 100
        assert rows[0].reset_index(drop=True).equals(rows[1].reset_index(drop=True))


@pytest.mark.parametrize("name", names("incident"))
def test_incident__says_what_it_touches_and_what_it_is(name: str) -> None:
    kind: type[IncidentKind] = find("incident", name)
    params = kind.Params.model_validate(_example(name))
    vocabulary = dict.fromkeys(
        ("exchange", "site", "placement", "device", "geo", "slot", "segment", "age"), ("US", "CA", "brand-new")
    )
    brief = IncidentBrief(vocabulary, ["clean", "bright"], ["main", "main"], ["main"], ["old"])
    touches = list(kind.touches(params, brief))
    assert touches
    assert all(0 <= t.what <= BUDGET and len(t.who) == 2 and any(t.who) for t in touches)
    assert list(kind.faults(params, brief)) == []
    assert (kind.__doc__ or "").strip()
