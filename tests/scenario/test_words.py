"""What is said about keys that are wrong: of unions the member that was meant, in plain words, each fault once."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from bidsim.core.errors import Problem, ScenarioError
from bidsim.core.memory import memory_limit
from bidsim.core.registry import find, names
from bidsim.kernels.distributions import Distribution
from bidsim.scenario.load import load_scenario, scenario_of
from bidsim.scenario.model import ScenarioSettings
from bidsim.scenario.schema import scenario_schema
from bidsim.scenario.shapes import Shape, shape_of
from tests.conftest import ROOT, SMALL

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'name = "w"\nrequests = 100\nduration = "1d"\n'
ONE = "[campaigns.c]\nbudget = 1.0\n"
ALL = "'point', 'uniform', 'exponential', 'lognormal', 'normal', 'beta'"
FORBIDDEN = ("discriminator", "tagged-union", "function-", "valid dictionary", "after validation", "pydantic", "Choice")


def _told(place: Path, text: str) -> list[str]:
    file = place / "s.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as told:
        load_scenario(file)
    lines = str(told.value).replace(str(place), "").splitlines()
    assert not [word for word in FORBIDDEN if word in str(told.value)]
    return lines


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ('{ type = "exponential", mean = 2 }', ".mean: unknown key of 'exponential'; known here: rate, type"),
        ('{ type = "normal", median = 2 }', ".median: unknown key of 'normal', did you mean 'mean'?"),
        ('{ type = "beta", alpha = 2 }', ".alpha: unknown key of 'beta'; known here: a, b, type"),
        ('{ type = "beta", a = -1 }', ".a: input should be greater than 0, not -1"),
        ('{ type = "uniform", low = 3, high = 1 }', ": low 3 must be below high 1"),
        ("{ low = 0 }", f": it does not say which kind it is; add type = one of {ALL}"),
        ('{ type = "expnential" }', ": there is no type 'expnential', did you mean 'exponential'?"),
        ('{ type = "gamma" }', f": there is no type 'gamma'; choose one of {ALL}"),
        ("{ type = 5 }", f": type should be one of {ALL}, not 5"),
        ('"uniform"', ": input should be a table such as { type = \"uniform\" }, not 'uniform'"),
        ("[1, 2]", ': input should be a table such as { type = "point" }, not [1, 2]'),
    ],
)
@pytest.mark.parametrize(
    "where",
    [
        ("values.distribution", HEAD + 'values = { kind = "independent", distribution = DIST }\n' + ONE),
        ("values.own.beta", HEAD + 'values = { kind = "independent", own = { beta = DIST } }\n' + ONE),
        ("market.distribution", HEAD + 'values = "independent"\nmarket = { kind = "distribution", distribution = DIST }\n' + ONE),
        ("campaigns.c.policy.landscape", HEAD + 'values = { kind = "independent" }\n' + ONE + 'policy = { name = "best_response", landscape = DIST }\n'),
    ],
    ids=lambda where: where[0],
)  # fmt: skip
def test_distribution__is_told_by_the_keys_of_the_chosen_one(
    tmp_path: Path, where: tuple[str, str], typed: str, words: str
) -> None:
    field, text = where
    text = text.replace('values = "independent"', 'values = { kind = "independent" }')
    (line,) = _told(tmp_path, text.replace("DIST", typed))
    assert f"{field}{words}" in line


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", '[notices]\ndelay = { type = "exponential", mean = 3 }\n', "delay.mean: unknown key of 'exponential'"),
        ("", '[notices]\ndelay = { type = "gamma" }\n', "delay: there is no type 'gamma'"),
        ("", "[notices]\ndelay = { rate = 3 }\n", "delay: it does not say which kind it is"),
        ("", '[notices]\ndelay = "soon"\n', "delay: 'soon' is not a duration"),
        ("", "[notices]\ndelay = 5\n", "delay: input should be text with a unit, such as '36h', or a table with type"),
        ("users = 600", 'hours = "flatt"', "hours: input should be 'ipinyou' or 'flat', not 'flatt'"),
        ("users = 600", "hours = { amplitud = 1 }", "hours.amplitud: unknown key, did you mean 'amplitude'?"),
        (
            "users = 600",
            "hours = 5",
            "hours: input should be 'ipinyou' or 'flat', or a table with amplitude, peak_hour",
        ),
        (
            "users = 600",
            "floors = [{ cpm = 1.0, shares = 2, share = 1 }]",
            "floors.0.shares: unknown key, did you mean",
        ),
        ("users = 600", "floors = []", "floors: must have at least 1 item, not []"),
        ("users = 600", "geo = {}", "geo: must have at least 1 item, not {}"),
        ("users = 600", "geo = { US = [1] }", "geo.US: input should be a valid number, not [1]"),
        ('name = "small"', 'name = "sm all"', "'sm all' is no name: write up to 80 letters"),
        ("reserve_cpm = 0.4", f"positions = {[1.0] * 20}", "positions: has 20 entries; 16 are the most"),
        ('advertiser = "bright"', 'advertiser = ""', "advertiser: must have at least 1 letter, not ''"),
        ('advertiser = "bright"', "advertiser = 5", "advertiser: input should be text in quotes, not 5"),
        ("", '[seats.main.decision]\nshed = "yes"\n', "shed: input should be true or false, not 'yes'"),
        (
            "users = 600",
            f"geo = {{ {', '.join(f'c{k} = 1' for k in range(300))} }}",
            "has 300 entries; 200 are the most",
        ),
    ],
)
def test_key__of_another_kind_is_told_in_plain_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    (line,) = _told(tmp_path, SMALL.replace(old, new, 1) if old else SMALL + new)
    assert words in line


def test_fault__that_repeats_is_one_line(tmp_path: Path) -> None:
    many = "".join(f"[campaigns.c{k}]\nbudget = 1.0\nbudgett = 5\n" for k in range(30))
    (line,) = _told(tmp_path, HEAD + 'values = { kind = "independent" }\n' + many)
    assert line.startswith("/s.toml:7: campaigns.c0.budgett: unknown key, did you mean 'budget'?; so in 29 more places")
    assert "lines 10, 13, 16, " in line
    own = ", ".join(f'c{k} = {{ type = "exponential", mean = {k} }}' for k in range(30))
    (line,) = _told(tmp_path, HEAD + f'values = {{ kind = "independent", own = {{ {own} }} }}\n' + ONE)
    assert line.endswith("known here: rate, type; so in 29 more places of this line")


def test_faults__of_different_kinds_stay_apart() -> None:
    told = [
        Problem("s.toml", 3, "campaigns.a.budget", "is wrong"),
        Problem("s.toml", 4, "campaigns.b.value", "is wrong"),
    ]
    assert str(ScenarioError(told)).count("\n") == 1
    assert str(ScenarioError([told[0], Problem("t.toml", 3, "campaigns.b.budget", "is wrong")])).count("\n") == 1


def test_faults__by_the_thousand_end_with_how_many_more(tmp_path: Path) -> None:
    many = "".join(f"k{k} = {k}\n" for k in range(20_000))
    lines = _told(tmp_path, SMALL.replace("seed = 3\n", "seed = 3\n" + many))
    assert len(lines) == 51
    assert lines[0].startswith("/s.toml:5: k0: unknown key")
    assert lines[-1] == "... and 19,950 more; mend these first"


def _shapes(shape: Shape, path: str = "") -> list[tuple[str, Shape]]:
    """Every place of a block, as (key, what may stand there)."""
    if shape.kind in ("union", "tagged"):
        inner = [found for one in shape.members for found in _shapes(one, path)]
        return [(path, shape), *inner]
    if shape.kind == "block":
        fields: list[Any] = list(shape.annotation.model_fields)
        return [found for key in fields for found in _shapes(shape.inside(key), f"{path}.{key}")]
    inside = _shapes(shape.inside("x"), f"{path}.x") if shape.kind in ("table", "list") else []
    return [(path, shape), *inside]


def test_unions__are_told_apart_wherever_there_is_one(tmp_path: Path) -> None:
    """Of every union in the shape of scenarios and plug-ins one can say what may stand there, in words."""
    blocks = [ScenarioSettings, *(find(family, name).Params for family in ("policy", "pacing", "auction", "market", "values", "model", "incident") for name in names(family))]  # fmt: skip
    unions = [one for block in blocks for _, one in _shapes(shape_of(block)) if one.kind in ("union", "tagged")]
    assert len(unions) >= 8
    for one in unions:
        assert all(not any(word in member.words() for word in FORBIDDEN) for member in one.members)
        assert one.kind == "tagged" or len({member.kind for member in one.members}) == len(one.members)
    assert list(shape_of(Distribution).variants) == [name.strip("'") for name in ALL.split(", ")]


def test_campaigns__are_as_many_as_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = (
        HEAD
        + 'values = { kind = "independent" }\n'
        + "".join(f"[campaigns.c{k}]\nbudget = 1.0\n" for k in range(5_000))
    )
    (tmp_path / "many.toml").write_text(many)
    monkeypatch.setattr("bidsim.scenario.check.memory_limit", lambda: 16 * 10**9)
    assert len(load_scenario(tmp_path / "many.toml").settings.campaigns) == 5_000
    monkeypatch.setattr("bidsim.scenario.check.memory_limit", lambda: 2 * 10**9)
    (line,) = _told(tmp_path, many)
    assert (
        "/s.toml:5: campaigns: 5,000 campaigns take about 3.5 GB of memory, and there are 2.0; leave some out" in line
    )
    monkeypatch.setattr("bidsim.scenario.check.memory_limit", lambda: 0)
    load_scenario(tmp_path / "many.toml")


def test_campaigns__that_are_none_are_one_line() -> None:
    with pytest.raises(ScenarioError) as told:
        scenario_of({"campaigns": dict.fromkeys(map(str, range(5_000)), 5)})
    assert "campaigns.0: input should be a table, not 5; so in 4,999 more places" in str(told.value)
    assert scenario_schema()["properties"]["campaigns"]["maxProperties"] == 100_000


def test_memory__is_that_of_the_machine_or_less() -> None:
    assert memory_limit() > 10**8


def test_reference__lists_every_variant_of_every_union(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    page = import_module("generate").scenario_keys()
    section = page[page.index("## Distributions") :]
    for name, variant in shape_of(Distribution).variants.items():
        part = section[section.index(f"### {name}\n") :].partition("\n###")[0]
        assert all(f"| `{key}` |" in part for key in variant.annotation.model_fields if key != "type")
    assert "| `distribution` | any |" not in page
    assert all(f"### {kind}\n" in page for kind in names("incident"))
    assert "`rate` | number, > 0, &lt;= 1,000,000,000" in section.replace("1e+09", "1,000,000,000")


def test_schema__has_the_bounds_of_all_numbers() -> None:
    schema = scenario_schema()
    assert schema["$defs"]["ProductSettings"]["properties"]["margin"]["exclusiveMinimum"] == 0.0
    assert '"ge":' not in json.dumps(schema)
