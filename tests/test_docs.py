"""What the documents show is run: the policy of CONTRIBUTING.md, the how-to pages, the README."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bidsim
from bench.__main__ import BENCHMARKS
from bidsim.cli import main, make_parser
from bidsim.experiments.truths.cases import load_cases
from bidsim.scenario.shipped import find_scenario, shipped_scenarios
from tests.conftest import ROOT, SMALL


def _block(text: str, marker: str) -> str:
    found = re.search(rf"<!-- example: {marker} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_contributing__a_policy_is_one_file_and_one_test(tmp_path: Path) -> None:
    """In a copy of the checkout: two files are added, nothing else is touched, and the suite that finds plug-ins passes."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for part in ("bidsim", "tests", "scenarios"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bidsim/policies/ceiling.py").write_text(_block(text, "policy"))
    (tmp_path / "tests/test_ceiling.py").write_text(_block(text, "test"))
    (tmp_path / "s.toml").write_text(
        SMALL.replace('policy = "truthful"', 'policy = { name = "ceiling", most_cpm = 30 }')
    )
    tested = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/test_ceiling.py",
            "tests/conformance/test_bidders.py",
            "tests/scenario/test_every_key.py",
            "tests/engine/test_figures.py",
            "-k",
            "ceiling or kept__",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "passed" in tested.stdout
    ran = subprocess.run(
        [sys.executable, "-m", "bidsim", "run", "s.toml", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert (
        bidsim.load_result(tmp_path / "run").bids.query("campaign == 'soap-everyone'")["bid_nanos"].max() == 30_000_000
    )


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDERS = {"mine.toml", "my_scenario.toml", "NAME", "bidsim.schema.json"}
SET_UP = (
    ". .venv/bin/activate",
    "python3 -m venv",
    ".venv/bin/python -m pip",
    ".venv/bin/python -m bidsim demo",
    "git clone",
    "git add",
    "cd ",
)
NAMED = {page.relative_to(ROOT).as_posix(): page for page in PAGES}


def _blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for block in found if "--8<--" not in block]


def _with(language: str) -> list[str]:
    return [name for name, page in NAMED.items() if _blocks(page, language)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the pages speak of."""
    for file in (ROOT / "docs/examples").glob("*.py"):
        shutil.copy(file, tmp_path)
    log = pd.DataFrame({"market_price": [10, 20, 30], "pctr": [0.1, 0.2, 0.3], "click": [0, 1, 0]})
    log.to_parquet(tmp_path / "log.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", _with("python"))
def test_page__its_python_runs(name: str, folder: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(Path.home()), "PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg"}
    environment |= {key: os.environ[key] for key in ("BIDSIM_CACHE",) if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(_blocks(NAMED[name], "python"))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    if name.endswith("move-a-lever.md"):
        for told in ("realised difference", "expected direct effect", "expected total effect"):
            assert told in done.stdout


@pytest.mark.parametrize("name", _with("toml"))
def test_page__its_scenarios_are_understood(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in _blocks(NAMED[name], "toml"):
        whole = re.search(r"^(name|extends) = ", block, re.MULTILINE)
        base = "slow_model" if "deadline" in block else "quickstart"
        (folder / "mine.toml").write_text(block if whole else f'extends = "{base}"\n{block}')
        assert main(["check", "mine.toml", "--allow-code"]) == 0, capsys.readouterr().err
    capsys.readouterr()


@pytest.mark.parametrize("name", _with("sh"))
def test_page__its_commands_are_understood(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in "\n".join(_blocks(NAMED[name], "sh")).splitlines():
        words = shlex.split(line.split(" > ")[0].replace("...", "x"), comments=True)
        if not words or line.startswith(SET_UP):
            continue
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        elif words[:3] == [".venv/bin/python", "-m", "bench"] or words[:3] == ["python", "-m", "bench"]:
            assert words[3] in BENCHMARKS
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file()
        else:
            assert words[0] == "bidsim", line
            chosen = make_parser().parse_args(words[1:])
            for scenario in np.atleast_1d(getattr(chosen, "scenario", [])):
                assert str(scenario) in PLACEHOLDERS or find_scenario(scenario).is_file(), line


@pytest.mark.parametrize("name", _with("json"))
def test_page__its_cases_are_understood(name: str, tmp_path: Path) -> None:
    for block in _blocks(NAMED[name], "json"):
        (tmp_path / "cases.json").write_text(block)
        assert load_cases(tmp_path / "cases.json")


def test_format_of_ones_own__lies_between_first_and_second_price(folder: Path) -> None:
    paid = {}
    for own in (0.0, 0.5, 1.0):
        scenario = f'extends = "first_price_shading"\nname = "b"\nrequests = 20_000\n[auction]\nformat = "my_format:Blended"\nown = {own}\n'
        (folder / "b.toml").write_text(scenario)
        rows = bidsim.run(bidsim.load_scenario("b.toml", allow_code=True)).auctions
        assert (rows["payment_nanos"] <= rows["bid_nanos"]).all()
        paid[own] = rows["payment_nanos"].sum(), rows["bid_nanos"].sum()
    assert paid[0.0][0] < paid[0.5][0] < paid[1.0][0]
    assert paid[1.0][0] == paid[1.0][1]


def test_formats_of_ones_own__inside_the_package_are_a_file_each(tmp_path: Path) -> None:
    """One that sells a position and one that sells all together: the suite that finds plug-ins passes, and nothing else is touched."""
    for part in ("bidsim", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    single, joint, _ = _blocks(NAMED["docs/howto/own-format.md"], "python")
    (tmp_path / "bidsim/auctions/blended.py").write_text(single)
    (tmp_path / "bidsim/auctions/generalised_first.py").write_text(joint[: joint.index("\nbook, outcome")])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "tests/conformance/test_auctions.py",
        "-k",
        "blended or generalised or joint_formats",
    ]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    tried = {name: len(re.findall(rf"\[{name}\] PASSED", tested.stdout)) for name in ("blended", "generalised_first")}
    assert tried["blended"] >= 5
    assert tried["generalised_first"] == tried["blended"] + 2, (
        "what every format does, and what those for several positions do"
    )


def test_pacer_of_ones_own__spends_to_the_end(folder: Path) -> None:
    spent = {}
    for pacing in ('"none"', '{ name = "my_pacer:Steps", step = 0.01 }'):
        (folder / "p.toml").write_text(
            f'extends = "tight_budgets"\nname = "p"\n[campaigns.by-the-clock]\npacing = {pacing}\n'
        )
        rows = bidsim.run(bidsim.load_scenario("p.toml", allow_code=True)).timeline
        mine = rows[rows["campaign"] == "by-the-clock"].groupby("start_us")["payment_nanos"].sum().cumsum().to_numpy()
        spent[pacing] = mine[len(mine) // 2] / mine[-1]
    first, paced = spent.values()
    assert first > 0.9
    assert 0.35 < paced < 0.65


def test_generated_pages__are_those_of_the_code() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate  # noqa: PLC0415
    finally:
        sys.path.remove(str(ROOT / "docs"))
    for file, make in {"command-line.md": generate.command_line, "scenario.md": generate.scenario_keys}.items():
        assert (ROOT / "docs/reference" / file).read_text(encoding="utf-8") == make(), "run: make reference"


def _too_wide(text: str) -> list[int]:
    """Numbers of prose lines over 120 columns; tables, pictures, addresses and blocks of code cannot be broken."""
    wide, code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and len(line) > 120 and not re.match(r"\s*\|", line) and not re.search(r"!\[|https?://", line):
            wide.append(number)
    return wide


def test_prose__wraps_at_120_columns() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 40
    found = {str(page.relative_to(ROOT)): _too_wide(page.read_text(encoding="utf-8")) for page in pages}
    assert {page: lines for page, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("w " * 60, []),
        ("w " * 61, [1]),
        ("short\n\n- " + "w " * 61, [3]),
        ("| " + "w | " * 61, []),
        ("![" + "w " * 61 + "](a.png)", []),
        ("<https://a.b/" + "w" * 120 + ">", []),
        ("```text\n" + "w " * 61 + "\n```\n" + "w " * 61, [4]),
    ],
)
def test_prose__tables_pictures_addresses_and_code_may_be_wider(text: str, lines: list[int]) -> None:
    assert _too_wide(text) == lines


def test_comments_and_recipes__wrap_at_120_columns() -> None:
    files = [ROOT / name for name in ("Makefile", "pyproject.toml", ".ci/run")]
    files += [*(ROOT / "setup").glob("*.sh"), *(ROOT / "scenarios").rglob("*.toml")]
    assert len(files) > 20
    found = {str(file.relative_to(ROOT)): _too_wide(file.read_text(encoding="utf-8")) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


def _cut(text: str) -> list[str]:
    """Lines of prose that a wrap has spoilt: a mark of a list, heading or quote in mid-sentence, or half a code span.

    CommonMark, which GitHub and Jupyter read, begins a list in the middle of a paragraph; mkdocs does not.
    """
    spoilt = []
    for block in re.split(r"\n\s*\n", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)):
        lines = block.strip("\n").split("\n")
        marks = [re.match(r"( *)([-+*>]|\d+[.)]|#+) ", line) for line in lines]
        kinds = [mark and (mark[1], re.sub(r"\d+", "1", mark[2])) for mark in marks]
        for line, kind in zip(lines, kinds, strict=True):
            if (kind and kind != kinds[0]) or (line.count("`") % 2 and not line.startswith("|")):
                spoilt.append(line)
    return spoilt


def _prose_of(file: Path) -> str:
    """Return a page, or the cells of a notebook that are prose."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    prose = [cell.partition("\n")[2] for cell in cells if cell.startswith(" [markdown]")]
    return "\n\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in prose)


def test_prose__no_wrap_begins_a_list_or_cuts_a_code_span() -> None:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.py")]
    found = {str(file.relative_to(ROOT)): _cut(_prose_of(file)) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("to bid value / (1\n+ mu) for the flight", ["+ mu) for the flight"]),
        ("as many as\n3. of them", ["3. of them"]),
        ("- one\n- two", []),
        ("- one, less\n  - two", ["  - two"]),
        ("1. one\n2. two", []),
        ("say `make\ncheck` now", ["say `make", "check` now"]),
        ("```sh\n# a comment\n- `\n```", []),
    ],
)
def test_prose__a_wrap_that_spoils_a_line_is_found(text: str, lines: list[str]) -> None:
    assert _cut(text) == lines


def test_generated_prose__wraps_at_120_columns_and_leaves_words_and_commands_whole() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate  # noqa: PLC0415
    finally:
        sys.path.remove(str(ROOT / "docs"))
    text = "`a - b` " * 50 + "c" * 130
    assert generate.prose(text).split() == text.split()
    assert all(len(line) <= 120 for line in generate.prose(text).splitlines()[:-1])
    assert generate.prose(text).count("`a - b`") == 50
    long = "`" + "a b " * 60 + "`"
    assert all(len(line) <= 120 for line in generate.prose(long).splitlines())


def test_gallery__has_every_scenario() -> None:
    page = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(shipped_scenarios())
    for name, question in shipped_scenarios().items():
        assert f"*{question}*" in page
        assert (ROOT / "docs/pictures/gallery" / f"{name.replace('/', '-')}.png").stat().st_size > 5_000


def test_pages__are_all_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in listed + "\n", page


def test_readme__commands_are_those_of_the_makefile() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in readme
        assert f"\n{command.split()[1]}:" in makefile


def test_lock__has_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "http" not in text
        assert "--index-url" not in text
        packages = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert len(packages) > 30
        assert text.count("--hash=sha256:") >= len(packages)
