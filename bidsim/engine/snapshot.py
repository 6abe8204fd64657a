"""The state of a run as plain arrays, by name: copied, put back, written to disk and read again."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import BidsimError
from bidsim.core.files import write_whole
from bidsim.engine.rows import Log, empty_log
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from bidsim.engine.tables import State

FORMAT = 1
"""Raised whenever arrays of the state get another meaning."""
FIXED = (
    *("bidder/calls", "bidder/tables", "bidder/seats", "bidder/curve", "bidder/campaigns", "bidder/keys"),
    *("bidder/rules", "world/calls", "world/truth", "world/keys", "world/rules", "world/clock", "world/value_floats"),
    *("world/value_ints",),
)
"""Parts that a scenario fixes, or that belong to a process: they are not copied."""
_ROWS = ("ints", "floats", "features")
"""Arrays of a log, of which only the rows in use are copied."""
_SAME = ("world/seen", "world/scratch/exposure_of")
"""Parts that are the bidders' own where notices come at once."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a run between two requests.

    Attributes:
        done: Requests simulated.
        arrays: Every array that may change, by its place, such as ``bidder/memory/users``.
        world: Digest of the scenario that it belongs to, empty where it never left the process.

    """

    done: int
    arrays: Mapping[str, NDArray[Any]]
    world: str = ""

    def save(self, path: str | Path, world: str) -> None:
        """Write the snapshot to a file, whole or not at all; ``world`` is the digest of the scenario."""
        packed = io.BytesIO()
        head = {"format": FORMAT, "version": VERSION, "world": world, "done": self.done, "hash": _digest(self.arrays)}
        names = list(self.arrays)
        columns: dict[str, Any] = {f"array_{n}": self.arrays[name] for n, name in enumerate(names)}
        text = json.dumps({**head, "names": names}).encode()
        np.savez(packed, head=np.frombuffer(text, np.uint8), **columns)
        write_whole(Path(path), packed.getbuffer())


def load_snapshot(path: str | Path, world: str) -> Snapshot:
    """Read a snapshot of the scenario with the digest ``world``.

    Raises:
        BidsimError: There is none, it is damaged, or it is of another version or scenario.

    """
    try:
        with np.load(path, allow_pickle=False) as packed:
            head = json.loads(packed["head"].tobytes())
            same = (head["format"], head["version"], head["world"]) == (FORMAT, VERSION, world)
            arrays = {name: packed[f"array_{n}"] for n, name in enumerate(head["names"])} if same else {}
    except FileNotFoundError:
        raise BidsimError(f"there is no snapshot {path}") from None
    except Exception as error:
        raise BidsimError(f"{path} is damaged ({type(error).__name__}): run the scenario from its beginning") from error
    if (head["format"], head["version"]) != (FORMAT, VERSION):
        raise BidsimError(
            f"{path} was written by bidsim {head['version']}, format {head['format']}; this is {VERSION}, "
            f"format {FORMAT}: run the scenario from its beginning"
        )
    if head["world"] != world:
        raise BidsimError(f"{path} is of another scenario or seed: run this one from its beginning")
    if _digest(arrays) != head["hash"]:
        raise BidsimError(f"{path} is damaged (its arrays are not those written): run the scenario from its beginning")
    return Snapshot(int(head["done"]), arrays, world)


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _parts(value: Any, place: str, same: bool) -> Iterator[tuple[str, NDArray[Any]]]:
    if place in FIXED or (same and place in _SAME):
        return
    if isinstance(value, np.ndarray):
        yield place, value
    elif isinstance(value, Log):
        used = int(value.used[0])
        yield from ((f"{place}/{name}", getattr(value, name)[:used]) for name in _ROWS)
        yield f"{place}/used", value.used
    elif hasattr(value, "_fields"):
        for name in value._fields:
            yield from _parts(getattr(value, name), f"{place}/{name}" if place else name, same)


def take(state: State, done: int) -> Snapshot:
    """Copy the state."""
    same = not state.world.rules.late
    return Snapshot(done, {place: array.copy() for place, array in _parts(state, "", same)})


def with_arrays(state: State, snapshot: Snapshot) -> State:
    """Return the state with the arrays of a snapshot.

    Raises:
        BidsimError: The snapshot does not have the arrays of this state.

    """
    same = not state.world.rules.late
    wanted = dict(_parts(state, "", same))
    if set(wanted) != set(snapshot.arrays):
        raise BidsimError("the snapshot is of another world: its arrays are not those of this one")
    for place, array in wanted.items():
        given = snapshot.arrays[place]
        if given.dtype != array.dtype or given.ndim != array.ndim or given.shape[1:] != array.shape[1:]:
            raise BidsimError(f"the snapshot is of another world: {place} does not fit")
    put: State = _put(state, "", snapshot.arrays, same)
    if same:
        scratch = put.world.scratch._replace(exposure_of=put.bidder.desk.exposure_of)
        put = put._replace(world=put.world._replace(seen=put.bidder.memory, scratch=scratch))
    return put


def _put(value: Any, place: str, arrays: Mapping[str, NDArray[Any]], same: bool) -> Any:
    if place in FIXED or (same and place in _SAME):
        return value
    if isinstance(value, np.ndarray):
        return arrays[place].copy()
    if isinstance(value, Log):
        return _put_rows(value, {name: arrays[f"{place}/{name}"] for name in Log._fields})
    if hasattr(value, "_fields"):
        return value._replace(
            **{
                name: _put(getattr(value, name), f"{place}/{name}" if place else name, arrays, same)
                for name in value._fields
            }
        )
    return value


def _put_rows(log: Log, rows: Mapping[str, NDArray[Any]]) -> Log:
    """Return a log with these rows, and room as before."""
    used = int(rows["used"][0])
    put = empty_log(max(len(log.ints), used), log.ints.shape[1], log.floats.shape[1], log.features.shape[1])
    for name in _ROWS:
        getattr(put, name)[:used] = rows[name]
    put.used[0] = used
    return put
