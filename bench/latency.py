"""How long a decision takes.

Single rows, many candidates, whole decisions by stage, under load, as models grow, from cold.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import models
from bench.decisions import DECISION, market_of
from bench.figures import Figure, Report, measured
from bench.peers import Peer, compiled_peers, lightgbm_c
from bidsim.core.kernel import kernel
from bidsim.core.scoring import TASK_WORDS, ScorerTables, ScoreTask, aligned_tables, put_task, take_task
from bidsim.cvr.binning import SCORER
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR, WIDTH
from bidsim.cvr.links import link_row
from bidsim.cvr.masks import LINKS, NARROW, score_rows, with_campaigns
from bidsim.cvr.trees import compile_trees, describe, score_trees
from bidsim.engine.deadline import STAGES
from bidsim.kernels.clock import ticks

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

COLUMNS = 32
_LINKS, _NARROW = LINKS, NARROW
_FIRST_GOALS = {
    (100, 31, False): (12, 4),
    (100, 31, True): (17, 9),
    (300, 63, False): (14, 5.5),
    (300, 63, True): (14, 5.5),
    (1000, 127, False): (7, 4.5),
}
"""By shape: least ratio to LightGBM's C API, and to lleaves."""
_DECISION_GOALS = {10: 25, 100: 30, 1000: 28}
_REPEATS = 9
_CANDIDATES = 200


def measure(options: Namespace) -> Report:
    """Measure everything; pictures go to ``options.out``."""
    report = Report("latency", quick=options.quick)
    shapes = [(100, 31, False)] if options.quick else list(_FIRST_GOALS)
    for trees, leaves, categorical in shapes:
        _single_row(report, trees, leaves, categorical, options)
    _candidates(report, options)
    stages = {}
    for campaigns in (10, 100) if options.quick else (10, 100, 1000):
        stages[campaigns] = _decision(report, campaigns, options)
    load = _under_load(report, options)
    growth = _growth(options)
    _cold_start(report, options)
    report.add(Figure("clock_overhead", clock_overhead(), "ns", note="to read the clock; each stage holds one reading"))
    if options.out:
        from bench import pictures  # noqa: PLC0415  (matplotlib is slow to import)

        pictures.draw(options.out, stages, load, growth)
    return report


