"""`kernel`: numba's njit with a disk cache that notices a change in *any* file a kernel is built from.

numba keys its cache by the file of the function alone, so a helper edited in another file goes
unnoticed. Here every module's kernels live in a directory named by the hash of that module's source
and of all the bidsim sources it imports, directly or not. Editing one policy recompiles that policy;
the request loop, which calls policies by their addresses, stays cached.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core.caching import UserProvidedCacheLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")

PACKAGE = Path(__file__).resolve().parent.parent
KERNELS: list[Any] = []
"""Every dispatcher made here, for counting compilations."""

_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n#]+)|import\s+([\w.]+))", re.MULTILINE)
_STALE_SECONDS = 30 * 24 * 3600


def kernel(signature: Any = None, *, allocates: bool = False, inner: bool = False, **options: Any) -> Callable[[F], F]:
    """Compile a function with numba, releasing the GIL, and cache it on disk where its source is a file.

    Args:
        signature: The family's explicit numba signature for a plug-in kernel, or None for a helper
            that is specialised at its first call.
        allocates: Whether the function makes arrays. Helpers that do not only borrow their arrays, and
            are compiled without reference counting, which would cost more than most of them do.
        inner: Whether only other kernels call it; then nothing is compiled for calls from Python.
        options: Passed on to ``numba.njit``.

    """

    def decorate(function: F) -> F:
        source = Path(function.__code__.co_filename)
        settings = {"cache": source.is_file(), "nogil": True, "error_model": "numpy", **options}
        if signature is None and not allocates:
            settings["_nrt"] = False
        if inner:
            settings |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        with _cache_directory(source):
            made = (
                numba.njit(**settings)(function) if signature is None else numba.njit(signature, **settings)(function)
            )
        KERNELS.append(made)
        return made

    return decorate


def compilations() -> tuple[int, int]:
    """Return (kernels loaded from the disk cache, kernels compiled) by this process so far."""
    hits = misses = 0
    for made in KERNELS:
        stats = getattr(made, "stats", None)
        if stats is not None:
            hits += sum(stats.cache_hits.values())
            misses += sum(stats.cache_misses.values())
    return hits, misses


def cache_root() -> Path:
    """Return the folder of all compiled kernels: ``$BIDSIM_CACHE``, else the user's cache, else a temporary one."""
    chosen = os.environ.get("BIDSIM_CACHE")
    try:
        root = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bidsim"
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except (OSError, RuntimeError):  # a user without a home
        root = Path(tempfile.gettempdir()) / f"bidsim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        root.mkdir(parents=True, exist_ok=True)
    return root


@contextmanager
def _cache_directory(source: Path) -> Iterator[None]:
    previous = numba.config.CACHE_DIR, getattr(numba.config, "CACHE_LOCATOR_CLASSES", "")
    if source.is_file():
        numba.config.CACHE_DIR = str(_kernels_folder() / source_digest(source.resolve()))
        numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{Locator.__name__}"
    try:
        yield
    finally:
        numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES = previous


class Locator(UserProvidedCacheLocator):  # type: ignore[misc]
    """Keeps kernels by what they are built from, wherever that lies.

    Two checkouts of one version share what is compiled.
    """

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        name = _from_package(Path(file).resolve()).replace("/", "-")
        if not Path(file).resolve().is_relative_to(PACKAGE):
            # what is kept finds its globals by the name of the module, and one file may be loaded under several
            name = f"{function.__module__}-{name}"
        self._cache_path = str(Path(numba.config.CACHE_DIR) / name)


@cache
def _kernels_folder() -> Path:
    folder = cache_root() / "kernels" / f"numba-{numba.__version__}-py{sys.version_info[0]}.{sys.version_info[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    prune(folder)
    return folder


def prune(folder: Path) -> None:
    """Drop files and folders that no run has used for a month, so that edits do not pile up for ever."""
    now = time.time()
    for old in folder.iterdir():
        try:
            inside = list(old.iterdir()) if old.is_dir() else [old]
            newest = max((f.stat().st_atime for f in inside), default=old.stat().st_mtime)
            if now - newest <= _STALE_SECONDS:
                continue
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink(missing_ok=True)
        except OSError:
            continue


@cache
def source_digest(file: Path) -> str:
    """Hash of a Python file and of every bidsim or sibling file that it imports, directly or not."""
    closure: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in closure:
            closure.add(current)
            waiting.extend(_imported(current))
    digest = hashlib.sha256()
    for path in sorted(closure):
        digest.update(_from_package(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _from_package(path: Path) -> str:
    """Path of a source from the package on, or its name alone."""
    return path.relative_to(PACKAGE.parent).as_posix() if path.is_relative_to(PACKAGE.parent) else path.name


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for match in _IMPORT.finditer(file.read_text(encoding="utf-8")):
        module, names, plain = match[1], match[2], match[3]
        base = module or plain
        candidates = [base]
        if names:
            candidates += [
                f"{base}.{name.split(' as ')[0].strip()}" for name in names.strip("() \n").replace("\n", " ").split(",")
            ]
        for candidate in candidates:
            path = _module_file(candidate, file)
            if path is not None:
                found.append(path)
    return tuple(found)


def _module_file(module: str, importer: Path) -> Path | None:
    parts = module.strip(".").split(".")
    root = PACKAGE.parent if parts[0] == PACKAGE.name else importer.parent
    for path in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts) / "__init__.py"):
        if path.is_file():
            return path
    return None
