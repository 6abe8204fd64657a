"""The whole decision as `bidsim run` makes it: the engine's own loop with plug-ins, its stages stamped."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from bench.peers import fast_config
from bidsim.bidder.bidding import prepare_tasks
from bidsim.core.calls import addresses
from bidsim.core.kernel import kernel
from bidsim.core.reference import ref
from bidsim.core.scoring import SCORE_SIGNATURE, ScorerTables
from bidsim.cvr.features import WIDTH
from bidsim.cvr.lightgbm import MODEL_FILE
from bidsim.engine.deadline import DECISION as PARTS
from bidsim.engine.deadline import STAGES, stage_nanoseconds
from bidsim.engine.loop import lay_tasks, one_request, ready, run_requests
from bidsim.engine.tables import Chunk, Clock, State
from bidsim.kernels.clock import nanoseconds_per_tick, ticks
from bidsim.kernels.normal import sigmoid
from bidsim.scenario.build import build
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from bidsim.engine.engine import Engine

QUICKSTART = Path(__file__).resolve().parent.parent / "scenarios" / "quickstart.toml"
POLICIES: tuple[Any, ...] = ({"name": "shaded", "factor": 0.7}, {"name": "linear", "base_cpm": 2.0})
PACERS = ("adaptive", "even")
DECISION = [STAGES.index(name) for name in PARTS]


def market_of(campaigns: int, seed: int, requests: int, history: int) -> Market:
    """A market like quickstart's where every campaign may bid for every request, and has money to the end."""
    data = tomllib.loads(QUICKSTART.read_text(encoding="utf-8"))
    products = list(data["products"])
    data["campaigns"] = {
        f"campaign-{k}": {
            "advertiser": f"advertiser-{k % 18}",
            "product": products[k % len(products)],
            "budget": 1e6,
            "policy": POLICIES[k % len(POLICIES)],
            "pacing": PACERS[(k // len(POLICIES)) % len(PACERS)],
        }
        for k in range(campaigns)
    }
    data |= {
        "seed": seed,
        "requests": requests,
        "count": "exact",
        "history": {**data["history"], "requests": history},
        "log": {"wins": 0, "decisions": 0, "landscape_every": 10**9, "bucket": "7d"},
    }
    engine, models = build(scenario_of(data))
    every = Clock(np.zeros((requests + 1, len(STAGES) + 1), np.int64), np.zeros(1, np.int64))
    bidder, world = engine.state
    engine.state = State(bidder, world._replace(clock=every, rules=world.rules._replace(clock_every=1)))
    model = models.fitted[0]
    return Market(engine, model.text[MODEL_FILE], float(model.meta["offset"]))


@dataclass
class Market:
    """A built market that is run piece by piece, with one scorer or another.

    Attributes:
        engine: The world; it grows as it runs.
        model: Text of the seat's model.
        offset: What is added to its log-odds.

    """

    engine: Engine
    model: str
    offset: float
    _at: int = 0
    _kept: list[Any] = field(default_factory=list)

    @property
    def ours(self) -> State:
        """The world as it was built."""
        return self.engine.state

    def with_lightgbm(self) -> State:
        """The same world, its seat scored by LightGBM's single-row C API."""
        config, function, length = fast_config(self.model, WIDTH, raw=True)
        told = length.ctypes.data

        @numba.njit(SCORE_SIGNATURE)  # type: ignore[untyped-decorator]
        def score(task: Any, lo: Any, hi: Any) -> None:
            row = np.empty(WIDTH, np.float64)
            for k in range(lo, hi):
                for j in range(WIDTH):
                    row[j] = task.features[k, j]
                function(task.ints[0], row.ctypes.data, told, task.pcvr[k:].ctypes.data)
                task.pcvr[k] = sigmoid(task.pcvr[k] + task.floats[0])

        self._kept.append(score)  # what is called by its address must not be collected
        (bidder, world), ends = self.engine.state, np.array([0, 1], np.int64)
        tables = ScorerTables(
            np.array([config], np.int64), np.array([self.offset]), np.zeros(1, np.uint32), np.zeros(1, np.uint64)
        )
        seats = bidder.seats._replace(
            ints=ends,
            floats=ends,
            narrow=ends,
            wide=ends,
            whole_rows=np.ones(1, np.int64),
            task=bidder.seats.task.copy(),
        )
        calls = bidder.calls._replace(score=addresses([score], SCORE_SIGNATURE))
        return State(bidder._replace(calls=calls, tables=tables, seats=seats), world)

    def stages(self, sim: State, count: int) -> NDArray[np.float64]:
        """Nanoseconds of each stage of the next ``count`` requests."""
        chunk = self._next(count)
        sim.world.clock.used[0] = 0
        done, count = 0, len(chunk.requests.time)
        lay_tasks(ref(self._fitting(sim)))
        while (done := run_requests(ref(self._fitting(sim)), ref(chunk), done, count)) < count:
            self.engine.grow()
            lay_tasks(ref(self._fitting(sim)))
        return stage_nanoseconds(sim)

    def open_loop(self, sim: State, count: int, rate: float, seed: int) -> NDArray[np.float64]:
        """Nanoseconds from arrival to decision of requests that arrive at ``rate`` a second.

        They do not wait for the loop to be free.
        """
        chunk = self._next(count)
        due = (
            np.cumsum(np.random.default_rng(seed).exponential(1e9 / rate, len(chunk.requests.time)))
            / nanoseconds_per_tick()
        )
        done, at = np.zeros(len(due), np.int64), 0
        sim.world.clock.used[0] = 0
        while (at := _serve(ref(self._fitting(sim)), ref(chunk), due.astype(np.int64), done, at)) < len(due):
            self.engine.grow()
        return np.asarray(done * nanoseconds_per_tick())

    def _next(self, count: int) -> Chunk:
        chunk = self.engine.generate(self._at, self._at + count)
        self._at += count
        return chunk

    def _fitting(self, sim: State) -> State:
        """The scorer of ``sim`` in the world as it has grown."""
        bidder, world = self.engine.state
        own = sim.bidder
        return State(bidder._replace(calls=own.calls, tables=own.tables, seats=own.seats), world)


@kernel()
def _serve(sim: State, chunk: Chunk, due: NDArray[np.int64], done: NDArray[np.int64], first: int) -> int:
    """Take each request when it is due or when the loop is free, and note how long after its arrival it was decided.

    Returns:
        The first request not served; where state has to grow the clock stands still.

    """
    prepare_tasks(sim.bidder)
    begun = ticks() - due[first]
    for i in range(first, due.shape[0]):
        if not ready(sim, chunk, i):
            return i
        while ticks() - begun < due[i]:
            pass
        one_request(sim, chunk, i)
        done[i] = ticks() - begun - due[i]
    return due.shape[0]
