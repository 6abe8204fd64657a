from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import bidsim
from bidsim.cli import main, make_parser, make_parsers
from bidsim.interrupt import interruptible
from bidsim.progress import terminal_progress
from bidsim.reports.page import render_report
from bidsim.scenario.load import load_scenario
from bidsim.scenario.sources import parse_override
from tests.conftest import ROOT, SMALL

HEAVY = ("shap", "lightgbm", "matplotlib", "pandas", "pyarrow", "numba", "rich", "jinja2", "sklearn", "scipy")


def test_import__brings_in_nothing_heavy() -> None:
    code = f"import sys, bidsim, bidsim.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )


def test_run__does_not_import_what_it_does_not_need(small: Path) -> None:
    code = f"import sys, bidsim; bidsim.run(bidsim.load_scenario({str(small)!r})); print([m for m in ('shap', 'lightgbm', 'matplotlib', 'pandas') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help__is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "bidsim" in capsys.readouterr().out


@pytest.mark.parametrize("one", list(make_parsers()[1]))
def test_help__of_every_command_shows_examples_that_parse(one: str) -> None:
    told = make_parsers()[1][one].format_help()
    examples = [line.split("    (")[0].split(" > ")[0] for line in told.partition("examples:")[2].strip().splitlines()]
    assert examples
    for line in examples:
        words = shlex.split(line.strip().removeprefix('eval "$(').removesuffix(')"'))
        assert words[0] == "bidsim"
        chosen = make_parser().parse_args(words[1:])
        assert chosen.command
        _assert_understood(chosen)
    assert max(map(len, told.splitlines())) <= 130


def _assert_understood(chosen: argparse.Namespace) -> None:
    """Every key and name that is typed is one of the scenario's."""
    scenarios = getattr(chosen, "scenario", [])
    for scenario in scenarios if isinstance(scenarios, list) else [scenarios]:
        if str(scenario) == "my_scenario.toml":
            continue
        changes = [*getattr(chosen, "set", []), *getattr(chosen, "set_last", [])]
        key, _, values = (getattr(chosen, "vary", None) or "=").partition("=")
        for change in [changes, *([*changes, f"{key}={value}"] for value in values.split(",") if key)]:
            settings = load_scenario(scenario, dict(parse_override(text, "--set") for text in change)).settings
        assert getattr(chosen, "campaign", None) in (None, *settings.campaigns)
    if getattr(chosen, "advertiser", None):
        assert chosen.advertiser in {
            campaign.advertiser for campaign in load_scenario("quickstart").settings.campaigns.values()
        }


def test_flags__mean_the_same_everywhere() -> None:
    seen: dict[str, set[tuple[object, object]]] = {}
    for command in make_parsers()[1].values():
        for action in command._actions:
            for flag in action.option_strings:
                seen.setdefault(flag, set()).add((type(action).__name__, action.type))
    assert {flag: kinds for flag, kinds in seen.items() if len(kinds) > 1} == {}


