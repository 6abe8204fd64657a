"""A hundred things that go wrong: what a person does, and the words that the one clear block must hold.

`docs/generate.py` makes the page of errors from it, and a test tries every entry and holds the page to what is printed.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from bidsim.cli import main
from bidsim.cvr.features import FEATURES
from bidsim.traffic.settings import TrafficSettings
from tests.conftest import ROOT, SMALL
from tests.scenario.test_broken import EDITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGIN_HEAD = "import numba\nfrom bidsim.core.contracts import *\nfrom bidsim.core.kernel import kernel\n"
WORLD = 'name = "w"\nrequests = 500\nduration = "1d"\nvalues = { kind = "independent" }\n[campaigns.c]\nbudget = 1e6\n'
REPLAY = """name = "r"
duration = "1d"
market = { kind = "replay", path = "log.csv" }
[campaigns.c]
budget = 1.0
policy = { name = "fixed_bid", bid_cpm = 5 }
"""


@dataclass(frozen=True)
class Mistake:
    """One thing that goes wrong.

    Attributes:
        title: What was done.
        group: Where it stands on the page.
        command: What is typed after ``bidsim``, or ``make ...``.
        words: What the message must hold.
        files: Files in the working directory, name -> text.
        run: Whether a finished run lies in ``run``.
        damage: What happens to the working directory first.
        typed: Lines of the scenario that matter, where the command says nothing.
        code: Exit code.
        memory: Megabytes that are left, 0 for as many as there are.

    """

    title: str
    group: str
    command: str
    words: str
    files: dict[str, str | bytes] | None = None
    run: bool = False
    damage: Callable[[Path], object] | None = None
    typed: str = ""
    code: int = 2
    memory: int = 0

    @property
    def done(self) -> str:
        """What was typed."""
        return " ".join(
            (
                self.typed or (self.command if self.command.startswith("make ") else f"bidsim {self.command[:90]}")
            ).split()
        )


def _manifest(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "run/manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _manifest_without(key: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "run/manifest.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))

    return change


def _truncate(name: str) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / "run" / name, (folder / "run" / name).stat().st_size // 2)


def _without(module: str) -> Callable[[Path], object]:
    """Nothing to do on disk; the runner hides the module."""
    return lambda folder: (folder / f".hide-{module}").touch()


def _python(checks: str) -> dict[str, str | bytes]:
    """Something that answers as an interpreter would to what set-up asks."""
    return {"python3.9": f'#!/bin/sh\ncase "$*" in {checks} esac\n'}


def _executable(folder: Path) -> None:
    (folder / "python3.9").chmod(0o755)


S = {"s.toml": SMALL}
COMMANDS = "Typed on the command line"
SCENARIO_FILES = "Scenario files"
SCENARIO_KEYS = "Keys of a scenario"
RUNS = "Runs on disk"
CODE = "Plug-ins and models"
DATA = "Logs and cases"
MACHINE = "The machine"
META = json.dumps(
    {
        "kind": "lightgbm",
        "features": list(FEATURES),
        "vocabulary": {
            **TrafficSettings().vocabulary(),
            "campaign": ["lamp", "soap-everyone", "soap-mobile"],
            "advertiser": ["bright", "clean"],
            "product": ["lamp", "soap"],
        },
        "offset": 0.0,
    }
)
MODEL = {"s.toml": SMALL.replace('model = "oracle"', 'model = { name = "lightgbm", path = "m" }'), "m/meta.json": META}
_LEAF = "Tree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=1000\nis_linear=0\nshrinkage=1\n\n\n"
TREE = (
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=22\n"
    f"objective=binary sigmoid:1\nfeature_names={' '.join(FEATURES)}\nfeature_infos={' '.join(['none'] * len(FEATURES))}\n"
    f"tree_sizes={len(_LEAF)}\n\n{_LEAF}end of trees\n"
)

OTHERS = [
    Mistake("a command that is none", COMMANDS, "rnu s.toml", "did you mean 'run'"),
    Mistake("no scenario named", COMMANDS, "run", "required"),
    Mistake("an option that is none", COMMANDS, "run s.toml --speed 3", "unrecognized arguments", S),
    Mistake("a scenario misspelled", COMMANDS, "run quickstrt", "did you mean 'quickstart'"),
    Mistake("a scenario of another folder", COMMANDS, "check scenarios/tight_budgets.toml", "write tight_budgets"),
    Mistake("a seed in words", COMMANDS, "run s.toml --seed lucky", "a seed is a whole number", S),
    Mistake("a negative seed", COMMANDS, "run s.toml --seed=-1", "a seed is a whole number", S),
    Mistake("--set without a value", COMMANDS, "run s.toml --set campaigns.lamp.budget", "write key=value", S),
    Mistake("--set of a key that is none", COMMANDS, "run s.toml --set campaigns.lamp.budegt=4", "did you mean 'budget'", S),
    Mistake("--set of a campaign that is none", COMMANDS, "run s.toml --set campaigns.soap-mobil.budget=4", "there is no campaign 'soap-mobil', did you mean 'soap-mobile'?", S),
    Mistake("--set with words for a number", COMMANDS, "run s.toml --set campaigns.lamp.budget=lots", "valid number", S),
    Mistake("--set below a number", COMMANDS, "run s.toml --set campaigns.lamp.budget.x=4", "not a table", S),
    Mistake("no process to work", COMMANDS, "compare s.toml s.toml --workers 0", "at least one process", S),
    Mistake("one replication", COMMANDS, "compare s.toml s.toml --replications 1", "replications", S),
    Mistake("a campaign of nobody", COMMANDS, "compare s.toml s.toml --campaign lmap --replications 2", "did you mean 'lamp'", S),
    Mistake("a scenario compared with nothing", COMMANDS, "compare s.toml", "name another scenario", S),
    Mistake("a value to vary twice", COMMANDS, "sweep s.toml --vary seed=1,2,1", "1 is there twice", S),
    Mistake("nothing to vary", COMMANDS, "sweep s.toml --vary deadline.tmax", "write KEY=V1,V2", S),
    Mistake("a key to vary that is none", COMMANDS, "sweep s.toml --vary deadline.tmxa=1ms,2ms", "--vary deadline.tmxa=1ms: deadline.tmxa: unknown key, did you mean", S),
    Mistake("a key of the last scenario that is none", COMMANDS, "compare s.toml --set-last auction.fromat=vcg", "--set-last auction.fromat=vcg: auction.fromat: unknown key", S),
    Mistake("a case that is none", COMMANDS, "validate --only astrology", "no such case"),
    Mistake("an advertiser of nobody", COMMANDS, "report run --advertiser claen", "did you mean 'clean'", run=True),
    Mistake("more quiet windows than there are", COMMANDS, "monitor run --quiet 900", "can be taken for normal", run=True),
    Mistake("a scenario for a run", COMMANDS, "monitor s.toml", "is a file; name a run directory", S),
    Mistake("a page for a log", COMMANDS, "audit run/summary.json", "this is JSON; save it as CSV", run=True),
    Mistake("a shell that is none", COMMANDS, "completion fish", "invalid choice"),
    Mistake("the working directory as a place for a run", COMMANDS, "run s.toml --out .", "cannot be a run directory", S),
    Mistake("a name too long", COMMANDS, f"run s.toml --out {'x' * 200}", "at most 150 letters", S),
    Mistake("a folder of other things as a place for a run", COMMANDS, "run s.toml --out mine", "is not a run directory", {**S, "mine/thesis.tex": "precious"}),
    Mistake("a page over a file of one's own", COMMANDS, "report run --out notes.txt", "not a page that bidsim wrote", {"notes.txt": "mine"}, run=True),
    Mistake("no such file", SCENARIO_FILES, "run missing.toml", "no such file"),
    Mistake("a folder for a file", SCENARIO_FILES, "run .", "is a directory"),
    Mistake("a value forgotten", SCENARIO_FILES, "check s.toml", "not valid TOML", {"s.toml": "seed =\n"}),
    Mistake("a quote not closed", SCENARIO_FILES, "check s.toml", "not valid TOML", {"s.toml": 'name = "x\nseed = 1\n'}),
    Mistake("a key twice", SCENARIO_FILES, "check s.toml", "is there twice", {"s.toml": 'name = "x"\nname = "y"\n'}),
    Mistake("a table twice", SCENARIO_FILES, "check s.toml", "not valid TOML", {"s.toml": 'name = "x"\n[traffic]\n[traffic]\n'}),
    Mistake("YAML", SCENARIO_FILES, "check s.toml", "not valid TOML", {"s.toml": "name: x\n"}),
    Mistake("JSON", SCENARIO_FILES, "check s.json", "not valid TOML: it is JSON; scenarios are TOML", {"s.json": '{"name": "x"}\n'}),
    Mistake("another tool's JSON", SCENARIO_FILES, "check s.json", "auctiongym_fp_oracle is that of this one's auctions", {"s.json": '{"allocation": "FirstPrice", "rounds_per_iter": 9, "agents": []}\n'}),
    Mistake("another tool's gin", SCENARIO_FILES, "check s.gin", "it seems to be a gin configuration", {"s.gin": "import world\nAgent.bid = @Truthful()\n"}),
    Mistake("extends the root of all folders", SCENARIO_FILES, "check s.toml", "extends: '/' is a directory; name a scenario file", {"s.toml": 'extends = "/"\n'}),
    Mistake("saved as Latin-1", SCENARIO_FILES, "check s.toml", "save it as UTF-8", {"s.toml": b'name = "x"\n# caf\xe9\n'}),
    Mistake("an empty file", SCENARIO_FILES, "check s.toml", "missing", {"s.toml": ""}),
    Mistake("extends a file that is not there", SCENARIO_FILES, "check s.toml", "no such file beside", {"s.toml": 'extends = "base.toml"\n'}),
    Mistake("extends itself in a circle", SCENARIO_FILES, "check s.toml", "a loop", {"s.toml": 'extends = "t.toml"\n', "t.toml": 'extends = "s.toml"\n'}),
    Mistake("extends a number", SCENARIO_FILES, "check s.toml", "is not a file name", {"s.toml": "extends = 4\n"}),
    Mistake("the wrong thing opened", SCENARIO_FILES, "check picture.png", "is not UTF-8", {"picture.png": b"\x89PNG\r\n\x1a\n\x00\xff"}),
    Mistake("a market without a kind", SCENARIO_KEYS, "check s.toml", "market.kind: is missing; add it", {"s.toml": SMALL.replace('kind = "landscape"\n', "")}),
    Mistake("a duration of nothing", SCENARIO_KEYS, "check s.toml --set campaigns.lamp.start=0s", "'0s' is no time at all; leave the key out, or write a longer one", S),
    Mistake("an incident that is none", SCENARIO_KEYS, "check s.toml", "incidents", {"s.toml": SMALL + '\n[[incidents]]\nkind = "earthquake"\nstart = "1d"\n'}),
    Mistake("an incident of a feature that is none", SCENARIO_KEYS, "check s.toml", "did you mean 'engagement'", {"s.toml": SMALL + '\n[[incidents]]\nkind = "feature_outage"\nfeature = "engagment"\nstart = "1d"\n'}),
    Mistake("an incident that ends before it starts", SCENARIO_KEYS, "check s.toml", "end", {"s.toml": SMALL + '\n[[incidents]]\nkind = "bots"\nshare = 0.2\nclicks = 0.1\nstart = "1d"\nend = "12h"\n'}),
    Mistake("an incident of an advertiser that is none", SCENARIO_KEYS, "check s.toml", "did you mean 'clean'", {"s.toml": SMALL + '\n[[incidents]]\nkind = "tracker_outage"\nadvertiser = "claen"\nstart = "1d"\n'}),
    Mistake("a pair of fields that are none", SCENARIO_KEYS, "check s.toml --set 'monitoring.pairs=[[\"geo\",\"devise\"]]'", "'devise'", S),
    Mistake("an exploration of a lever that is none", SCENARIO_KEYS, "check s.toml --set 'exploration={share=0.1,levers=[\"prize\"]}'", "price", S),
    Mistake("no such run", RUNS, "report runs/nothing", "no such run directory"),
    Mistake("a folder that is no run", RUNS, "report photos", "not a complete run", {"photos/a.jpg": "x"}),
    Mistake("a run of an older version", RUNS, "report run", "format", run=True, damage=_manifest(format=1)),
    Mistake("a manifest without its scenario", RUNS, "report run", "manifest.json lacks what every run has", run=True, damage=_manifest_without("scenario")),
    Mistake("a manifest cut short", RUNS, "report run", "manifest.json", run=True, damage=lambda folder: (folder / "run/manifest.json").write_text('{"format": 3, "sce')),
    Mistake("a table cut short", RUNS, "report run", "its campaigns.parquet is not what was written", run=True, damage=_truncate("campaigns.parquet")),
    Mistake("a table that is gone", RUNS, "monitor run", "missing", run=True, damage=lambda folder: (folder / "run/slices.parquet").unlink()),
    Mistake("a table that is another", RUNS, "report run", "damaged", run=True, damage=lambda folder: shutil.copy(folder / "run/campaigns.parquet", folder / "run/timeline.parquet")),
    Mistake("a run that was not counted by slice", RUNS, "monitor run", "no slices to watch", run=True, damage=lambda folder: _made(folder, WORLD, "w")),
    Mistake("code that was not allowed", CODE, "check s.toml", "--allow-code", {"s.toml": SMALL.replace('"truthful"', '"mine:Policy"')}),
    Mistake("a module that is not there", CODE, "check s.toml --allow-code", "mine", {"s.toml": SMALL.replace('"truthful"', '"mine:Policy"')}),
    Mistake("a class that is not there", CODE, "check s.toml --allow-code", "Policy", {"s.toml": SMALL.replace('"truthful"', '"mine:Polcy"'), "mine.py": "class Policy: pass\n"}),
    Mistake("a class misspelled", CODE, "check s.toml --allow-code", "did you mean 'Mine'?", {
        "s.toml": SMALL.replace('"truthful"', '"mine:Mien"'), "mine.py": PLUGIN_HEAD + "class Mine(Policy):\n    pass\n",
    }),
    Mistake("a format that takes more than the bid", CODE, "run w.toml --allow-code", "a payment lies between reserve and bid", {
        "w.toml": WORLD.replace("[campaigns", '[auction]\nformat = "mine:Greedy"\n[campaigns'),
        "mine.py": PLUGIN_HEAD + "from bidsim.kernels.minima import minima_by_bid\nfrom bidsim.kernels.ranking import best_and_next\n\n@kernel(CLEAR_SIGNATURE)\n"
        "def clear(book, n, slots, params, outcome):\n    outcome.winner[0] = best_and_next(book, n)[0]\n    outcome.payment[0] = 2 * book.bid[outcome.winner[0]]\n\n"
        "class Greedy(AuctionFormat):\n    clear = clear\n    minima = minima_by_bid\n",
    }, code=3),
    Mistake("a market of one's own that fails", CODE, "check w.toml --allow-code", "'mine:M' failed at mine.py, line 6: KeyError: 'prices'", {
        "w.toml": WORLD + '[market]\nkind = "mine:M"\n', "mine.py": PLUGIN_HEAD + "class M(Market):\n    @classmethod\n    def prepare(cls, params, brief): return {}['prices']\n"}),
    Mistake("parameters of one's own that fail", CODE, "check w.toml --allow-code", "'mine:P' failed at mine.py, line 8: ZeroDivisionError", {
        "w.toml": WORLD + 'policy = { name = "mine:P", part = 0 }\n', "mine.py": PLUGIN_HEAD + (
            "from pydantic import model_validator\nclass Q(Settings):\n    part: int\n    @model_validator(mode='after')\n    def _v(self): 1 / self.part; return self\n"
            "class P(Policy):\n    Params = Q\n    bid = do_nothing\n")}),
    Mistake("a module that does not parse", CODE, "check s.toml --allow-code", "mine", {"s.toml": SMALL.replace('"truthful"', '"mine:P"'), "mine.py": "def f(:\n"}),
    Mistake("a policy without a kernel", CODE, "run s.toml --allow-code", "bid", {"s.toml": SMALL.replace('"truthful"', '"mine:P"'), "mine.py": PLUGIN_HEAD + "class P(Policy):\n    pass\n"}),
    Mistake("a kernel that raises", CODE, "run s.toml --allow-code", "boo", {
        "s.toml": SMALL.replace('"truthful"', '"mine:P"'),
        "mine.py": PLUGIN_HEAD + "@kernel(OFFERS_SIGNATURE)\ndef bid(offers, lo, hi, floats, ints):\n    raise ValueError('boo')\nclass P(Policy):\n    bid = bid\n",
    }, code=3),
    Mistake("a kernel that misspells a field", CODE, "check s.toml --allow-code", "at line 6: Offers has no field 'bidd', did you mean 'bid'?", {
        "s.toml": SMALL.replace('"truthful"', '"mine:P"'),
        "mine.py": PLUGIN_HEAD + "@kernel(OFFERS_SIGNATURE)\ndef bid(offers, lo, hi, floats, ints):\n    offers.bidd[0] = 1\nclass P(Policy):\n    bid = bid\n",
    }),
    Mistake("a model that is not there", CODE, "run s.toml", "nope", {"s.toml": SMALL.replace('model = "oracle"', 'model = { name = "lightgbm", path = "nope" }')}),
    Mistake("a model whose names are damaged", CODE, "run s.toml", "meta.json is damaged: vocabulary: input should be a table, not []", {
        "s.toml": SMALL.replace('model = "oracle"', 'model = { name = "logistic", path = "m" }'), "m/meta.json": '{"kind": "logistic", "vocabulary": [], "features": []}'}),
    Mistake("weights of a model that are damaged", CODE, "run s.toml", "weights.json: ints has the shape (1,)", {
        "s.toml": SMALL.replace('model = "oracle"', 'model = { name = "logistic", path = "m" }'), "m/weights.json": '{"ints": [1], "floats": [0.0]}',
        "m/meta.json": META.replace("lightgbm", "logistic")}),
    Mistake("a model file of nonsense", CODE, "run s.toml", "this is not a LightGBM model in text form", {**MODEL, "m/model.txt": "tree\nnonsense\n"}),
    Mistake("a model file that is empty", CODE, "run s.toml", "model.txt: the file is empty", {**MODEL, "m/model.txt": ""}),
    Mistake("a model without what describes it", CODE, "run s.toml", "has no meta.json: it holds kind, features, vocabulary and offset", {"s.toml": MODEL["s.toml"], "m/model.txt": "tree\n"}),
    Mistake("a model with a custom objective", CODE, "run s.toml", "has a custom objective", {**MODEL, "m/model.txt": TREE.replace("objective=binary sigmoid:1\n", "")}),
    Mistake("a model that lacks a feature", CODE, "run s.toml", "feature_names: 'hour' is missing", {**MODEL, "m/model.txt": TREE.replace("max_feature_idx=22", "max_feature_idx=21").replace("=hour ", "=")}),
    Mistake("a model with a feature of nobody", CODE, "run s.toml", "'prise' is no feature, did you mean 'price'?", {**MODEL, "m/model.txt": TREE.replace(" price ", " prise ")}),
    Mistake("a model whose predictions overflow", CODE, "run s.toml", "more than a number can hold", {**MODEL, "m/model.txt": TREE.replace("objective=binary sigmoid:1", "objective=poisson")}),
    Mistake("a model of another kind", CODE, "run s.toml", "holds a model of the kind 'logistic', not 'lightgbm'", {**MODEL, "m/meta.json": META.replace("lightgbm", "logistic")}),
    Mistake("a log without payments", DATA, "audit log.csv", "payment", {"log.csv": "bid,price\n1,2\n"}),
    Mistake("a log with words for numbers", DATA, "audit log.csv", "log.csv", {"log.csv": "bid,payment\n1,free\n2,3\n"}),
    Mistake("a log that is empty", DATA, "audit log.csv", "log.csv", {"log.csv": ""}),
    Mistake("a log that is not there", DATA, "audit log.csv", "no such", {}),
    Mistake("a replay of a log without prices", DATA, "run s.toml", "market_price", {
        "s.toml": REPLAY, "log.csv": "pctr,click\n0.1,0\n",
    }),
    Mistake("a replay of a log with gaps", DATA, "run s.toml", "missing", {
        "s.toml": REPLAY, "log.csv": "market_price,pctr,click\n4,0.1,0\n4,,0\n",
    }),
    Mistake("a replay of a log with semicolons", DATA, "run s.toml", "semicolons", {
        "s.toml": REPLAY, "log.csv": "market_price;pctr;click\n4;0,1;0\n",
    }),
    Mistake("a replay of a spreadsheet", DATA, "run s.toml", "this is a spreadsheet", {
        "s.toml": REPLAY, "log.csv": "PK\x03\x04 [Content_Types].xml",
    }),
    Mistake("a replay of a log with a name twice", DATA, "run s.toml", "is there 2 times", {
        "s.toml": REPLAY, "log.csv": "market_price,pctr,click,pctr\n4,0.1,0,0.1\n",
    }),
    Mistake("a replay of negative prices", DATA, "run s.toml", "market_price", {
        "s.toml": REPLAY, "log.csv": "market_price,pctr,click\n-4,0.1,0\n",
    }),
    Mistake("a seat of nobody, where values are drawn", DATA, "check w.toml", "unknown seat 'nowhere'; known here: main", {"w.toml": WORLD + 'seat = "nowhere"\n'}),
    Mistake("a product of nobody, where values are drawn", DATA, "check w.toml", "unknown product 'lamp'", {"w.toml": WORLD + 'product = "lamp"\n'}),
    Mistake("cases that are not JSON", DATA, "validate --cases c.json", "not valid JSON", {"c.json": "{"}),
    Mistake("cases without cases", DATA, "validate --cases c.json", "no list of cases", {"c.json": "[]"}),
    Mistake("the disk is full: a picture", MACHINE, "sweep w.toml --vary requests=100,200 --replications 2 --workers 1 --plot /dev/full", "No space left", {"w.toml": WORLD}),
    Mistake("the disk is full: Prometheus' file", MACHINE, "monitor run --prometheus /dev/full", "No space left", run=True),
    Mistake("Prometheus' file over another", MACHINE, "monitor run --prometheus notes.txt", "did not write", {"notes.txt": "mine"}, run=True),
    Mistake("a picture over a scenario", MACHINE, "compare w.toml w.toml --replications 2 --workers 1 --plot w.toml", "did not write", {"w.toml": WORLD}),
    Mistake("a run where a file is in the way", MACHINE, "run s.toml --out notes.txt/run", "choose another place", {**S, "notes.txt": "mine"}),
    Mistake("a page where no folder is", MACHINE, "report run --out nowhere/else/page.html/x", "page", {"nowhere/else/page.html": "mine"}, run=True),
    Mistake("prices of which sums cannot be counted", MACHINE, "run s.toml --set products.soap.price=5e8 --set campaigns.soap-everyone.budget=1e8 --set campaigns.soap-everyone.daily_budget=1e8",
        "count prices, values and budgets in thousands", S, code=3),
    Mistake("out of memory", MACHINE, "run s.toml --set requests=1_000_000 --set log.decisions=1_000_000_000", "lower traffic.users, log.wins or log.decisions", S, code=3, memory=100),
    Mistake("a Python that is too old", MACHINE, "make demo PYTHON=./python3.9", "needs Python 3.11 or newer", _python("--version) echo Python 3.9.2;; *) exit 1;;"), damage=_executable),
    Mistake("a Python that is not there", MACHINE, "make demo PYTHON=./python3.99", "missing"),
    Mistake("a system without OpenMP", MACHINE, "make demo PYTHON=./python3.9", "apt-get install libgomp1", _python("*ctypes*) exit 1;; *) exit 0;;"), damage=_executable),
    Mistake("an extra that is not installed", MACHINE, "completion bash", "pip install shtab", damage=_without("shtab")),
]  # fmt: skip
if os.getuid():
    OTHERS += [
        Mistake(
            "no permission to read a scenario",
            MACHINE,
            "run s.toml",
            "cannot be read",
            S,
            damage=lambda folder: (folder / "s.toml").chmod(0),
        ),
        Mistake(
            "no permission to write",
            MACHINE,
            "run s.toml --out locked/run",
            "may write to",
            {**S, "locked/x": ""},
            damage=lambda folder: (folder / "locked").chmod(0o500),
        ),
    ]

MISTAKES = [
    *(m for m in OTHERS if m.group in (COMMANDS, SCENARIO_FILES)),
    *(
        Mistake(
            title,
            SCENARIO_KEYS,
            "check s.toml",
            words,
            {
                "s.toml": ("traffic = [600]\n" if new == "traffic = [600]" else "")
                + SMALL.replace(old, "" if new == "traffic = [600]" else new, 1)
            },
            typed=new or f"(without) {old}",
        )
        for title, old, new, _, words in EDITS
    ),
    *(m for m in OTHERS if m.group not in (COMMANDS, SCENARIO_FILES)),
]


def _made(folder: Path, text: str, name: str) -> None:
    """Put a run of another scenario in the place of the run."""
    (folder / f"{name}.toml").write_text(text)
    shutil.rmtree(folder / "run")
    with redirect_stdout(StringIO()):
        main(["run", str(folder / f"{name}.toml"), "--out", str(folder / "run")])


@contextmanager
def _little_memory(megabytes: int) -> Iterator[None]:
    """Leave the process no more than so much beyond what it has, 0 for as much as there is."""
    if not megabytes:
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _set_up(folder: Path, python: str) -> tuple[int, str]:
    """Run the first step of set-up with another interpreter."""
    done = subprocess.run(
        ["sh", str(ROOT / "setup/venv.sh"), python], cwd=folder, capture_output=True, text=True, check=False
    )
    assert not done.stdout
    assert not (folder / ".venv").exists()
    return done.returncode, done.stderr.strip()


def tried(mistake: Mistake, folder: Path, finished: Path) -> tuple[int, str]:
    """Make the mistake in an empty folder; exit code and all that was said."""
    import shlex  # noqa: PLC0415
    import sys  # noqa: PLC0415

    for name, text in (mistake.files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    if mistake.run:
        shutil.copytree(finished, folder / "run")
    if mistake.damage:
        mistake.damage(folder)
    if mistake.command.startswith("make "):
        return _set_up(folder, mistake.command.partition("PYTHON=")[2])
    hidden = [p.name.removeprefix(".hide-") for p in folder.glob(".hide-*")]
    before, kept = Path.cwd(), {name: sys.modules.get(name) for name in hidden}
    told = StringIO()
    os.chdir(folder)
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with _little_memory(mistake.memory), redirect_stderr(told), redirect_stdout(StringIO()):
            code = main(shlex.split(mistake.command))
    except SystemExit as stopped:  # argparse
        code = int(stopped.code or 0)
    finally:
        os.chdir(before)
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        sys.path[:] = [p for p in sys.path if p != str(folder)]
        for name in ("mine",):
            sys.modules.pop(name, None)
    return code, re.sub(r"(?s)^usage:.*?\n(?=bidsim)", "", told.getvalue()).replace(
        str(folder.resolve()), "<folder>"
    ).strip()
