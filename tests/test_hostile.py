"""Careless and hostile input: one readable block, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.kernel import cache_root
from bidsim.scenario.shipped import find_scenario
from tests.conftest import ROOT, SMALL


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = main([*arguments])
    told = capsys.readouterr().err
    assert code in (2, 3), (code, told)
    assert "Traceback" not in told
    assert all(c.isprintable() or c == "\n" for c in told)
    assert len(told) < 4_000
    return told


@pytest.fixture
def run_folder(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run."""
    assert main(["run", str(small), "--set", "requests=100", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_run__keeps_a_folder_that_only_looks_like_a_run(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "extension"
    other.mkdir()
    (other / "manifest.json").write_text('{"manifest_version": 3}')
    (other / "background.js").write_text("precious")
    assert "not a run directory" in _told(capsys, "run", str(small), "--out", str(other))
    assert (other / "background.js").read_text() == "precious"


def test_run__again_keeps_what_a_person_added_and_follows_links(
    small: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "notes.txt").write_text("mine")
    link = run_folder.parent / "link"
    link.symlink_to(run_folder)
    assert main(["run", str(small), "--set", "requests=100", "--out", str(link)]) == 0
    assert link.is_symlink()
    assert (run_folder / "notes.txt").read_text() == "mine"
    assert bidsim.load_result(run_folder).summary["scenario"] == "small"
    assert [p for p in run_folder.parent.iterdir() if p.name.startswith(".part")] == []
    capsys.readouterr()


@pytest.mark.parametrize("alphabet", ["ascii", "latin1"])
def test_run__tells_its_table_in_any_alphabet(tmp_path: Path, alphabet: str) -> None:
    (tmp_path / "s.toml").write_text(SMALL.replace("campaigns.lamp", 'campaigns."lämp ▃"'), encoding="utf-8")
    command = [sys.executable, "-m", "bidsim", "run", "s.toml", "--set", "requests=200", "--out", "run"]
    environment = {**os.environ, "PYTHONIOENCODING": alphabet, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Run directory" in done.stdout


def test_cache__of_somebody_without_a_home_is_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    for name in ("BIDSIM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_root().is_dir()
    assert Path(tempfile.gettempdir()) in cache_root().parents


def test_compare__writes_nothing_where_a_seat_s_name_leads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = SMALL.replace("[seats.main]", f'[seats."{tmp_path}/evil"]').replace(
        'model = "oracle"', 'model = "logistic"'
    )
    (tmp_path / "s.toml").write_text(world)
    assert (
        main(
            [
                "compare",
                str(tmp_path / "s.toml"),
                "--set-last",
                "auction.fee=0.2",
                "--replications",
                "2",
                "--workers",
                "1",
                "--plot",
                str(tmp_path / "p.svg"),
            ]
        )
        == 0
    )
    assert not (tmp_path / "evil").exists()
    capsys.readouterr()


def test_demo__is_not_led_astray_by_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_scenario(Path("quickstart")).is_file()


def test_seed__that_is_none_is_told_as_the_option(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed seed=9999999999999999999" in _told(capsys, "check", str(small), "--seed", "9999999999999999999")


def test_report__does_not_overwrite_other_files(
    small: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = small.read_text()
    assert "not a page that bidsim wrote" in _told(capsys, "report", str(run_folder), "--out", str(small))
    assert small.read_text() == before
    for out in (".", "/", str(run_folder), str(small / "x"), "x" * 300):
        _told(capsys, "report", str(run_folder), "--out", out)
    assert main(["report", str(run_folder)]) == 0
    assert main(["report", str(run_folder)]) == 0
    capsys.readouterr()


VALUES = [
    "products.lamp.price=1e12", "campaigns.lamp.levers.price=1e12", "campaigns.lamp.value=1e12", "campaigns.lamp.budget=1e-12", "log.landscape_every=99999999999999999999",
    "market.median_cpm=" + "9" * 400, "seed=0x" + "f" * 5000, "seed=" + "9" * 5000, "x=" + "[" * 100_000, "products.soap.repurchase=1us", "products.soap.delay=1us",
    "response.organic_intent=20", "monitoring.window=200ms", "log.bucket=1ms", "history.duration=53375995d", "attribution.window=50000000d", "duration=3", "duration=172800000000",
    "duration=" + "1d " * 10_000, "a\x1b[31m=1", "seed=\x1b[31mred", "name=a\nb", "market.params=3", 'seats.main.model={ name = "lightgbm", path = "nope" }',
    'seats.main.model={ name = "lightgbm", path = "a\\u0000b" }', 'campaigns.lamp.policy="' + "x" * 3000 + ':b"', "traffic.sites=5001",
]  # fmt: skip


@pytest.mark.parametrize("text", VALUES, ids=lambda t: t[:40].encode("unicode_escape").decode())
def test_set__hostile_values_are_refused(text: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(small), "--allow-code", "--set", text]) == 2
    told = capsys.readouterr().err
    assert "--set" in told
    assert len(told) < 2_000
    assert "\x1b" not in told


@pytest.mark.parametrize("base", ["a\\u0000b", "/dev/zero", "..", "a" * 5000, "loop"])
def test_extends__hostile_names(base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "pool")
    (tmp_path / "pool").symlink_to(tmp_path / "loop")
    path = tmp_path / "s.toml"
    path.write_text(f'extends = "{base}"\n')
    assert "s.toml:1: extends" in _told(capsys, "check", str(path))


def test_extends__long_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(60):
        (tmp_path / f"c{k}.toml").write_text(f'extends = "c{k + 1}.toml"\n')
    assert "chain of files" in _told(capsys, "check", str(tmp_path / "c0.toml"))


def test_check__files_that_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in _told(capsys, "check", str(tmp_path / "pipe"))
    assert "not a regular file" in _told(capsys, "check", "/dev/zero")
    _told(capsys, "check", "x" * 5000)
    _told(capsys, "check", "a\0b")
    _told(capsys, "check", "nope\x1b[31m\n.toml")


def test_check__deep_keys_and_many_names_stay_quick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(".".join("a" * 5_000) + " = 1\n" + SMALL)
    _told(capsys, "check", str(path))


@pytest.mark.parametrize("out", [".", "x" * 300, "a\x1b[31m\nb/" + "y" * 300])
def test_run__hostile_places(
    out: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    _told(capsys, "run", str(small), "--out", out)
    assert list(Path().iterdir()) == []


HEAD = "import numba\nfrom bidsim.core.contracts import *\nfrom bidsim.core.kernel import kernel\nfrom bidsim.core.settings import Settings\n"
OK = "@kernel(OFFERS_SIGNATURE)\ndef bid(offers, lo, hi, floats, ints):\n    pass\n"
PLUGINS = {
    "no kernel": "class P(Policy):\n    pass\n",
    "plain function": "class P(Policy):\n    @staticmethod\n    def bid(*a): pass\n",
    "lazy kernel": "@kernel()\ndef b(x):\n    return x\nclass P(Policy):\n    bid = b\n",
    "other signature": "@kernel(numba.void(numba.int64))\ndef b(x):\n    pass\nclass P(Policy):\n    bid = b\n",
    "no notice": OK + "class P(Policy):\n    bid = bid\n    notice = None\n",
    "params no class": OK + "class P(Policy):\n    bid = bid\n    Params = 3\n",
    "params plain": OK + "class P(Policy):\n    bid = bid\n    class Params: pass\n",
    "columns no names": OK + "class P(Policy):\n    bid = bid\n    floats = 3\n",
    "exits": "raise SystemExit(5)\n",
    "does not compile": "@kernel(OFFERS_SIGNATURE)\ndef bid(offers, lo, hi, floats, ints):\n    offers.nothing[0] = 1\nclass P(Policy):\n    bid = bid\n",
    "required parameter": OK + "class P(Policy):\n    bid = bid\n    class Params(Settings):\n        needed: int\n",
    "start raises": OK
    + "class P(Policy):\n    bid = bid\n    @staticmethod\n    def start(params, brief): raise KeyError('boo')\n",
    "start gives nothing": OK
    + "class P(Policy):\n    bid = bid\n    floats = ('a',)\n    @staticmethod\n    def start(params, brief): return None\n",
    "start misspells": OK
    + "class P(Policy):\n    bid = bid\n    floats = ('alpha',)\n    @staticmethod\n    def start(params, brief): return {'alhpa': 1.0}\n",
    "raises while running": "@kernel(OFFERS_SIGNATURE)\ndef bid(offers, lo, hi, floats, ints):\n    raise ValueError('boo')\nclass P(Policy):\n    bid = bid\n",
}


@pytest.mark.parametrize("case", PLUGINS)
def test_own_plugin__that_is_broken(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pm.py").write_text(HEAD + PLUGINS[case])
    path = tmp_path / "s.toml"
    path.write_text(SMALL.replace('policy = "truthful"', 'policy = "pm:P"').replace("4_000", "50"))
    told = _told(capsys, "run", str(path), "--allow-code", "--out", str(tmp_path / "run"))
    assert told.count("\n") <= 2
    assert not (tmp_path / "run").exists()
    if case == "required parameter":
        assert "needed" in told


DAMAGE: dict[str, dict[str, object]] = {
    "manifest.json": {"models": None, "tables": ["../good/campaigns"], "versions": None},
    "summary.json": {"campaigns": None, "market": {}, "models": 3},
}


@pytest.mark.parametrize(
    ("file", "key"), [(f, k) for f, keys in DAMAGE.items() for k in keys] + [("manifest.json", "deep")]
)
def test_report__damaged_run(file: str, key: str, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_folder / file
    if key == "deep":
        path.write_text("[" * 200_000)
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: DAMAGE[file][key]}))
    _told(capsys, "report", str(run_folder))


def test_report__damaged_table(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(run_folder / "campaigns.parquet", run_folder / "timeline.parquet")
    assert "is damaged" in _told(capsys, "report", str(run_folder))
