"""`Simulation`: a built world that can be run once, chunk by chunk, and gives a `Result`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import BidsimError
from bidsim.core.reference import ref
from bidsim.engine.ahead import chunks_ahead
from bidsim.engine.incidents import disturb_traffic
from bidsim.engine.loop import finish_conversions, run_requests
from bidsim.engine.output import Names, output_tables
from bidsim.engine.purchases import advance_all
from bidsim.engine.sale import raise_breach
from bidsim.engine.store import bytes_per_user, grown
from bidsim.engine.tables import Chunk, Simulated, roomier
from bidsim.observers.funnel import EVENTUAL, PCVR, TRUE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.core.contracts import Rivals
    from bidsim.core.result import Columns
    from bidsim.traffic.stream import Traffic

CHUNK = 65_536
_MOST_NANOS = 2.0**62


@dataclass
class Simulation:
    """A built world.

    Attributes:
        sim: Everything the loop works on.
        traffic: The stream of requests.
        rivals: The market outside.
        names: Names behind the codes.
        chunk: Requests generated at a time; results do not depend on it.
        seconds: Wall time by stage, filled as it runs.

    """

    sim: Simulated
    traffic: Traffic
    rivals: Rivals
    names: Names
    chunk: int = CHUNK
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of requests that will come."""
        return self.traffic.arrivals.total

    def run(self, progress: Callable[[int], None] = lambda done: None) -> dict[str, Columns]:
        """Run to the end and return the tables; ``progress`` is called with the requests done since the last call.

        Raises:
            BidsimError: The auction format sold a position as none may, or sums of money grow too large.

        """
        begun = time.perf_counter()
        run_requests(ref(self.sim), ref(self.generate(0, 0)), 0)
        self.seconds["load"] = time.perf_counter() - begun
        begun = time.perf_counter()
        for chunk in chunks_ahead(self.total, self.chunk, self.generate):
            at, count = 0, len(chunk.requests.time)
            while (at := run_requests(ref(self.sim), ref(chunk), at)) < count:
                self.grow()
            raise_breach(self.sim.counters.breach, self.names.format)
            self._check_sums()
            progress(count)
        incremental = self._finish()
        self.seconds["loop"] = time.perf_counter() - begun
        return output_tables(self.sim, self.names, self.total, incremental)

    def _check_sums(self) -> None:
        """Refuse to go on where sums of money would leave the numbers that hold them.

        Raises:
            BidsimError: Sales or values come near 2**63 nanos.

        """
        counters, value = self.sim.counters, self.sim.campaigns.value.astype(np.float64)
        prices = np.maximum(value, self.sim.truth.price_nanos.astype(np.float64)) if self.sim.rules.users else value
        sums = np.maximum(
            counters.counts[:, EVENTUAL] * prices,
            np.maximum(counters.sums[:, PCVR], counters.sums[:, TRUE_RATE]) * value,
        )
        if sums.sum() > _MOST_NANOS:
            name = self.names.campaigns[int(np.argmax(sums))]
            raise BidsimError(
                f"sales of campaign {name!r} alone come to {sums.max() / 1e9:.3g}: sums of money end at {2**63 / 1e9:.3g}; count prices, values and budgets in thousands"
            )

    def snapshot(self) -> dict[str, Columns]:
        """Tables as they stand between two chunks; only what observers count is whole."""
        return output_tables(self.sim, self.names, self.total, self.sim.store.clocks[:0])

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the run."""
        return {
            "requests": self.total,
            "charge": "click" if self.sim.rules.by_click else "impression",
            "sampling": {
                "auctions": self.sim.rules.keep_wins,
                "requests": self.sim.rules.keep_decisions,
                "landscape": 1 / self.sim.rules.landscape_every,
            },
            "notes": list(self.rivals.notes),
            "users_seen": int(self.sim.store.used[0]),
            "state_bytes_per_user": round(bytes_per_user(self.sim.store), 1),
        }

    def generate(self, lo: int, hi: int) -> Chunk:
        """Make requests ``lo`` to ``hi`` with the rivals' bids."""
        requests, latent = self.traffic.chunk(lo, hi) if self.sim.rules.users else self.traffic.bare_chunk(lo, hi)
        rivals = np.zeros((hi - lo, self.rivals.depth), np.int64)
        self.rivals.fill(requests, latent, rivals)
        logged = np.zeros((1, 3)) if self.rivals.logged is None else np.ascontiguousarray(self.rivals.logged[lo:hi])
        chunk = Chunk(requests, latent, rivals, logged)
        if self.sim.rules.incidents:
            disturb_traffic(ref(chunk), ref(self.sim.incidents))
        return chunk

    def grow(self) -> None:
        """Make room where the loop stopped for want of it."""
        campaigns = len(self.sim.campaigns.id)
        logs = self.sim.logs
        self.sim = self.sim._replace(
            store=grown(self.sim.store, len(self.sim.truth.line_id), self.sim.rules.positions),
            logs=logs._replace(
                wins=roomier(logs.wins, self.sim.rules.positions),
                decisions=roomier(logs.decisions, campaigns),
                conversions=roomier(logs.conversions, 1),
            ),
        )

    def _finish(self) -> NDArray[np.int64]:
        """Let the run's last purchases happen, take stock, then let late ones come in.

        Returns:
            The clocks at the end of the run, int64[clocks, columns].

        """
        sim = self.sim
        if not sim.rules.users:
            return sim.store.clocks[:0]
        end = sim.rules.duration
        while not finish_conversions(ref(self.sim), end - 1):
            self.grow()
        advance_all(ref(self.sim.store), ref(sim.truth), ref(sim.keys), end - 1)
        clocks = self.sim.store.clocks[: int(self.sim.store.used[1])].copy()
        while not finish_conversions(ref(self.sim), end + sim.truth.window):
            self.grow()
        return clocks
