"""State of users: what is found for one campaign alone is what is found for all, on users who come back early and late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.reference import ref
from bidsim.core.units import DAY, HOUR
from bidsim.engine.store import FORGET, SEEN, TIMES, empty_store, expose, find_exposure, find_exposures, release
from bidsim.engine.tables import Scratch, Store, empty_scratch

_CAMPAIGNS = 5


@kernel()
def _among_all(
    store: Store, scratch: Scratch, slot: int, campaign: int, time: int, cap_window: NDArray[np.int64]
) -> int:
    find_exposures(store, scratch, slot, time, cap_window)
    entry = scratch.exposure_of[campaign]
    release(store, scratch, slot)
    return entry


@kernel()
def _alone(store: Store, slot: int, campaign: int, time: int, cap_window: NDArray[np.int64]) -> int:
    return find_exposure(store, slot, campaign, time, cap_window)


@kernel()
def _shown(store: Store, slot: int, entry: int, campaign: int, time: int) -> None:
    expose(store, slot, entry, campaign, time)


def test_find_exposure__of_one_campaign_as_of_all() -> None:
    """Two stores see the same; in one only the campaign shown is looked at, which must not matter later."""
    dice = np.random.default_rng(4)
    cap_window = np.array([0, 0, 60 * DAY, HOUR, 45 * DAY])
    first, second = empty_store(3), empty_store(3)
    for store in (first, second):
        store.users[:, 1:] = -1
    scratch, at = empty_scratch(_CAMPAIGNS, 1, 1, 1), np.zeros(3, np.int64)
    found, missing = 0, 0
    for _ in range(3_000):
        slot, campaign = int(dice.integers(3)), int(dice.integers(_CAMPAIGNS))
        at[slot] += int(dice.exponential(8 * DAY))
        time = int(at[slot])
        whole = _among_all(ref(first), ref(scratch), slot, campaign, time, cap_window)
        alone = _alone(ref(second), slot, campaign, time, cap_window)
        assert (whole < 0) == (alone < 0)
        if whole >= 0:
            found += 1
            assert first.exposures[whole, [SEEN, TIMES]].tolist() == second.exposures[alone, [SEEN, TIMES]].tolist()
            assert time - first.exposures[whole, SEEN] <= max(FORGET, cap_window[campaign])
            assert first.frequency[whole] == second.frequency[alone]
            counted = first.exposures[whole, TIMES]
            assert first.ring[whole, :counted].tolist() == second.ring[alone, :counted].tolist()
        else:
            missing += 1
        _shown(ref(first), slot, whole, campaign, time)
        _shown(ref(second), slot, alone, campaign, time)
    assert found > 500
    assert missing > 500
