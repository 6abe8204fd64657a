"""No pacing: bid until the money is gone."""

from __future__ import annotations

from bidsim.core.contracts import Pacer


class Unpaced(Pacer):
    """The budget alone ends the campaign."""
