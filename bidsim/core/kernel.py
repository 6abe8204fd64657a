"""`kernel`: numba's njit with a disk cache that notices a change in *any* file a kernel is built from.

numba keys its cache by the file of the function alone, so a helper edited in another file goes
unnoticed. Here every module's kernels live in a directory named by the hash of that module's source
and of all the bidsim sources it imports, directly or not. Editing one policy recompiles that policy;
the request loop, which calls policies by their addresses, stays cached.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core import dispatcher
from numba.core.caching import FunctionCache, UserProvidedCacheLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")

PACKAGE = Path(__file__).resolve().parent.parent
KERNELS: list[Any] = []
"""Every dispatcher made here, for counting compilations."""

_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n#]+)|import\s+([\w.]+))", re.MULTILINE)
_KERNELS = Path("kernels") / f"numba-{numba.__version__}-py{sys.version_info[0]}.{sys.version_info[1]}"
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
        folder = _kernels_folder() if source.is_file() else None
        settings = {"cache": folder is not None, "nogil": True, "error_model": "numpy", **options}
        if signature is None and not allocates:
            settings["_nrt"] = False
        if inner:
            settings |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        with _cache_directory(source, folder):
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
        root = second_root()
        with suppress(OSError):  # whoever keeps something there finds out
            root.mkdir(parents=True, exist_ok=True)
    return root


def second_root() -> Path:
    """Return the temporary folder that takes what the cache has no room for."""
    return Path(tempfile.gettempdir()) / f"bidsim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


@contextmanager
def _cache_directory(source: Path, folder: Path | None) -> Iterator[None]:
    previous = numba.config.CACHE_DIR, getattr(numba.config, "CACHE_LOCATOR_CLASSES", "")
    if source.is_file() and folder is not None:
        numba.config.CACHE_DIR = str(folder / source_digest(source.resolve()))
        numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{Locator.__name__}"
        dispatcher.FunctionCache = KernelCache  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES = previous
        dispatcher.FunctionCache = FunctionCache  # type: ignore[attr-defined]


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Compiled kernels on disk; those that it has no room for go to a temporary folder, or are compiled each time."""

    def __init__(self, function: Any) -> None:
        try:
            super().__init__(function)
        except RuntimeError:  # numba's word for a folder that cannot be made
            self._enabled = False
        self._function = function
        self._second: FunctionCache | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load from the cache, else from the temporary folder."""
        found = None
        with suppress(OSError):
            found = super().load_overload(sig, target_context)
        if found is None and _second_folder().is_dir():
            second = self._elsewhere()
            with suppress(OSError):
                found = None if second is None else second.load_overload(sig, target_context)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel, wherever there is room."""
        try:
            if not self._enabled:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
            super().save_overload(sig, data)
        except OSError as error:
            second, kept = self._elsewhere(), False
            with suppress(OSError):
                if second is not None:
                    second.save_overload(sig, data)
                    kept = True
            _tell(error, kept=kept)

    def _elsewhere(self) -> FunctionCache | None:
        """The same kernel's cache in the temporary folder; None where there can be none."""
        if self._second is None and _kernels_folder() != _second_folder():
            with suppress(RuntimeError), _cache_directory(Path(self._function.__code__.co_filename), _second_folder()):
                self._second = FunctionCache(self._function)
        return self._second


_told: list[bool] = []


def _tell(error: OSError, *, kept: bool) -> None:
    """Say once, on standard error, which folder has no room, and where kernels go instead."""
    if kept not in _told:
        _told.append(kept)
        instead = f"they go to {second_root()} for now" if kept else "they are compiled again each time"
        sys.stderr.write(
            f"note: compiled kernels cannot be kept in {cache_root()} ({error.strerror or error}); {instead}; "
            "make room there, or set BIDSIM_CACHE to another folder\n"
        )


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
def _kernels_folder() -> Path | None:
    """Where kernels are kept; None where no folder can be made, not even a temporary one."""
    for root in (cache_root(), second_root()):
        with suppress(OSError):
            (root / _KERNELS).mkdir(parents=True, exist_ok=True)
            prune(root / _KERNELS)
            return root / _KERNELS
    return None


def _second_folder() -> Path:
    return second_root() / _KERNELS


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
