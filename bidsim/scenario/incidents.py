"""From ``[[incidents]]`` to the tables of the loop: which keys each kind takes, what is wrong with them, and what they touch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import Problem, did_you_mean
from bidsim.core.random import name_id, stream_key
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import NEVER, format_duration
from bidsim.cvr.features import CATEGORICAL, FEATURES, PAIR_FEATURES, REQUEST_FEATURES
from bidsim.bidder import faults
from bidsim.bidder.tables import Faults
from bidsim.engine.incidents import BOTS, CONVERSIONS, LATE, MIX, PRICE, TRACKER
from bidsim.engine.tables import Incidents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bidsim.scenario.model import CampaignSettings, IncidentSettings, ScenarioSettings
    from bidsim.scenario.sources import Source

_ALWAYS = {"kind", "start"}
_OPTIONAL: dict[str, set[str]] = {
    "feature_outage": {"end", "within"},
    "stuck_feature": {"end", "within"},
    "traffic_shift": {"end", "within"},
    "new_site": {"end", "within", "left"},
    "budget_change": set(),
    "price_shift": {"end", "within"},
    "tracker_outage": {"end", "share"},
    "late_labels": {"end", "advertiser"},
    "conversion_drop": {"end", "within", "advertiser"},
    "faulty_model": {"end", "seat"},
    "bots": {"end", "within"},
}
_NEEDED: dict[str, set[str]] = {
    "feature_outage": {"feature"},
    "stuck_feature": {"feature", "value"},
    "traffic_shift": {"to", "share"},
    "new_site": {"site", "share"},
    "budget_change": {"advertiser", "factor"},
    "price_shift": {"factor"},
    "tracker_outage": {"advertiser"},
    "late_labels": {"delay"},
    "conversion_drop": {"left"},
    "faulty_model": {"factor"},
    "bots": {"share", "clicks"},
}
_VISIBLE = (*REQUEST_FEATURES, *PAIR_FEATURES)
"""Features that are read for each request; those of campaigns are known to a model when it is loaded."""


@dataclass(frozen=True)
class _Touch:
    """One row of the table: what is touched, where and whose."""

    kind: int
    size: float
    within: Mapping[str, Sequence[str] | None]
    who: Sequence[bool]
    column: int = 0
    level: int = 0
    second: float = 0.0
    bidders: bool = False


def run_vocabulary(settings: ScenarioSettings) -> dict[str, tuple[str, ...]]:
    """Levels that the run may see: those of the traffic, and sites that are yet to come."""
    known = settings.traffic.vocabulary()
    new = [i.site for i in settings.incidents if i.kind == "new_site" and i.site is not None]
    return known | {"site": tuple(dict.fromkeys((*known["site"], *new)))}


def prepare_incidents(
    settings: ScenarioSettings, campaigns: Sequence[CampaignSettings], vocabulary: Mapping[str, Sequence[str]]
) -> tuple[Incidents, Faults]:
    """Tables of all incidents, for campaigns in the engine's order: what happens to the world, and to bidders."""
    touches, ids = [], []
    for n, incident in enumerate(settings.incidents):
        for j, touch in enumerate(_touches(incident, campaigns, vocabulary, list(settings.seats))):
            touches.append((incident, touch))
            ids.append(_dice_of(incident, settings.incidents[:n], j))
    world = [(i, t, ids[k]) for k, (i, t) in enumerate(touches) if not t.bidders]
    own = [(i, t) for i, t in touches if t.bidders]
    first = np.cumsum([0] + [len(vocabulary[f]) for f in CATEGORIES[:-1]]).astype(np.int64)
    ends = [NEVER if i.end is None else i.end for i, *_ in world]
    return Incidents(
        what=_array([[t.kind, i.start, end, t.column, t.level] for (i, t, _), end in zip(world, ends, strict=True)], 5),
        size=_array([[t.size, t.second] for _, t, _ in world], 2, np.float64),
        where=_where([t for _, t, _ in world], vocabulary),
        who=_array([list(t.who) for _, t, _ in world], len(campaigns)),
        id=np.array([one for *_, one in world], np.int64),
        first=first,
        key=stream_key(settings.seed, "incidents"),
    ), Faults(
        what=_array([[t.kind, i.start, NEVER if i.end is None else i.end, t.column, 0] for i, t in own], 5),
        size=np.array([t.size for _, t in own], np.float64),
        where=_where([t for _, t in own], vocabulary),
        who=_array([list(t.who) for _, t in own], len(campaigns)),
        first=first,
    )


