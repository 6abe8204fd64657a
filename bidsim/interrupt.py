"""Ctrl-C that is never lost: an interrupt that some library swallows is raised again at the next step of progress."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_asked = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Remember an interrupt until the block ends.

    Callbacks of compiled code can only print theirs, which is not shown.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    previous, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook

    def ask(number: int, frame: Any) -> None:
        _asked.set()
        raise KeyboardInterrupt

    def show(told: Any) -> None:
        if not isinstance(told.exc_value, KeyboardInterrupt):
            hook(told)

    signal.signal(signal.SIGINT, ask)
    sys.unraisablehook = show
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        sys.unraisablehook = hook


def stop_if_asked() -> None:
    """Raise the interrupt that came within `interruptible` and was lost.

    Raises:
        KeyboardInterrupt: There was one.

    """
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt
