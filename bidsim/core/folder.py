"""Run directories on disk: written beside their place, swapped in whole, and cleared of what killed runs left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
MODELS = "model"
REPORT = "report.html"
ADVERTISERS = "advertisers"
CONSUMABLES = "consumables.html"
MONITOR = "monitor.html"
PAGE_MARK = b'<meta name="generator" content="bidsim">'
"""What every page that bidsim writes holds near its beginning."""
TABLES = frozenset({
    "auctions", "bid_arms",
    "learned",
    "notices", "bids", "campaigns", "conversions", "delays", "explorations", "incrementality", "landscape",
    "latency", "market", "population", "requests", "scores", "seats", "slices", "timeline",
})  # fmt: skip
"""Every table that a run may have."""

_OURS = {MANIFEST, SUMMARY, MODELS, REPORT, ADVERTISERS, CONSUMABLES, MONITOR, *(f"{name}.parquet" for name in TABLES)}
_TEMPORARY = ".part-"
_LEFT = re.compile(re.escape(_TEMPORARY) + r"(?P<name>.+)-(?P<token>[0-9a-f]{12}|\d+)(?P<state>|-old|-gone)")
"""A part of a run: one that is being written, one that another replaces, one of which nothing is kept."""
_HALF_WRITTEN = re.compile(r"\..+\.part-\d+")
_BEGINNING = 1_000
_SCRATCH = "bidsim-worlds-"
_ABANDONED_SECONDS = 24 * 3600.0


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Write a run directory; it appears under its name only when it is complete.

    Who writes holds a lock on the folder that is being written, which ends with the process wherever that ran, also on
    another machine or in another container that shares the place.

    Args:
        target: Its place; an older run there is replaced, and what is not bidsim's is carried over.
        write: Fills the empty folder that it is called with.

    Raises:
        OSError: It cannot be written.

    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_TEMPORARY}{target.name}-{secrets.token_hex(6)}"
    with _locked(target.parent, wait=True):
        _remove_leftovers(target.parent)
        temporary.mkdir()
        held = _lock(temporary, wait=False)
    try:
        write(temporary)
        for written in temporary.rglob("*"):
            _sync(written)
        _sync(temporary)
        with _locked(target.parent, wait=True):
            _swap_in(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        _unlock(held)


def digest_of(content: bytes) -> str:
    """Hash of a file's content, as manifests keep it."""
    return hashlib.sha256(content).hexdigest()


def digest_of_manifest(manifest: dict[str, Any]) -> str:
    """Hash of a manifest, but for the entry that keeps it."""
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return digest_of(json.dumps(rest, sort_keys=True).encode())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap_in(temporary: Path, target: Path) -> None:
    """Put the new run in place; an older one of the same name steps aside first."""
    aside = temporary.with_name(f"{temporary.name}-old")
    replaces = target.exists()
    if replaces:
        target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        if replaces and not target.exists():
            aside.rename(target)
        raise
    _sync(target.parent)
    if replaces:
        _drop_replaced(aside, target)


def _drop_replaced(aside: Path, target: Path) -> None:
    """Drop a run that another took the place of, but for what is not bidsim's."""
    _keep_foreign(aside, target)
    gone = aside.with_name(f"{aside.name.removesuffix('-old')}-gone")
    aside.rename(gone)  # from here on nothing of it is kept, whenever it is that this process ends
    shutil.rmtree(gone, ignore_errors=True)


def _keep_foreign(old: Path, new: Path) -> None:
    """Carry over what a person put into the older run; pages about it go with it."""
    ours = _OURS | {f"{name}.parquet" for name in _tables_named_in(old / MANIFEST)}
    for entry in old.iterdir():
        theirs = entry.name not in ours and not _HALF_WRITTEN.fullmatch(entry.name) and not is_page(entry)
        if theirs and not (new / entry.name).exists():
            entry.rename(new / entry.name)


def _tables_named_in(manifest: Path) -> list[str]:
    """Tables of a run of any version; none where its manifest is lost."""
    try:
        named = json.loads(manifest.read_text(encoding="utf-8"))["tables"]
        return [name for name in named if isinstance(name, str)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def is_page(path: Path) -> bool:
    """Whether it is a page that bidsim wrote, or the JSON of one, under whatever name."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        if path.suffix == ".json":
            return {"advertiser", "headline"} <= set(json.loads(path.read_text(encoding="utf-8")))
        with path.open("rb") as file:
            return PAGE_MARK in file.read(_BEGINNING)
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _remove_leftovers(parent: Path) -> None:
    """Drop parts that a killed run left behind, and finish what it had begun to replace.

    What is being written stays.
    """
    for left in sorted(parent.glob(f"{_TEMPORARY}*")):
        found = _LEFT.fullmatch(left.name)
        if found is None or not left.is_dir():
            continue
        with _locked(left, wait=False) as free:
            if not free:
                continue
            target = parent / found["name"]
            if found["state"] != "-old":
                shutil.rmtree(left, ignore_errors=True)
            elif target.exists():
                _drop_replaced(left, target)
            else:
                left.rename(target)


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a folder; give whether nobody else does."""
    held = _lock(folder, wait=wait)
    try:
        yield held is not None
    finally:
        _unlock(held)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Take the lock of a folder; None where another has it.

    Where the file system knows no locks, a folder that nobody wrote to for a day counts as free, and the lock that it
    is
    for waiting is not waited for.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        if not wait and time.time() - os.fstat(handle).st_mtime < _ABANDONED_SECONDS:
            os.close(handle)
            return None
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        with suppress(OSError):
            os.close(handle)


def refuse_taken(target: Path, *, is_run: bool) -> None:
    """Refuse a place that is taken by something else than a run.

    Raises:
        RunDirectoryError: It is.

    """
    if target.exists() and not is_run and not (target.is_dir() and not any(target.iterdir())):
        raise RunDirectoryError(f"{target} exists and is not a run directory; choose another place with --out")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that ends with the block; those that killed processes of this user left are cleared before."""
    place = Path(tempfile.gettempdir())
    _clear_scratch(place)
    name = f"{_SCRATCH}{secrets.token_hex(6)}"
    hidden = place / f".{name}"
    hidden.mkdir(mode=0o700)
    held = _lock(hidden, wait=False)
    folder = hidden.rename(place / name)  # under the name that is cleared only when it is locked
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unlock(held)


def _clear_scratch(place: Path) -> None:
    for left in place.glob(_SCRATCH + "[0-9a-f]" * 12):
        with suppress(OSError):
            if not left.is_dir() or left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            with _locked(left, wait=False) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