def _where(touches: Sequence[_Touch], vocabulary: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    rows = []
    for touch in touches:
        allowed = [(touch.within.get(field), level) for field in CATEGORIES for level in vocabulary[field]]
        rows.append([levels is None or level in levels for levels, level in allowed])
    return _array(rows, 1)


def _dice_of(incident: IncidentSettings, before: Sequence[IncidentSettings], touch: int) -> int:
    """By what an incident's dice go: all that it says, and how many before it say the same, so that others change nothing."""
    return name_id(f"{incident.model_dump_json()}/{sum(other == incident for other in before)}/{touch}")


def _array(rows: list[list[Any]], width: int, dtype: Any = np.int64) -> NDArray[Any]:
    return np.array(rows, dtype) if rows else np.zeros((0, width), dtype)


def _touches(
    incident: IncidentSettings,
    campaigns: Sequence[CampaignSettings],
    vocabulary: Mapping[str, Sequence[str]],
    seats: list[str],
) -> Iterator[_Touch]:
    within = incident.within.model_dump()
    mine = [incident.advertiser in (None, c.advertiser) for c in campaigns]
    factor, share = float(incident.factor or 1.0), float(incident.share if incident.share is not None else 1.0)
    left = 1.0 if incident.left is None else float(incident.left)
    if incident.kind in ("feature_outage", "stuck_feature"):
        name = str(incident.feature)
        nothing = -1.0 if name in CATEGORICAL else math.nan
        code = vocabulary[name].index(incident.value) if isinstance(incident.value, str) else incident.value
        reads = nothing if incident.kind == "feature_outage" else float(code or 0.0)
        yield _Touch(faults.FEATURE, reads, within, mine, FEATURES.index(name), bidders=True)
    elif incident.kind == "traffic_shift":
        field, level = _target(incident)
        yield _Touch(MIX, share, within, mine, CATEGORIES.index(field), vocabulary[field].index(level))
    elif incident.kind == "new_site":
        yield _Touch(MIX, share, within, mine, CATEGORIES.index("site"), vocabulary["site"].index(str(incident.site)))
        yield _Touch(CONVERSIONS, left, {"site": [str(incident.site)]}, mine)
    elif incident.kind == "bots":
        yield _Touch(BOTS, share, within, mine, second=float(incident.clicks or 0.0))
    elif incident.kind == "faulty_model":
        theirs = [incident.seat in (None, c.seat or seats[0]) for c in campaigns]
        yield _Touch(faults.MODEL, factor, within, theirs, bidders=True)
    elif incident.kind == "late_labels":
        yield _Touch(LATE, float(incident.delay or 0), within, mine)
    elif incident.kind == "tracker_outage":
        yield _Touch(TRACKER, share, within, mine)
    elif incident.kind == "conversion_drop":
        yield _Touch(CONVERSIONS, left, within, mine)
    elif incident.kind == "budget_change":
        yield _Touch(faults.BUDGET, factor, within, mine, bidders=True)
    else:
        yield _Touch(PRICE, factor, within, mine)


def _target(incident: IncidentSettings) -> tuple[str, str]:
    (field, levels), *_ = [
        (f, given) for f, given in (incident.to.model_dump() if incident.to else {}).items() if given is not None
    ]
    return field, levels[0]


def check_incidents(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    """Find all that is wrong with the incidents."""
    if settings.incidents and settings.values is not None:
        yield source.problem(
            ("incidents", 0), "happens to users, and with [values] there are none; leave one of them out"
        )
    vocabulary = run_vocabulary(settings)
    for n, incident in enumerate(settings.incidents):
        yield from _keys(incident, source, n)
        yield from _names(settings, incident, source, n, vocabulary)
        yield from _time(settings, incident, source, n)


def _keys(incident: IncidentSettings, source: Source, n: int) -> Iterator[Problem]:
    given = {key for key in incident.model_fields_set if getattr(incident, key) is not None}
    for key in sorted(_NEEDED[incident.kind] - given):
        yield source.problem(("incidents", n), f"{incident.kind} needs {key}; add it")
    takes = _ALWAYS | _NEEDED[incident.kind] | _OPTIONAL[incident.kind]
    for key in sorted(given - takes):
        yield source.problem(
            ("incidents", n, key),
            f"means nothing to a {incident.kind}, which takes {', '.join(sorted(takes - _ALWAYS))}",
        )


def _names(
    settings: ScenarioSettings,
    incident: IncidentSettings,
    source: Source,
    n: int,
    vocabulary: Mapping[str, Sequence[str]],
) -> Iterator[Problem]:
    advertisers = {c.advertiser for c in settings.campaigns.values()}
    if incident.advertiser is not None and incident.advertiser not in advertisers:
        yield source.problem(
            ("incidents", n, "advertiser"),
            f"unknown advertiser {incident.advertiser!r}{did_you_mean(incident.advertiser, advertisers)}",
        )
    if incident.seat is not None and incident.seat not in settings.seats:
        yield source.problem(
            ("incidents", n, "seat"), f"unknown seat {incident.seat!r}{did_you_mean(incident.seat, settings.seats)}"
        )
    if incident.kind == "faulty_model" and incident.seat is None and len(settings.seats) > 1:
        yield source.problem(
            ("incidents", n), f"faulty_model needs seat where there are several ({', '.join(settings.seats)}); add it"
        )
    if incident.kind == "new_site" and incident.site in settings.traffic.vocabulary()["site"]:
        yield source.problem(("incidents", n, "site"), f"{incident.site!r} is not new; choose a name of no other site")
    yield from _levels(incident, source, n, vocabulary)
    yield from _feature(incident, source, n, vocabulary)


def _levels(
    incident: IncidentSettings, source: Source, n: int, vocabulary: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    for key in ("to", "within"):
        for field, levels in ((getattr(incident, key) or incident.within).model_dump() or {}).items():
            for level in levels or ():
                if level not in vocabulary[field]:
                    yield source.problem(
                        ("incidents", n, key),
                        f"there is no {field} {level!r} in the traffic{did_you_mean(level, vocabulary[field])}",
                    )
    if incident.to is not None:
        named = [levels for levels in incident.to.model_dump().values() if levels is not None]
        if len(named) != 1 or len(named[0]) != 1:
            yield source.problem(("incidents", n, "to"), 'names one level of one field, such as { geo = ["US"] }')


def _feature(
    incident: IncidentSettings, source: Source, n: int, vocabulary: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    name, value = incident.feature, incident.value
    if name is None:
        return
    if name not in _VISIBLE:
        why = "belongs to the campaign, which a model knows before the run" if name in FEATURES else "is no feature"
        yield source.problem(
            ("incidents", n, "feature"),
            f"{name!r} {why}{did_you_mean(name, _VISIBLE)}; choose one of {', '.join(_VISIBLE)}",
        )
    elif value is not None and (name in CATEGORIES) != isinstance(value, str):
        yield source.problem(
            ("incidents", n, "value"),
            f"{name} reads {'the name of a level' if name in CATEGORIES else 'a number'}, not {value!r}",
        )
    elif isinstance(value, str) and value not in vocabulary[name]:
        yield source.problem(
            ("incidents", n, "value"),
            f"there is no {name} {value!r} in the traffic{did_you_mean(value, vocabulary[name])}",
        )


def _time(settings: ScenarioSettings, incident: IncidentSettings, source: Source, n: int) -> Iterator[Problem]:
    if incident.start >= settings.duration:
        yield source.problem(
            ("incidents", n, "start"), f"begins after the scenario's end of {format_duration(settings.duration)}"
        )
    if incident.end is not None and incident.end <= incident.start:
        yield source.problem(
            ("incidents", n, "end"),
            f"ends at {format_duration(incident.end)}, before it starts at {format_duration(incident.start)}",
        )