def test_scenarios__are_listed_with_their_questions_and_run_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scenarios", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        p.relative_to(ROOT / "scenarios").with_suffix("").as_posix() for p in (ROOT / "scenarios").rglob("*.toml")
    }
    assert all(question.endswith("?") for question in found.values())
    assert main(["scenarios"]) == 0
    told = capsys.readouterr().out
    assert all(name in told and question in told for name, question in found.items())
    for name in ("tight_budgets", "incidents/bots"):
        assert main(["check", name]) == 0
    (tmp_path / "mine.toml").write_text('extends = "tight_budgets"\nseed = 9\n')
    assert main(["show", "mine.toml", "--resolved"]) == 0
    assert json.loads(capsys.readouterr().out.split("expected.\n")[-1])["seed"] == 9
    # a file of the user's own of that name comes first
    (tmp_path / "tight_budgets").write_text("seed = [")
    assert main(["check", "tight_budgets"]) == 2
    capsys.readouterr()
    assert main(["check", "tight_budgetz"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_completion__knows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("monitor", "--replications", "--allow-code"))
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("bidsim run tight", "tight_budgets"),
        ("bidsim compare quickstart incidents/track", "incidents/tracker_outage"),
        ("bidsim monitor my", "my-runs"),
    ],
)
def test_completion__completes_scenarios_and_folders(
    typed: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "my-runs").mkdir()
    words = typed.split()
    asked = f"""
COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE="{typed}"; COMP_POINT=${{#COMP_LINE}}
_shtab_bidsim "bidsim" "{words[-1]}" "{words[-2]}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash"], input=capsys.readouterr().out + asked, text=True, capture_output=True, cwd=tmp_path, check=False
    )
    assert wanted in done.stdout.split(), done.stderr


def test_completion__says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert "pip install shtab" in capsys.readouterr().err


def test_no_command__prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands" in capsys.readouterr().out


def test_run__prints_the_table_and_leaves_a_run(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(small), "--set", "campaigns.lamp.budget=7"]) == 0
    printed = capsys.readouterr().out
    for word in ("soap-everyone", "ROAS", "CPA", "lost to", "requests/s", "report runs/small-"):
        assert word in printed
    assert "\x1b" not in printed
    run = next((tmp_path / "runs").iterdir())
    result = bidsim.load_result(run)
    assert result.manifest["scenario"]["campaigns"]["lamp"]["budget"] == 7.0
    assert run.name == f"small-{result.manifest['scenario_hash']}"
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size < 1_000_000


def test_run__json_is_the_summary(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(small), "--json", "--out", str(tmp_path / "r")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "r/summary.json").read_text())


def test_check__says_fine(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(small)]) == 0
    assert "fine. 3 campaigns" in capsys.readouterr().out


def test_report__of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "no such run directory" in capsys.readouterr().err


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_report__hostile_names_run_nothing_and_break_nothing(tmp_path: Path) -> None:
    names = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "../../x",
        "a\u202eb",
        "x" * 10_000,
        "{{ 7 * 7 }}",
        "$\\frac{1}{2}$",
        "line\nbreak",
        "&amp;",
        "' or 1=1",
    ]
    text = SMALL.split("[campaigns.")[0] + "".join(
        f'[campaigns.{json.dumps(n)}]\nadvertiser = {json.dumps(n)}\nproduct = "{p}"\nbudget = 2.0\n'
        for n, p in zip(names, ["soap", "lamp"] * 5, strict=True)
    )
    path = tmp_path / "hostile.toml"
    path.write_text(text, encoding="utf-8")
    result = bidsim.run(bidsim.load_scenario(path))
    assert main(["run", str(path), "--out", str(tmp_path / "run")]) == 0
    page = render_report(result)
    parsed = _Page()
    parsed.feed(page)
    assert {tag for tag, _ in parsed.tags} & {"script", "img", "iframe", "link", "object"} == set()
    assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
    assert not any(
        (attributes.get(key) or "").startswith(("http", "//", "data:text"))
        for _, attributes in parsed.tags
        for key in ("src", "href")
    )
    assert "7 * 7" in page
    assert len(page) < 1_000_000
    assert render_report(result) == page


def test_own_policy__beside_the_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_module.py").write_text((ROOT / "docs/examples/my_module.py").read_text())
    path = tmp_path / "s.toml"
    path.write_text(SMALL.replace('policy = "truthful"', 'policy = { name = "my_module:MyPolicy", cpm = 30.0 }'))
    assert main(["run", str(path), "--out", str(tmp_path / "run"), "--allow-code"]) == 0
    bids = bidsim.load_result(tmp_path / "run").bids
    mine = bids[(bids["campaign"] == "soap-everyone") & (bids["bid_nanos"] > 0)]
    assert mine["bid_nanos"].max() == 30_000_000
    capsys.readouterr()
    assert main(["check", str(path)]) == 2
    assert "--allow-code" in capsys.readouterr().err


def test_interrupt__that_a_library_swallowed_is_raised_again() -> None:
    def swallow() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    with interruptible(), terminal_progress() as progress:
        progress("auctions", 1, 2)
        swallow()
        with pytest.raises(KeyboardInterrupt):
            progress("auctions", 1, 2)
        progress("auctions", 1, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt__ends_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(SMALL.replace("requests = 4_000", "requests = 20_000_000"))
    process = subprocess.Popen(
        [sys.executable, "-m", "bidsim", "run", str(path), "--out", str(tmp_path / "run")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    try:
        process.communicate(timeout=6)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert told.strip() == "error: stopped; nothing was written"
    assert not (tmp_path / "run").exists()


def test_closed_pipe__keeps_the_exit_code_and_all_is_done(small: Path, tmp_path: Path) -> None:
    assert main(["run", str(small), "--out", str(tmp_path / "run")]) == 0
    (tmp_path / "cases.json").write_text(
        json.dumps(
            {
                "cases": [
                    {"id": f"none-{k}", "check": "astrology", "params": {}, "expected": {"luck": 1.0}}
                    for k in range(500)
                ]
            }
        )
    )
    for arguments, code in (
        (["monitor", str(tmp_path / "run"), "--json", "--prometheus", str(tmp_path / "b.prom")], 0),
        (["scenarios"], 0),
        (["audit", str(tmp_path / "run")], 0),
        (["schema"], 0),
        (["validate", "--cases", str(tmp_path / "cases.json"), "--json", "--workers", "1"], 1),
    ):
        command = [sys.executable, "-m", "bidsim", *arguments]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
        process.stderr.close()
        assert (process.wait(), told) == (code, "")
    assert (tmp_path / "b.prom").is_file()


def test_full_output__is_told_and_all_else_is_done(small: Path, tmp_path: Path) -> None:
    assert main(["run", str(small), "--out", str(tmp_path / "run")]) == 0
    command = [
        sys.executable,
        "-m",
        "bidsim",
        "monitor",
        str(tmp_path / "run"),
        "--json",
        "--prometheus",
        str(tmp_path / "b.prom"),
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        3,
        "error: standard output cannot be written: No space left on device; all else was done\n",
    )
    assert (tmp_path / "b.prom").is_file()
    assert (tmp_path / "run" / "monitor.html").is_file()


def test_closed_output__is_no_matter(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m bidsim scenarios >&-"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_run__says_that_it_took_the_place_of_another(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(small), "--out", str(tmp_path / "run")]
    for more, said in (([], False), ([], False), (["--seed", "9"], True)):
        assert main([*command, *more]) == 0
        assert ("Replaced" in capsys.readouterr().out) == said


def test_unguarded_script__is_told_before_workers_start(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import bidsim\nfrom bidsim.experiments.compare import compare\nw = bidsim.load_scenario('tight_budgets', {'requests': 500})\ncompare([w, w], replications=2, workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "mine.py: worker processes read this script again" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1
