"""From ``[[incidents]]`` to the tables of the loop: what each touches in the world, and on the bidders' side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from bidsim.bidder.tables import Faults
from bidsim.core.errors import Problem
from bidsim.core.incidents import FEATURE, IncidentBrief, Places, Touch
from bidsim.core.random import name_id, stream_key
from bidsim.core.registry import PluginNotFoundError, find
from bidsim.core.requests import CATEGORIES
from bidsim.core.settings import Duration, Number, Settings, Share
from bidsim.core.units import NEVER, format_duration
from bidsim.engine.tables import Incidents
from bidsim.scenario.names import chosen_params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bidsim.scenario.choices import IncidentSettings
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings
    from bidsim.scenario.sources import Source


class _Said(Settings):
    """What an incident says, in the order and with the gaps that its dice go by.

    Another order would give every run other incidents: keys that are not here follow behind, where they are given.
    """

    kind: str
    start: Duration
    end: Duration | None = None
    feature: str | None = None
    value: Annotated[Number, Field()] | str | None = None
    to: Places | None = None
    within: Places = Places()
    advertiser: str | None = None
    seat: str | None = None
    site: str | None = None
    share: Number | None = None
    factor: Number | None = None
    left: Share | None = None
    clicks: Number | None = None
    delay: Duration | None = None


def _said(incident: IncidentSettings) -> str:
    given = incident.params
    known = {key: value for key, value in given.items() if key in _Said.model_fields}
    more = {key: value for key, value in sorted(given.items()) if key not in known}
    times = {"start": format_duration(incident.start)}
    times |= {} if incident.end is None else {"end": format_duration(incident.end)}
    told = _Said.model_validate({"kind": incident.kind, **times, **known})
    return told.model_dump_json() + (repr(more) if more else "")


def run_vocabulary(settings: ScenarioSettings, beside: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Levels that the run may see: those of the traffic, and those that incidents bring."""
    known = settings.traffic.vocabulary()
    for incident in settings.incidents:
        try:
            kind, params = chosen_params("incident", incident.kind, incident.params, beside)
        except (PluginNotFoundError, ValidationError):
            continue  # told elsewhere
        for field, level in kind.new_levels(params).items():
            known |= {field: tuple(dict.fromkeys((*known[field], level)))}
    return known


def _brief(settings: ScenarioSettings, campaigns: Sequence[CampaignSettings], beside: Path | None) -> IncidentBrief:
    seats = list(settings.seats)
    return IncidentBrief(
        run_vocabulary(settings, beside),
        [c.advertiser for c in campaigns],
        [c.seat or seats[0] for c in campaigns],
        seats,
        settings.traffic.vocabulary()["site"],
    )


def prepare_incidents(
    settings: ScenarioSettings, campaigns: Sequence[CampaignSettings], beside: Path | None = None
) -> tuple[Incidents, Faults]:
    """Tables of all incidents, for campaigns in the engine's order: what happens to the world, and to bidders."""
    brief = _brief(settings, campaigns, beside)
    touches: list[tuple[IncidentSettings, Touch, int]] = []
    said = [_said(incident) for incident in settings.incidents]
    for n, incident in enumerate(settings.incidents):
        kind, params = chosen_params("incident", incident.kind, incident.params, beside)
        for j, touch in enumerate(kind.touches(params, brief)):
            # by all that it says, and how many before it say the same, so that others change nothing
            dice = name_id(f"{said[n]}/{said[:n].count(said[n])}/{j}")
            touches.append((incident, touch, dice))
    world = [one for one in touches if one[1].what < FEATURE]
    own = [one for one in touches if one[1].what >= FEATURE]
    first = np.cumsum([0] + [len(brief.vocabulary[f]) for f in CATEGORIES[:-1]]).astype(np.int64)
    return Incidents(
        what=_array([[t.what, i.start, _end(i), t.column, t.level] for i, t, _ in world], 5),
        size=_array([[t.size, t.second] for _, t, _ in world], 2, np.float64),
        where=_where(world, brief.vocabulary),
        who=_array([list(t.who) for _, t, _ in world], len(campaigns)),
        id=np.array([dice for *_, dice in world], np.int64),
        first=first,
        key=stream_key(settings.seed, "incidents"),
    ), Faults(
        what=_array([[t.what, i.start, _end(i), t.column, 0] for i, t, _ in own], 5),
        size=np.array([t.size for _, t, _ in own], np.float64),
        where=_where(own, brief.vocabulary),
        who=_array([list(t.who) for _, t, _ in own], len(campaigns)),
        first=first,
    )


def _end(incident: IncidentSettings) -> int:
    return NEVER if incident.end is None else incident.end


def _where(touches: Sequence[tuple[Any, Touch, int]], vocabulary: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    rows = []
    for _, touch, _ in touches:
        allowed = [(touch.within.get(field), level) for field in CATEGORIES for level in vocabulary[field]]
        rows.append([levels is None or level in levels for levels, level in allowed])
    return _array(rows, 1)


def _array(rows: list[list[Any]], width: int, dtype: Any = np.int64) -> NDArray[Any]:
    return np.array(rows, dtype) if rows else np.zeros((0, width), dtype)


def check_incidents(settings: ScenarioSettings, source: Source, beside: Path | None) -> Iterator[Problem]:
    """Find all that is wrong with the incidents, but for keys that are mistyped."""
    if settings.incidents and settings.values is not None:
        yield source.problem(
            ("incidents", 0), "happens to users, and with [values] there are none; leave one of them out"
        )
    brief = _brief(settings, list(settings.campaigns.values()), beside)
    for n, incident in enumerate(settings.incidents):
        try:
            kind, params = chosen_params("incident", incident.kind, incident.params, beside)
        except (PluginNotFoundError, ValidationError):
            continue  # told already
        for key, message in kind.faults(params, brief):
            yield source.problem(("incidents", n, *([key] if key else [])), message)
        yield from _time(settings, incident, source, n)


def _time(settings: ScenarioSettings, incident: IncidentSettings, source: Source, n: int) -> Iterator[Problem]:
    if incident.start >= settings.duration:
        yield source.problem(
            ("incidents", n, "start"), f"begins after the scenario's end of {format_duration(settings.duration)}"
        )
    if incident.end is None:
        return
    if not find("incident", incident.kind).lasts:
        yield source.problem(("incidents", n, "end"), f"means nothing to a {incident.kind}: what it changes stays")
    if incident.end <= incident.start:
        start, end = format_duration(incident.start), format_duration(incident.end)
        yield source.problem(("incidents", n, "end"), f"ends at {end}, before it starts at {start}")
