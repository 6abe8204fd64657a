"""`Engine`: a built world that is stepped through its requests, in order, and gives tables at the end.

Requests are generated in chunks of a fixed size, the next one in a second thread; how far a step goes changes nothing.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.flight import grown_flight
from bidsim.bidder.memory import grown_memory
from bidsim.core.errors import BidsimError
from bidsim.core.reference import hold, ref
from bidsim.core.units import NEVER
from bidsim.engine.feed import MISSED, grown_feed
from bidsim.engine.incidents import disturb_traffic
from bidsim.engine.loop import finish_conversions, finish_notices, lay_tasks, run_requests
from bidsim.engine.mail import grown_mail
from bidsim.engine.output import Names, output_tables
from bidsim.engine.purchases import advance_all
from bidsim.engine.rows import roomier
from bidsim.engine.sale import raise_breach
from bidsim.engine.snapshot import Snapshot, take, with_arrays
from bidsim.engine.tables import Chunk, State
from bidsim.engine.users import bytes_per_user, grown
from bidsim.observers.funnel import EVENTUAL, PCVR, TRUE_RATE

if TYPE_CHECKING:
    from bidsim.core.contracts import Rivals
    from bidsim.core.result import Columns
    from bidsim.traffic.stream import Traffic

CHUNK = 65_536
_MOST_NANOS = 2.0**62


@dataclass
class Engine:
    """A built world and how far it has come.

    Attributes:
        state: All that the loop works on; its arrays are changed in place.
        traffic: The stream of requests.
        rivals: The market outside.
        names: Names behind the codes.
        chunk: Requests generated at a time; results do not depend on it.
        done: Requests simulated so far.
        seconds: Wall time by stage, filled as it runs.

    """

    state: State
    traffic: Traffic
    rivals: Rivals
    names: Names
    chunk: int = CHUNK
    done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin before the first request."""
        self._now: tuple[int, Chunk, Any] | None = None
        self._ahead: tuple[int, Future[Chunk]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._held: Any = None
        self._first = take(self.state, 0)

    @property
    def total(self) -> int:
        """Number of requests that will come."""
        return self.traffic.arrivals.total

    def begin(self) -> None:
        """Load what is compiled, before anything is timed."""
        begun, world = time.perf_counter(), self.state.world
        run_requests(self._state(), hold(self.generate(0, 0)), 0, 0)
        finish_conversions(self._state(), -NEVER)
        if world.rules.late:
            finish_notices(self._state(), -NEVER)
        if self.done == 0:
            advance_all(ref(world.store), ref(world.truth), ref(world.keys), -NEVER)
        self.seconds["load"] = time.perf_counter() - begun

    def step(self, requests: int) -> int:
        """Simulate the next requests, at most to the end of the run; return how many there were.

        Raises:
            BidsimError: The auction format sold a position as none may, or sums of money grow too large.

        """
        goal, begun = min(self.done + requests, self.total), self.done
        while self.done < goal:
            start, chunk, held = self._chunk()
            at, until = self.done - start, min(goal - start, len(chunk.requests.time))
            while True:
                at = run_requests(self._state(), held, at, until)
                if at >= until:
                    break
                self.grow()
            self.done = start + until
            if self.state.world.counters.breach[0] or until == len(chunk.requests.time):
                self._check()
        return self.done - begun

    def until(self, moment: int) -> int:
        """Number of requests that come before ``moment``, microseconds, and are not simulated yet."""
        ahead = 0
        while self.done + ahead < self.total:
            start = (self.done + ahead) // self.chunk * self.chunk
            chunk = (
                self._chunk()[1] if start <= self.done else self.generate(start, min(start + self.chunk, self.total))
            )
            before = start + int(np.searchsorted(chunk.requests.time, moment, side="left"))
            ahead = max(before - self.done, 0)
            if before < start + len(chunk.requests.time):
                break
        return ahead

    def finish(self) -> dict[str, Columns]:
        """Run to the end, let late notices and conversions come in, and return the tables."""
        self.step(self.total)
        incremental = self._finish()
        self.close()
        return output_tables(self.state, self.names, self.total, incremental)

    def close(self) -> None:
        """End the thread that makes requests ahead."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._ahead = None

    def look(self) -> dict[str, Columns]:
        """Tables as they stand; only what observers count is whole."""
        return output_tables(self.state, self.names, self.total, self.state.world.store.clocks[:0])

    def snapshot(self) -> Snapshot:
        """Copy the state as it stands between two requests."""
        return take(self.state, self.done)

    def restore(self, snapshot: Snapshot | None = None) -> None:
        """Go back (or on) to a snapshot of this world; without one to its beginning.

        Raises:
            BidsimError: The snapshot is of another world or version.

        """
        chosen = self._first if snapshot is None else snapshot
        self.state, self.done, self._held = with_arrays(self.state, chosen), chosen.done, None

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the run."""
        rules, every = self.state.world.rules, self.state.world.rules.landscape_every
        return {
            "requests": self.total,
            "charge": "click" if rules.by_click else "impression",
            "sampling": {"auctions": rules.keep_wins, "requests": rules.keep_decisions, "landscape": 1 / every},
            "notes": list(self.rivals.notes),
            "users_seen": int(self.state.world.store.used[0]),
            "state_bytes_per_user": round(bytes_per_user(self.state.world.store, self.state.bidder.memory), 1),
        }

    def generate(self, lo: int, hi: int) -> Chunk:
        """Make requests ``lo`` to ``hi`` with the rivals' bids.

        Raises:
            BidsimError: There are no such requests.

        """
        if not 0 <= lo <= hi <= self.total:
            raise BidsimError(f"requests {lo:,} to {hi:,} are not all among the {self.total:,} of this run")
        world = self.state.world
        requests, latent = self.traffic.chunk(lo, hi) if world.rules.users else self.traffic.bare_chunk(lo, hi)
        rivals = np.zeros((hi - lo, self.rivals.depth), np.int64)
        self.rivals.fill(requests, latent, rivals)
        logged = np.zeros((1, 3)) if self.rivals.logged is None else np.ascontiguousarray(self.rivals.logged[lo:hi])
        chunk = Chunk(requests, latent, rivals, logged)
        if world.rules.incidents:
            disturb_traffic(ref(chunk), ref(world.incidents))
        return chunk

    def grow(self) -> None:
        """Make room where the loop stopped for want of it."""
        bidder, world = self.state
        campaigns, lines, positions = len(bidder.campaigns.id), len(world.truth.line_id), world.rules.positions
        logs, late = world.logs, world.rules.late
        memory = grown_memory(bidder.memory, lines, lines + positions)
        self.state = State(
            bidder._replace(memory=memory, flight=grown_flight(bidder.flight, campaigns) if late else bidder.flight),
            world._replace(
                store=grown(world.store, lines, positions),
                seen=grown_memory(world.seen, lines, lines + positions) if late else memory,
                feed=grown_feed(world.feed),
                mail=grown_mail(world.mail, campaigns) if late else world.mail,
                logs=logs._replace(
                    wins=roomier(logs.wins, positions),
                    decisions=roomier(logs.decisions, campaigns),
                    conversions=roomier(logs.conversions, 1),
                ),
            ),
        )
        self._held = None

    def _state(self) -> Any:
        """The state as compiled code takes it, laid down once for as long as its arrays stay where they are."""
        if self._held is None:
            self._held = hold(self.state)
            lay_tasks(self._held)
        return self._held

    def _chunk(self) -> tuple[int, Chunk, Any]:
        """Chunk in which the next request lies, where it begins, and how compiled code takes it."""
        start = self.done // self.chunk * self.chunk
        if self._now is None or self._now[0] != start:
            chunk = self._made(start)
            self._now = start, chunk, hold(chunk)
            following = start + self.chunk
            if following < self.total:
                self._pool = self._pool or ThreadPoolExecutor(max_workers=1)
                made = self._pool.submit(self.generate, following, min(following + self.chunk, self.total))
                self._ahead = following, made
        return self._now

    def _made(self, start: int) -> Chunk:
        if self._ahead is not None and self._ahead[0] == start:
            return self._ahead[1].result()
        return self.generate(start, min(start + self.chunk, self.total))

    def _check(self) -> None:
        """Refuse to go on where a format sold what none may, or sums would leave the numbers that hold them.

        Raises:
            BidsimError: One of both, or sales or values come near 2**63 nanos.

        """
        bidder, world = self.state
        raise_breach(world.counters.breach, self.names.format)
        if world.feed.used[MISSED]:
            raise BidsimError("users buy thousands of times within purchases.delay; shorten it")
        counters, value = world.counters, bidder.campaigns.value.astype(np.float64)
        prices = np.maximum(value, world.truth.price_nanos.astype(np.float64)) if world.rules.users else value
        believed = np.maximum(counters.sums[:, PCVR], counters.sums[:, TRUE_RATE]) * value
        sums = np.maximum(counters.counts[:, EVENTUAL] * prices, believed)
        if sums.sum() > _MOST_NANOS:
            name = self.names.campaigns[int(np.argmax(sums))]
            raise BidsimError(
                f"sales of campaign {name!r} alone come to {sums.max() / 1e9:.3g}: sums of money end at "
                f"{2**63 / 1e9:.3g}; count prices, values and budgets in thousands"
            )

    def _finish(self) -> NDArray[np.int64]:
        """Let the run's last purchases and notices happen, take stock, then let late ones come in.

        Returns:
            The clocks at the end of the run, int64[clocks, columns].

        """
        end = self.state.world.rules.duration
        if self.state.world.rules.late:
            while not finish_notices(self._state(), NEVER - 1):
                self.grow()
        if not self.state.world.rules.users:
            return self.state.world.store.clocks[:0]
        while not finish_conversions(self._state(), end - 1):
            self.grow()
        world = self.state.world
        advance_all(ref(world.store), ref(world.truth), ref(world.keys), end - 1)
        clocks = world.store.clocks[: int(world.store.used[1])].copy()
        while not finish_conversions(self._state(), end + world.truth.window):
            self.grow()
        return clocks
