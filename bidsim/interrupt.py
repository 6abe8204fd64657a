"""Ctrl-C that is never lost: an interrupt that some library swallows is raised again at the next step of progress.

A request to end (SIGTERM) and a terminal that closes (SIGHUP) count as Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked, _later = threading.Event(), threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Remember an interrupt until the block ends.

    Callbacks of compiled code can only print theirs, which is not shown.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    hook = sys.unraisablehook

    def ask(number: int, frame: Any) -> None:
        _asked.set()
        if not _later.is_set():
            raise KeyboardInterrupt

    def show(told: Any) -> None:
        if not isinstance(told.exc_value, KeyboardInterrupt):
            hook(told)

    taken = [n for n in _SIGNALS if n == signal.SIGINT or previous[n] != signal.SIG_IGN]  # nohup ignores a SIGHUP
    for number in taken:
        signal.signal(number, ask)
    sys.unraisablehook = show
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, previous[number])
        sys.unraisablehook = hook


@contextmanager
def whole() -> Iterator[None]:
    """Let a step be done whole: an interrupt that comes within `interruptible` is raised after it.

    Processes that are started in the step are deaf to interrupts, and leave them to this one.

    Raises:
        KeyboardInterrupt: There was one.

    """
    ours = threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    if ours:
        _later.set()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if ours:
            _later.clear()
    if ours:
        stop_if_asked()


def stop_if_asked() -> None:
    """Raise the interrupt that came within `interruptible` and was lost.

    Raises:
        KeyboardInterrupt: There was one.

    """
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt
