"""Purchases that are due happen, are credited, and are reported."""

from __future__ import annotations

from bidsim.bidder.memory import memory_has_room
from bidsim.core.kernel import kernel
from bidsim.engine.incidents import LOST, report_time
from bidsim.engine.purchases import Conversion, due, next_conversion
from bidsim.engine.rows import CONVERSION, WIN, log_has_room, take_row
from bidsim.engine.tables import State
from bidsim.observers import funnel, slices, timeline


@kernel(inner=True)
def take_conversions(sim: State, time: int) -> bool:
    """Carry out the purchases due by ``time``; False where something must grow first."""
    world, memory = sim.world, sim.bidder.memory
    while due(world.store, time):
        if not log_has_room(world.logs.conversions, 1):
            return False
        if world.feed.how and not memory_has_room(memory, world.truth.line_id.shape[0], 1):
            return False
        found = next_conversion(world.store, world.truth, world.keys, world.feed, memory)
        if found.campaign >= 0:
            _count_conversion(sim, found)
    return True


@kernel(inner=True)
def _count_conversion(sim: State, found: Conversion) -> None:
    counters = sim.world.counters
    counts, amounts = counters.counts[found.campaign], counters.amounts[found.campaign]
    reported = found.time
    if sim.world.rules.incidents:
        reported = report_time(sim, found.campaign, found.user, found.time)
    observed = reported != LOST and reported < sim.world.rules.duration
    counts[funnel.EVENTUAL] += 1
    amounts[funnel.SALES_EVENTUAL] += found.value
    if observed:
        counts[funnel.CONVERSIONS] += 1
        counts[funnel.AD_DRIVEN] += found.ad_driven
        amounts[funnel.SALES] += found.value
        _count_report(sim, found, reported)
    _keep_conversion(sim, found, observed, reported)


@kernel(inner=True)
def _count_report(sim: State, found: Conversion, reported: int) -> None:
    """Count a conversion where and when it is reported, and in the row of its impression."""
    world, counters = sim.world, sim.world.counters
    bucket, window = reported // world.rules.bucket, world.rules.slice_window
    credited, arrived = found.credit_time // window, reported // window
    slices.count_conversion(counters.slices, found.levels, found.rate, found.campaign, credited, arrived)
    timeline.count(counters.timeline, found.campaign, bucket, timeline.CONVERSIONS, 1)
    timeline.count(counters.timeline, found.campaign, bucket, timeline.SALES, found.value)
    if found.row >= 0:
        world.logs.wins.ints[found.row, WIN.converted] = 1
        world.logs.wins.ints[found.row, WIN.conversion_time_us] = found.time


@kernel(inner=True)
def _keep_conversion(sim: State, found: Conversion, observed: bool, reported: int) -> None:
    log = sim.world.logs.conversions
    ints = log.ints[take_row(log)]
    ints[CONVERSION.time_us] = found.time
    ints[CONVERSION.user] = found.user
    ints[CONVERSION.campaign] = found.campaign
    ints[CONVERSION.credit_time_us] = found.credit_time
    ints[CONVERSION.value_nanos] = found.value
    ints[CONVERSION.ad_driven] = found.ad_driven
    ints[CONVERSION.observed] = 1 if observed else 0
    ints[CONVERSION.plain_would_have] = found.plain_would_have
    ints[CONVERSION.reported_us] = reported
