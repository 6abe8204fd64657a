"""What an operator is told says no more than the intervals do."""

from __future__ import annotations

import pytest

from bidsim.monitoring.cells import Slice
from bidsim.monitoring.detector import Alarm
from bidsim.monitoring.pages import FEWER, MORE, Page, Sounded
from bidsim.monitoring.signals import CONVERSIONS, PRICE, Signal
from bidsim.monitoring.words import advice
