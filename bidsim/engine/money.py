"""What a sold position costs, and who earns it."""

from __future__ import annotations

from bidsim.core.kernel import kernel
from bidsim.core.units import nanos_of
from bidsim.engine.mail import COUNT, delay_of
from bidsim.engine.tables import State

PUBLISHERS, EXCHANGE = range(2)
"""Columns of `World.revenue`."""


@kernel(inner=True)
def charge(sim: State, s: int, effect: float, clicked: int) -> int:
    """Nanos due for position ``s``: its price on a click, or its price in proportion to the position's view rate."""
    price = sim.world.scratch.outcome.payment[s]
    if sim.world.rules.by_click:
        return price if clicked else 0
    return price if effect == 1.0 else nanos_of(price * effect)


@kernel(inner=True)
def billed(sim: State, request: int, campaign: int, due: int) -> int:
    """What is billed of the nanos that are due: nothing where the notice that bills them does not come in time."""
    if sim.world.rules.late == 0:
        return due
    mail = sim.world.mail
    if delay_of(mail, sim.world.keys.notices, request, sim.bidder.campaigns.id[campaign]) >= 0:
        return due
    mail.counts[COUNT.unbilled_nanos] += due
    return 0


@kernel(inner=True)
def earn(sim: State, payment: int) -> None:
    """Share a payment between the exchange's fee and the publishers, to the last nano."""
    fee = min(nanos_of(payment * sim.world.rules.fee), payment)
    sim.world.revenue[PUBLISHERS] += payment - fee
    sim.world.revenue[EXCHANGE] += fee
