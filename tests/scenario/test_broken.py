"""Broken scenarios: each ends in one block that names file, line and field, exit code 2, no traceback, no run directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bidsim.cli import main
from tests.conftest import SMALL

# name, what is replaced, by what, the line's distinguishing text in the result, the field, a word of the message
EDITS: list[tuple[str, str, str, str, str]] = [
    ("unknown key", "budget = 9.0", "budegt = 9.0\nbudget = 9.0", "campaigns.lamp.budegt", "did you mean 'budget'"),
    ("unknown table", "[auction]", "[auktion]", "auktion", "did you mean 'auction'"),
    (
        "unknown key in inline table",
        "factor = 0.8",
        "factr = 0.8",
        "campaigns.soap-mobile.policy.factr",
        "did you mean 'factor'",
    ),
    ("unknown key in auction", "fee = 0.13", "feee = 0.13", "auction.feee", "unknown key"),
    ("unknown key in market", "median_cpm = 20.0", "median = 20.0", "market.median", "did you mean 'median_cpm'"),
    ("unknown key in traffic", "users = 600", "user = 600", "traffic.user", "did you mean 'users'"),
    ("wrong type", "budget = 9.0", 'budget = "nine"', "campaigns.lamp.budget", "valid number"),
    ("boolean for a number", "users = 600", "users = true", "traffic.users", "valid integer"),
    ("float for an integer", "seed = 3", "seed = 3.5", "seed", "valid integer"),
    ("negative budget", "budget = 9.0", "budget = -9.0", "campaigns.lamp.budget", "greater than"),
    ("zero budget", "budget = 9.0", "budget = 0", "campaigns.lamp.budget", "greater than"),
    ("nan", "budget = 9.0", "budget = nan", "campaigns.lamp.budget", "finite"),
    ("infinite", "budget = 9.0", "budget = inf", "campaigns.lamp.budget", "finite"),
    ("negative seed", "seed = 3", "seed = -3", "seed", "greater than or equal to 0"),
    ("no requests", "requests = 4_000", "requests = 0", "requests", "say how many"),
    ("missing requests", "requests = 4_000\n", "", "requests", "say how many"),
    (
        "positions that rise",
        "reserve_cpm = 0.4",
        "reserve_cpm = 0.4\npositions = [0.5, 1.0]",
        "auction.positions",
        "must fall",
    ),
    (
        "reserve of nobody",
        "reserve_cpm = 0.4",
        "reserve_cpm = 0.4\nreserves = { lmap = 1.0 }",
        "auction.reserves.lmap",
        "did you mean 'lamp'",
    ),
    (
        "charge by what",
        "reserve_cpm = 0.4",
        'reserve_cpm = 0.4\ncharge = "view"',
        "auction.charge",
        "'impression' or 'click'",
    ),
    ("episodes with users", "seed = 3", "seed = 3\nepisode = 100", "episode", "worlds without users"),
    (
        "values with targeting",
        "seed = 3",
        'seed = 3\nvalues = { kind = "independent" }',
        "campaigns.soap-mobile.targeting",
        "no users",
    ),
    (
        "values of nobody",
        "seed = 3",
        'seed = 3\nvalues = { kind = "types", worth = { lmap = [1.0] } }',
        "values",
        "did you mean 'lamp'",
    ),
    (
        "no such distribution",
        "seed = 3",
        'seed = 3\nvalues = { kind = "independent", distribution = { type = "cauchy" } }',
        "values.distribution",
        "'uniform'",
    ),
    (
        "log that is not there",
        'kind = "landscape"\nmedian_cpm = 20.0',
        'kind = "replay"\npath = "no.csv"',
        "market",
        "no such file",
    ),
    ("bad duration", 'duration = "2d"', 'duration = "2 days"', "duration", "not a duration"),
    ("number as duration", 'duration = "2d"', "duration = 2.5", "duration", "not a duration"),
    ("duration too long", 'duration = "2d"', 'duration = "90000d"', "duration", "longer than 3650d"),
    ("empty list", 'device = ["mobile"]', "device = []", "campaigns.soap-mobile.targeting.device", "at least 1 item"),
    (
        "unknown level",
        'device = ["mobile"]',
        'device = ["mobil"]',
        "campaigns.soap-mobile.targeting.device",
        "did you mean 'mobile'",
    ),
    (
        "unknown targeting field",
        "device = [",
        "devise = [",
        "campaigns.soap-mobile.targeting.devise",
        "did you mean 'device'",
    ),
    ("unknown product", 'product = "lamp"', 'product = "lmap"', "campaigns.lamp.product", "did you mean 'lamp'"),
    (
        "unknown policy",
        'policy = "truthful"',
        'policy = "honest"',
        "campaigns.soap-everyone.policy",
        "unknown policy 'honest'",
    ),
    ("unknown pacer", 'pacing = "even"', 'pacing = "evenly"', "campaigns.lamp.pacing", "did you mean 'even'"),
    (
        "unknown format",
        'format = "second_price"',
        'format = "second_prize"',
        "auction.format",
        "unknown auction 'second_prize', did you mean 'second_price'?",
    ),
    ("unknown market", 'kind = "landscape"', 'kind = "landscap"', "market.kind", "did you mean 'landscape'"),
    ("unknown model", 'model = "oracle"', 'model = "orakle"', "seats.main.model", "did you mean 'oracle'"),
    (
        "outside code not allowed",
        'policy = "truthful"',
        'policy = "mine:Policy"',
        "campaigns.soap-everyone.policy",
        "--allow-code",
    ),
    (
        "parameter out of range",
        "factor = 0.8",
        "factor = 18.0",
        "campaigns.soap-mobile.policy.factor",
        "less than or equal to 10",
    ),
    ("missing key", 'advertiser = "bright"\n', "", "campaigns.lamp.advertiser", "missing"),
    ("missing duration", 'duration = "2d"\n', "", "duration", "missing"),
    (
        "daily above total",
        "daily_budget = 4.0",
        "daily_budget = 40.0",
        "campaigns.soap-everyone.daily_budget",
        "more than the whole budget",
    ),
    (
        "flight ends before it starts",
        'product = "lamp"\nbudget',
        'product = "lamp"\nstart = "20h"\nend = "10h"\nbudget',
        "campaigns.lamp.end",
        "before it starts",
    ),
    (
        "flight after the end",
        'product = "lamp"\nbudget',
        'product = "lamp"\nstart = "3d"\nbudget',
        "campaigns.lamp.start",
        "after the scenario's end",
    ),
    (
        "product nobody sells",
        "[campaigns.lamp]",
        "[products.chair]\nprice = 4.0\n\n[campaigns.lamp]",
        "products.chair",
        "no campaign sells",
    ),
    (
        "seat nobody uses",
        "[products.soap]",
        '[seats.other]\nmodel = "oracle"\n\n[products.soap]',
        "seats.other",
        "no campaign bids",
    ),
    (
        "unknown interest",
        'interest = "household"',
        'interest = "houshold"',
        "products.soap.interest",
        "did you mean 'household'",
    ),
    (
        "empty user split",
        'model = "oracle"',
        'model = "oracle"\nusers = [0.5, 0.5]',
        "seats.main.users",
        "below the second",
    ),
    (
        "cap of zero",
        "count = 2",
        "count = 0",
        "campaigns.soap-mobile.frequency_cap.count",
        "greater than or equal to 1",
    ),
    ("fee of everything", "fee = 0.13", "fee = 1.0", "auction.fee", "less than 1"),
    ("history too short", "[history]", '[history]\nduration = "10d"', "history.duration", "nothing to train on"),
    (
        "market of other exchanges",
        '[market]\nkind = "landscape"\nmedian_cpm = 20.0',
        '[market]\nkind = "ipinyou"\n[traffic.exchanges]\nmine = 1.0',
        "market",
        "not 'mine'",
    ),
    ("list for a table", "[traffic]\nusers = 600", "traffic = [600]", "traffic", "traffic"),
    (
        "unknown feature",
        'model = "oracle"',
        'model = { name = "lightgbm", ignore = ["engagment"] }',
        "seats.main.model.ignore",
        "did you mean 'engagement'",
    ),
]


def _complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(("name", "old", "new", "field", "words"), EDITS, ids=[e[0] for e in EDITS])
def test_broken__names_file_line_and_field(
    name: str,
    old: str,
    new: str,
    field: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert SMALL.count(old) >= 1, name
    text = SMALL.replace(old, new, 1)
    if "traffic = [600]" in text:  # a plain key must stand before the first table
        text = "traffic = [600]\n" + text.replace("traffic = [600]", "")
    Path("broken.toml").write_text(text)
    told = _complaint(capsys, "run", "broken.toml")
    places = re.findall(r"broken\.toml:(\d+): ([^:]+): ", told)
    assert field in [f for _, f in places], told
    line = int(next(n for n, f in places if f == field))
    key = field.rsplit(".", 1)[-1]
    shown = text.splitlines()[line - 1]
    assert key in shown or "missing" in told, (told, shown)
    assert words in told
    assert not Path("runs").exists()


SYNTAX = {
    "no value": ("seed =\n", 1),
    "no closing quote": ('name = "x\nseed = 1\n', 1),
    "duplicate key": ('name = "x"\nname = "y"\n', 2),
    "duplicate table": ('name = "x"\n[traffic]\n[traffic]\n', 3),
    "yaml": ("name: x\n", 1),
}


@pytest.mark.parametrize("case", SYNTAX)
def test_broken__syntax_names_the_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, line = SYNTAX[case]
    path = tmp_path / "broken.toml"
    path.write_text(text)
    assert f"broken.toml:{line}: not valid TOML" in _complaint(capsys, "check", str(path))


def test_broken__all_mistakes_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(
        SMALL.replace("budget = 9.0", "budget = -1")
        .replace("users = 600", "users = 0")
        .replace("factor = 0.8", "factor = 3")
    )
    told = _complaint(capsys, "check", str(path))
    assert told.count("broken.toml:") >= 2


def test_broken__files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in _complaint(capsys, "run", str(tmp_path / "missing.toml"))
    assert "is a directory" in _complaint(capsys, "run", str(tmp_path))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "x"\n# caf\xe9\n')
    assert "latin.toml:2: is not UTF-8 text" in _complaint(capsys, "run", str(latin))
    if os.getuid():
        latin.chmod(0)
        assert "cannot be read" in _complaint(capsys, "run", str(latin))


def test_broken__extends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.toml", tmp_path / "b.toml"
    a.write_text('# a\nextends = "b.toml"\n')
    b.write_text('extends = "a.toml"\n')
    assert "a loop" in _complaint(capsys, "check", str(a))
    b.write_text("extends = 4\n")
    assert "b.toml:1: extends" in _complaint(capsys, "check", str(b))
    a.write_text('# a\nextends = "nowhere.toml"\n')
    assert "a.toml:2: extends: 'nowhere.toml': no such file" in _complaint(capsys, "check", str(a))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "campaigns.lamp.budget"], "write key=value"),
        (["--set", "campaigns.lamp.budegt=4"], "did you mean 'budget'"),
        (["--set", "campaigns.lamp.budget.x=4"], "not a table"),
        (["--set", "campaigns.lamp.budget=lots"], "valid number"),
        (["--set", "=4"], "write key=value"),
        (["--seed", "x"], "whole number"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_broken__options(arguments: list[str], words: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["check", str(small), *arguments])
    except SystemExit as stopped:  # argparse itself refuses
        code = int(str(stopped.code))
    assert code == 2
    assert words in capsys.readouterr().err


def test_broken__place_of_the_run(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    assert "not a run directory" in _complaint(capsys, "run", str(small), "--out", str(tmp_path / "full"))
    assert "cannot be written" in _complaint(capsys, "run", str(small), "--out", str(tmp_path / "full" / "a" / "b"))
