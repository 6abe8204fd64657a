"""State of users: what is found for one campaign alone is what is found for all, on users who come back early and late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.memory import (
    EXPOSURE,
    FORGET,
    SEEN,
    Memory,
    empty_memory,
    expose,
    find_exposure,
    forget_exposures,
    grown_memory,
    known_purchase,
    learn_purchase,
    meet,
    memory_has_room,
    recall_exposures,
)
from bidsim.core.kernel import kernel
from bidsim.core.reference import ref
from bidsim.core.units import DAY, HOUR, NEVER

_CAMPAIGNS = 5


@kernel()
def _among_all(
    memory: Memory, exposure_of: NDArray[np.int64], at: int, campaign: int, time: int, cap_window: NDArray[np.int64]
) -> int:
    recall_exposures(memory, exposure_of, at, time, cap_window)
    entry = exposure_of[campaign]
    forget_exposures(memory, exposure_of, at)
    return entry


@kernel()
def _alone(memory: Memory, at: int, campaign: int, time: int, cap_window: NDArray[np.int64]) -> int:
    return find_exposure(memory, at, campaign, time, cap_window)


@kernel()
def _shown(memory: Memory, at: int, entry: int, campaign: int, time: int) -> None:
    expose(memory, at, entry, campaign, time)


@kernel()
def _meet(memory: Memory, user: int) -> int:
    return meet(memory, user)


@kernel()
def _learn(memory: Memory, user: int, line: int, time: int) -> None:
    learn_purchase(memory, meet(memory, user), line, time)


@kernel()
def _known(memory: Memory, user: int, line: int) -> int:
    return known_purchase(memory, meet(memory, user), line)


def test_find_exposure__of_one_campaign_as_of_all() -> None:
    """Two stores see the same; in one only the campaign shown is looked at, which must not matter later."""
    dice = np.random.default_rng(4)
    cap_window = np.array([0, 0, 60 * DAY, HOUR, 45 * DAY])
    first, second = empty_memory(3), empty_memory(3)
    for memory in (first, second):
        memory.table[:, EXPOSURE] = -1
    exposure_of, at = np.full(_CAMPAIGNS, -1), np.zeros(3, np.int64)
    found, missing = 0, 0
    for _ in range(3_000):
        slot, campaign = int(dice.integers(3)), int(dice.integers(_CAMPAIGNS))
        at[slot] += int(dice.exponential(8 * DAY))
        time = int(at[slot])
        whole = _among_all(ref(first), exposure_of, slot, campaign, time, cap_window)
        alone = _alone(ref(second), slot, campaign, time, cap_window)
        assert (whole < 0) == (alone < 0)
        if whole >= 0:
            found += 1
            assert (
                first.exposures[whole, [SEEN.last, SEEN.times]].tolist()
                == second.exposures[alone, [SEEN.last, SEEN.times]].tolist()
            )
            assert time - first.exposures[whole, SEEN.last] <= max(FORGET, cap_window[campaign])
            assert first.frequency[whole] == second.frequency[alone]
            counted = first.exposures[whole, SEEN.times]
            assert first.ring[whole, :counted].tolist() == second.ring[alone, :counted].tolist()
        else:
            missing += 1
        _shown(ref(first), slot, whole, campaign, time)
        _shown(ref(second), slot, alone, campaign, time)
    assert found > 500
    assert missing > 500


def test_memory__keeps_what_it_knows_as_it_grows() -> None:
    """Against a dictionary: thousands of users and purchases in a memory that begins with room for a few."""
    dice, memory = np.random.default_rng(1), empty_memory(1, users=2)
    known: dict[tuple[int, int], int] = {}
    for _ in range(5_000):
        while not memory_has_room(ref(memory), 1, 1):
            memory = grown_memory(memory, 1, 1)
        user, line, time = int(dice.integers(700)), int(dice.integers(4)), int(dice.integers(-1_000, 10**9))
        _learn(ref(memory), user, line, time)
        known[user, line] = max(known.get((user, line), -NEVER), time)
    memory = grown_memory(memory, 3_000, 1)  # those looked for are met too
    for user in range(700):
        for line in range(4):
            assert _known(ref(memory), user, line) == known.get((user, line), -NEVER)


def test_meet__numbers_users_in_the_order_of_first_sight() -> None:
    memory = empty_memory(1)
    seen = [9, 4, 9, 2**62, 0, 4]
    slots = [int(memory.table[_meet(ref(memory), user), 1]) for user in seen]
    assert slots == [0, 1, 0, 2, 3, 1]