@kernel()
def _one_by_one(tables: ScorerTables, features: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Score every row by a call of its own, as compiled code that knows the model's kind would."""
    if tables.ints[SCORER] == _LINKS:
        for k in range(features.shape[0]):
            out[k] = link_row(tables, features[k])
    elif tables.ints[SCORER] == _NARROW:
        for k in range(features.shape[0]):
            score_rows(tables.ints, tables.narrow, tables.floats, features, k, k + 1, out)
    else:
        for k in range(features.shape[0]):
            score_rows(tables.ints, tables.wide, tables.floats, features, k, k + 1, out)


def _ours(path: Path, columns: int) -> tuple[Callable[[NDArray[np.float32], NDArray[np.float64]], None], str]:
    tables = compile_trees(path.read_text(), columns)
    return lambda rows, out: _one_by_one(tables, rows, out), describe(tables)


def _alternating(
    ours: Callable[..., None], peers: list[Peer], x: NDArray[np.float64], repeats: int, rows: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Nanoseconds a row: ours, and each peer's, in turn, on fresh rows each time; the first round is not counted.

    Before each measurement a quarter of the rows are scored untimed, so that nobody pays for what another left in the
    caches.
    """
    single = x.astype(np.float32)
    own: list[float] = []
    theirs: dict[str, list[float]] = {p.name: [] for p in peers}
    out = np.zeros(rows + 1)
    for repeat in range(repeats + 1):
        part = slice((repeat * rows) % (len(x) - rows), (repeat * rows) % (len(x) - rows) + rows)
        before = slice(part.stop - rows // 4, part.stop)
        ours(single[before], out)
        found = _timed(lambda part=part: ours(single[part], out)) / rows  # type: ignore[misc]
        expected = out[:rows].copy()
        if repeat:
            own.append(found)
        for peer in peers:
            peer.run(x[before], out)
            found = _timed(lambda peer=peer, part=part: peer.run(x[part], out)) / rows  # type: ignore[misc]
            if np.abs(out[:rows] - expected).max() > 1e-6:
                raise AssertionError(f"{peer.name} scores otherwise")
            if repeat:
                theirs[peer.name].append(found)
    return own, theirs


def _timed(run: Callable[[], None]) -> float:
    begun = time.perf_counter_ns()
    run()
    return float(time.perf_counter_ns() - begun)


def _ratios(theirs: list[float], own: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, own, strict=True)]


def _single_row(report: Report, trees: int, leaves: int, categorical: bool, options: Namespace) -> None:
    path = models.model(trees, leaves, COLUMNS, categorical=categorical)
    ours, how = _ours(path, COLUMNS)
    peers = [lightgbm_c(path, COLUMNS), *compiled_peers(path)]
    x = models.rows(20_000, COLUMNS, 7 + options.seed, missing=categorical)
    own, theirs = _alternating(ours, peers, x, 3 if options.quick else _REPEATS, 1_000 if options.quick else 2_000)
    name = f"{trees}x{leaves}_{'categorical' if categorical else 'numeric'}"
    report.add(measured(f"single_row_{name}", own, "ns", note=how))
    goals = dict(zip(("lightgbm_c_api", "lleaves"), _FIRST_GOALS[(trees, leaves, categorical)], strict=True))
    for peer in ("lightgbm_c_api", "lleaves", "tl2cgen"):
        goal = f">= {goals[peer]}" if peer in goals else ""
        if peer in theirs:
            report.add(measured(f"single_row_{name}_{peer}", theirs[peer], "ns"))
            report.add(measured(f"single_row_{name}_ratio_to_{peer}", _ratios(theirs[peer], own), "times", goal))
        else:
            report.add(
                Figure(f"single_row_{name}_ratio_to_{peer}", None, "times", goal=goal, note="see bench/peers/build.sh")
            )
    python = [_predict_in_python(path, x[k : k + 1]) for k in range(60 if options.quick else 300)]
    report.add(measured(f"single_row_{name}_booster_predict", [p for p in python[10:]], "ns", note="from Python"))  # noqa: C416


_BOOSTERS: dict[Path, Any] = {}


def _predict_in_python(path: Path, row: NDArray[np.float64]) -> float:
    if path not in _BOOSTERS:
        import lightgbm  # noqa: PLC0415

        _BOOSTERS[path] = lightgbm.Booster(model_file=str(path))
    return _timed(lambda: _BOOSTERS[path].predict(row, num_threads=1))


@kernel()
def _requests(
    tables: ScorerTables,
    features: NDArray[np.float32],
    who: NDArray[np.int64],
    out: NDArray[np.float64],
    room: NDArray[np.int64],
) -> None:
    for request in range(features.shape[0]):
        put_task(
            room, ScoreTask(tables.ints, tables.floats, tables.narrow, tables.wide, who, features[request], out, out)
        )
        score_trees(take_task(room), 0, who.shape[0])


def _candidates(report: Report, options: Namespace) -> None:
    """200 campaigns on one request: ours shares what they have in common, LightGBM scores row by row.

    Some requests each in turn.
    """
    path, together = models.model(100, 31, WIDTH), 10
    x = models.rows(_CANDIDATES, WIDTH, 11 + options.seed, missing=False)
    static = np.ascontiguousarray(x[:, FIRST_CAMPAIGN:FIRST_PAIR].astype(np.float32))
    tables = aligned_tables(with_campaigns(compile_trees(path.read_text(), WIDTH), static))
    peer, who = lightgbm_c(path, WIDTH), np.arange(_CANDIDATES)
    out, theirs_out = np.zeros(_CANDIDATES), np.zeros(together * _CANDIDATES + 1)
    own, theirs, room = [], [], np.zeros(TASK_WORDS, np.int64)
    for repeat in range(6 if options.quick else 30):
        fresh = models.rows(together, WIDTH, 13 + options.seed + repeat, missing=False)
        rows = np.repeat(x[None], together, axis=0)
        rows[:, :, :FIRST_CAMPAIGN] = fresh[:, None, :FIRST_CAMPAIGN]
        for r in range(together):
            rows[r, :, FIRST_PAIR:] = np.roll(x[:, FIRST_PAIR:], repeat * together + r, axis=0)
        single = rows.astype(np.float32)
        own.append(_timed(lambda single=single: _requests(tables, single, who, out, room)) / together)  # type: ignore[misc]
        theirs.append(_timed(lambda rows=rows: peer.run(rows.reshape(-1, WIDTH), theirs_out)) / together)  # type: ignore[misc]
        if np.abs(theirs_out[-_CANDIDATES - 1 : -1] - out).max() > 1e-9:
            raise AssertionError("scores of candidates differ")
    own, theirs = own[2:], theirs[2:]
    report.add(measured(f"candidates_{_CANDIDATES}_100x31", own, "ns", note="for all of them"))
    report.add(measured(f"candidates_{_CANDIDATES}_100x31_lightgbm_c_api", theirs, "ns", note="for all of them"))
    report.add(
        measured(f"candidates_{_CANDIDATES}_100x31_ratio_to_lightgbm_c_api", _ratios(theirs, own), "times", ">= 30")
    )


def _decision(report: Report, campaigns: int, options: Namespace) -> NDArray[np.float64]:
    """Whole decisions, ours and with LightGBM's C API in the same loop, a piece of the stream each in turn."""
    piece = {10: 2_000, 100: 500, 1000: 60}[campaigns] // (4 if options.quick else 1)
    pieces = 4 if options.quick else 12
    market = market_of(campaigns, options.seed, (2 * pieces + 2) * piece, 100_000 if options.quick else 600_000)
    ours, theirs = market.ours, market.with_lightgbm()
    market.stages(ours, piece)
    market.stages(theirs, piece)
    own, other, ratios = [], [], []
    for _ in range(pieces):
        own.append(market.stages(ours, piece))
        other.append(market.stages(theirs, piece))
        ratios.append(_p50(other[-1]) / _p50(own[-1]))
    stages, slow = np.concatenate(own), np.concatenate(other)
    decision = stages[:, DECISION].sum(axis=1)
    name = f"decision_{campaigns}"
    report.add(measured(f"{name}_p50", [_p50(s) for s in own], "ns", note="from eligibility to the auction's end"))
    for label, q in (("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
        report.add(Figure(f"{name}_{label}", float(np.quantile(decision, q)), "ns"))
    report.add(
        measured(
            f"{name}_p99_over_p50",
            [float(np.quantile(s[:, DECISION].sum(axis=1), 0.99)) / _p50(s) for s in own],
            "times",
            "<= 2",
            note="by piece of the stream",
        )
    )
    report.add(measured(f"{name}_p50_with_lightgbm_c_api", [_p50(s) for s in other], "ns"))
    report.add(Figure(f"{name}_p99_with_lightgbm_c_api", float(np.quantile(slow[:, DECISION].sum(axis=1), 0.99)), "ns"))
    report.add(measured(f"{name}_ratio_to_lightgbm_c_api", ratios, "times", f">= {_DECISION_GOALS[campaigns]}"))
    for j, stage in enumerate(STAGES):
        report.add(
            Figure(
                f"{name}_stage_{stage}",
                float(np.median(stages[:, j])),
                "ns",
                note="median" + ("; not part of the decision" if j not in DECISION else ""),
            )
        )
    rest = decision - stages[:, STAGES.index("pcvr")]
    share = float(np.median(rest) / np.median(stages[:, STAGES.index("pcvr")]))
    report.add(Figure(f"{name}_all_but_scoring_over_scoring", share, "times", goal="<= 1" if campaigns == 100 else ""))
    return stages


def _p50(stages: NDArray[np.float64]) -> float:
    return float(np.median(stages[:, DECISION].sum(axis=1)))


def _under_load(report: Report, options: Namespace) -> list[tuple[float, NDArray[np.float64]]]:
    """Requests that arrive whether or not the loop is free, at rising rates.

    The knee is where p99 passes ten times the unloaded p50.
    """
    count = 1_000 if options.quick else 6_000
    shares = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.4)
    market = market_of(100, options.seed, (len(shares) + 2) * count, 100_000)
    market.stages(market.ours, count)
    capacity = 1e9 / float(market.stages(market.ours, count).sum(axis=1).mean())
    found = [
        (share * capacity, market.open_loop(market.ours, count, share * capacity, options.seed)) for share in shares
    ]
    quiet = float(np.median(found[0][1]))
    knee = max([rate for rate, times in found if np.quantile(times, 0.99) <= 10 * quiet], default=0.0)
    report.add(Figure("open_loop_capacity", capacity, "requests/s", note="100 eligible, one core, world included"))
    for (_, times), share in zip(found, shares, strict=True):
        for label, q in (("p50", 0.5), ("p99", 0.99)):
            report.add(
                Figure(
                    f"open_loop_{label}_at_{share:.0%}",
                    float(np.quantile(times, q)),
                    "ns",
                    note="from arrival to settlement",
                )
            )
    report.add(
        Figure(
            "open_loop_knee", knee, "requests/s", note="the highest rate tried whose p99 is below 10 x the unloaded p50"
        )
    )
    report.add(Figure("open_loop_knee_share", knee / capacity, "of capacity"))
    return found


def _growth(options: Namespace) -> dict[str, list[tuple[int, float, float]]]:
    """Nanoseconds a row, ours and LightGBM's C API, as trees, leaves and features grow."""
    count, repeats = 20_000, 3 if options.quick else 5
    tried: dict[str, list[tuple[int, tuple[int, int, int]]]] = {
        "trees": [(t, (t, 31, 32)) for t in (10, 30, 100, 300)],
        "leaves": [(v, (100, v, 32)) for v in (7, 15, 31, 63, 127)],
        "features": [(f, (100, 31, f)) for f in (8, 16, 32, 64)],
    }
    found: dict[str, list[tuple[int, float, float]]] = {}
    for what, shapes in tried.items():
        found[what] = []
        for size, (trees, leaves, columns) in shapes[:: 2 if options.quick else 1]:
            path = models.model(trees, leaves, columns, count=count)
            ours, _ = _ours(path, columns)
            x = models.rows(8_000, columns, 17, missing=False)
            own, theirs = _alternating(ours, [lightgbm_c(path, columns)], x, repeats, 1_000)
            found[what].append((size, statistics.median(own), statistics.median(theirs["lightgbm_c_api"])))
    return found


_COLD = """
import json, time
begun = time.perf_counter()
import bidsim
imported = time.perf_counter()
s = bidsim.load_scenario("scenarios/second_price_truthful.toml", {"requests": 10, "history.requests": 100})
bidsim.run(s, progress=lambda *a: None)
first = time.perf_counter()
bidsim.run(s, progress=lambda *a: None)
print(json.dumps({"import": imported - begun, "first": first - begun, "again": time.perf_counter() - first}))
"""


def _cold_start(report: Report, options: Namespace) -> None:
    with tempfile.TemporaryDirectory() as empty:
        # the cold process fills the cache that the warm one reads
        order = ["cold", "warm", "warm", "warm"]
        found = (
            [(kind, _start({"BIDSIM_CACHE": empty})) for kind in order] if not options.quick else [("warm", _start({}))]
        )
    warm = [f for kind, f in found if kind == "warm"]
    report.add(measured("start_import", [f["import"] for f in warm], "s", note="to import bidsim"))
    report.add(
        measured(
            "start_first_run_warm",
            [f["first"] for f in warm],
            "s",
            note="from the interpreter's start to the first run's end, kernels on disk",
        )
    )
    cold = [f["first"] for kind, f in found if kind == "cold"]
    report.add(
        measured("start_first_run_cold", cold, "s", note="nothing on disk")
        if cold
        else Figure("start_first_run_cold", None, "s", note="nothing on disk")
    )


def _start(variables: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _COLD],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
        cwd=Path(__file__).resolve().parent.parent,
    )
    loaded: dict[str, float] = json.loads(done.stdout)
    return loaded


def clock_overhead() -> float:
    """Nanoseconds that reading the clock takes."""
    return _clock(100_000)


@kernel()
def _read_often(count: int) -> int:
    total = 0
    for _ in range(count):
        total += ticks() & 1
    return total


def _clock(count: int) -> float:
    _read_often(10)
    begun = time.perf_counter_ns()
    _read_often(count)
    return (time.perf_counter_ns() - begun) / count
