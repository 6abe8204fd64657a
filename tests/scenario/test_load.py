from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bidsim
from bidsim.cli import main
from bidsim.scenario.locate import locate_keys
from bidsim.scenario.schema import scenario_schema
from bidsim.scenario.sources import parse_override, read_source
from tests.conftest import SCENARIOS, SMALL

ALL = sorted(SCENARIOS.glob("*.toml"))


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_scenarios__say_their_question_first_and_load(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith("?")
    scenario = bidsim.load_scenario(path)
    assert scenario.name == path.stem


def test_quickstart__has_the_promised_shape() -> None:
    settings = bidsim.load_scenario(SCENARIOS / "quickstart.toml").settings
    assert len(settings.campaigns) == 24
    assert len({c.advertiser for c in settings.campaigns.values()}) == 12
    assert (settings.requests, settings.auction.format) == (2_000_000, "first_price")


def test_locate_keys__finds_every_kind_of_key() -> None:
    text = '# c\na = 1\n"quoted key" = """\nmany\nlines"""\n[t]\nb.c = { d = 1, e = [\n  { f = 2 },\n  3 ] }\n[[list]]\nx = 1\n[[list]]\nx = 2\n[list.sub]\ny = \'\'\'q\n\'\'\'\nz = 1 # e\n'
    lines = locate_keys(text)
    assert lines[("a",)] == 2
    assert lines[("quoted key",)] == 3
    assert lines[("t",)] == 6
    assert lines[("t", "b", "c", "d")] == 7
    assert lines[("t", "b", "c", "e", 0, "f")] == 8
    assert lines[("t", "b", "c", "e", 1)] == 9
    assert lines[("list", 0, "x")] == 11
    assert lines[("list", 1, "x")] == 13
    assert lines[("list", 1, "sub", "z")] == 17


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8), st.one_of(st.integers(), st.text(max_size=8), st.booleans()), max_size=6
    )
)
def test_locate_keys__one_key_a_line(table: dict[str, object]) -> None:
    text = "".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in table.items())
    import tomllib  # noqa: PLC0415

    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = locate_keys(text)
    assert [found[(k,)] for k in tomllib.loads(text)] == list(range(1, len(table) + 1))


def test_extends__lays_keys_over_and_keeps_places(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(SMALL)
    child = tmp_path / "child.toml"
    child.write_text(
        'extends = "base.toml"\nname = "child"\n[campaigns.lamp]\nbudget = 2.0\npolicy = { name = "truthful" }\n'
    )
    scenario = bidsim.load_scenario(child)
    assert scenario.settings.campaigns["lamp"].budget == 2.0
    assert scenario.settings.campaigns["lamp"].policy.params == {}
    assert scenario.settings.campaigns["lamp"].advertiser == "bright"
    places = read_source(child).places
    assert places[("campaigns", "lamp", "budget")] == (str(child), 4)
    assert places[("campaigns", "lamp", "advertiser")][0].endswith("base.toml")


def test_set__reads_toml_or_text() -> None:
    assert parse_override("a.b=4", "--set") == ("a.b", 4)
    assert parse_override("a=truthful", "--set") == ("a", "truthful")
    assert parse_override('a={ name = "x" }', "--set") == ("a", {"name": "x"})
    assert parse_override("a=7d", "--set") == ("a", "7d")


def test_set__reaches_into_quoted_names_and_plugins(small: Path) -> None:
    scenario = bidsim.load_scenario(small, {'campaigns."soap-mobile".policy.factor': 0.3, "seed": 9})
    assert scenario.settings.campaigns["soap-mobile"].policy.params["factor"] == 0.3
    assert scenario.settings.seed == 9


def test_scenario__is_frozen(small: Path) -> None:
    settings = bidsim.load_scenario(small).settings
    with pytest.raises(Exception, match="frozen"):
        settings.seed = 4  # type: ignore[misc]


def test_show__resolved_is_complete_json(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(small), "--resolved"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["response"]["price_elasticity"] == 1.8
    assert shown["campaigns"]["lamp"]["policy"] == {"name": "linear", "params": {"base_cpm": 25.0}}
    assert main(["show", str(small)]) == 0
    assert capsys.readouterr().out == small.read_text()


def test_schema__knows_every_plugin_and_documents_every_key() -> None:
    schema = scenario_schema()
    text = json.dumps(schema)
    assert "$plugin" not in text
    for name in ("truthful", "shaded", "adaptive", "landscape", "first_price", "lightgbm"):
        assert f'"{name}"' in text
    for name, block in schema["$defs"].items():
        for key, value in block.get("properties", {}).items():
            assert "description" in value, (name, key)
