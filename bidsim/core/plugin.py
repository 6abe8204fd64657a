"""The base of every plug-in."""

from __future__ import annotations

from typing import ClassVar

from bidsim.core.settings import Settings


class Plugin:
    """Base of every plug-in: its parameters, and who published the idea.

    Attributes:
        Params: Settings that a scenario may give; defaults make a usable plug-in.

    """

    Params: ClassVar[type[Settings]] = Settings
