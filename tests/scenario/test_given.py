"""What stands for a scenario: a name, a path, tables; and what is said of anything else, and of other tools' files."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import bidsim
from bidsim.core.errors import RunDirectoryError, ScenarioError, UsageError
from tests.conftest import SMALL

TABLES: dict[str, Any] = {
    "name": "mine",
    "duration": "1d",
    "requests": 200,
    "values": {"kind": "independent"},
    "campaigns": {"a": {"budget": 5.0}, "b": {"budget": 5.0}},
}
QUIET = {"progress": lambda *_: None}
GYM = {"random_seed": 0, "num_runs": 3, "num_iter": 20, "rounds_per_iter": 10_000, "agents": []}


def test_run__takes_a_name_a_path_and_a_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\nduration = "1d"\nrequests = 200\nvalues = { kind = "independent" }\n[campaigns.a]\nbudget = 5.0\n'
    )
    monkeypatch.chdir(tmp_path)
    for given in (file, str(file), "mine.toml", TABLES, MappingProxyType(TABLES), bidsim.load_scenario(file)):
        assert bidsim.run(given, **QUIET).summary["scenario"] == "mine"  # type: ignore[arg-type]
    assert bidsim.Simulation("mine.toml").total == bidsim.Simulation(file).total
    assert bidsim.load_scenario("second_price_truthful").name == "second_price_truthful"


@pytest.mark.parametrize("given", [5, None, b"quickstart", ["quickstart"], 1.5, object()])
def test_run__of_anything_else_says_what_works(given: Any) -> None:
    for use in (bidsim.run, bidsim.load_scenario, bidsim.Simulation):
        with pytest.raises(
            UsageError, match=r"a scenario is the name of one .* the path of a TOML file, or a dictionary"
        ):
            use(given)
    with pytest.raises(RunDirectoryError, match="a run is the path of its directory"):
        bidsim.load_result(given)


@pytest.mark.parametrize("overrides", [5, ["seed=7"], {5: 7}, "seed=7"])
def test_load__with_overrides_that_are_none_says_what_works(overrides: Any) -> None:
    with pytest.raises(UsageError, match="is not a dictionary of dotted keys"):
        bidsim.load_scenario("quickstart", overrides)


def test_tables__may_extend_and_are_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    given = {"extends": "small.toml", "campaigns": {"lamp": {"budget": 3.0}}}
    before = json.dumps(given)
    scenario = bidsim.load_scenario(given, {"campaigns.lamp.seat": "main", "seed": 9})
    assert json.dumps(given) == before
    assert scenario.settings.campaigns["lamp"].budget == 3.0
    assert len(scenario.settings.campaigns) == 3
    assert scenario.settings.seed == 9
    assert bidsim.load_scenario({"extends": "quickstart"}).settings == bidsim.load_scenario("quickstart").settings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": -1}, "the dictionary: seed: input should be greater than or equal to 0, not -1"),
        ({"campaigns": {"a": {"budget": -1}}}, "the dictionary: campaigns.a.budget: input should be greater than"),
        ({"campaigns": None}, "the dictionary: campaigns: input should be a table, not None"),
        ({"extends": 5}, "extends: 5 is not a file name"),
        ({"extends": "nope.toml"}, "extends: 'nope.toml': no such file"),
        ({"sede": 5}, "the dictionary: sede: unknown key, did you mean 'seed'?"),
        ({5: 5}, "a scenario's keys are text, not 5"),
    ],
)
def test_tables__with_mistakes_are_told_without_a_line(change: dict[Any, Any], words: str) -> None:
    with pytest.raises((ScenarioError, UsageError)) as told:
        bidsim.load_scenario({**TABLES, **change})
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("base", ["/", ".", "..", "//", "a/", "x/..", "~", " ", "scenarios/", ".toml", "a\\u0000b"])
def test_extends__of_what_is_no_file_is_one_line(tmp_path: Path, base: str) -> None:
    (tmp_path / "s.toml").write_text(f'extends = "{base}"\n')
    with pytest.raises(ScenarioError) as told:
        bidsim.load_scenario(tmp_path / "s.toml")
    assert str(told.value).startswith(f"{tmp_path}/s.toml:1: extends: ")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("base", "words"), [("/", " is a directory"), ("/dev/null", " is not a regular file")])
def test_extends__says_what_stands_there(tmp_path: Path, base: str, words: str) -> None:
    (tmp_path / "s.toml").write_text(f'extends = "{base}"\n')
    with pytest.raises(ScenarioError) as told:
        bidsim.load_scenario(tmp_path / "s.toml")
    assert f"extends: '{base}'{words}; name a scenario file" in str(told.value)


@pytest.mark.parametrize(
    ("base", "words"),
    [(5, "5 is not a file name"), ("/", "'/' is a directory"), ("nope.toml", "'nope.toml': no such file in /")],
)
def test_extends__of_a_dictionary_names_no_file_that_is_not_there(base: Any, words: str) -> None:
    with pytest.raises(ScenarioError) as told:
        bidsim.load_scenario({**TABLES, "extends": base})
    assert str(told.value).startswith(f"the dictionary: extends: {words}")


def test_load__of_an_empty_name_says_what_works() -> None:
    with pytest.raises(UsageError, match=r"a scenario is the name of one .* not ''"):
        bidsim.load_scenario("")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("campaigns.nope.budget", 5, "there is no campaign 'nope'; known here: lamp, soap-everyone, soap-mobile"),
        ("campaigns.soap-mobil.policy.factor", 1, "there is no campaign 'soap-mobil', did you mean 'soap-mobile'?"),
        ("products.soup.price", 5, "there is no product 'soup', did you mean 'soap'?"),
        ("seats.man.model", "oracle", "there is no seat 'man', did you mean 'main'?"),
    ],
)
def test_override__of_a_name_that_is_not_there_is_one_line(small: Path, key: str, value: Any, words: str) -> None:
    with pytest.raises(ScenarioError) as told:
        bidsim.load_scenario(small, {key: value})
    assert str(told.value) == f"overrides: {key}={value}: {words}"


def test_override__with_a_whole_table_adds_a_campaign(small: Path) -> None:
    new = {"advertiser": "new", "product": "lamp", "budget": 5.0}
    scenario = bidsim.load_scenario(small, {"campaigns.new": new, "campaigns.new.budget": 7.0})
    assert scenario.settings.campaigns["new"].budget == 7.0


def test_override__adds_no_campaign_where_values_are_drawn() -> None:
    with pytest.raises(ScenarioError, match="there is no campaign 'c'; known here: a, b"):
        bidsim.load_scenario(TABLES, {"campaigns.c.budget": 5.0})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", json.dumps({**GYM, "allocation": "FirstPrice"}, indent=1), "; auctiongym_fp_oracle is that of this"),
        ("a.json", json.dumps({**GYM, "allocation": "SecondPrice"}), "; auctiongym_sp_oracle is that of this"),
        ("a.toml", json.dumps(GYM), "the scenarios auctiongym_sp_oracle and auctiongym_fp_oracle stand for its own"),
        ("a.json", '{"name": "x"}', "it is JSON; scenarios are TOML: 'bidsim show quickstart' prints one"),
        ("a.toml", "[1, 2]", "it is JSON"),
        ("a.json", '{"name": "x",}', "it is JSON"),
        ("manifest.json", '{"scenario": {}, "scenario_hash": "x"}', "it is the manifest of a run"),
        ("a.gin", "Agent.rate = None\n", "it seems to be a gin configuration"),
        ("a.toml", "# c\nAgent.policy = @Truthful()\n", "it seems to be a gin configuration"),
        ("a.toml", "import world\nrate = 1\n", "it seems to be a gin configuration"),
        ("a.yaml", "name: x\n", "it seems to be YAML"),
        ("a.toml", "# c\n\n---\na: 1\n", "it seems to be YAML"),
        ("a.toml", "<html>", "it seems to be XML or a web page"),
        ("a.toml", "name = x y\n", "Invalid value"),
        ("a.toml", "[traffic\n", "Expected ']' at the end of a table declaration"),
    ],
)
def test_file__of_another_format_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ScenarioError) as told:
        bidsim.load_scenario(tmp_path / name)
    assert f"not valid TOML: {words}" in str(told.value) or words in str(told.value)
    assert "\n" not in str(told.value)
