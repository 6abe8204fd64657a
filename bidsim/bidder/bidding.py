"""From eligible campaigns to bids: predicted rate, value, pacing, policy, budget, internal auction."""

from __future__ import annotations

from bidsim.bidder.exploration import explore_bids
from bidsim.bidder.faults import disturb_predictions
from bidsim.bidder.ledger import ACCOUNT
from bidsim.bidder.tables import END, PACER, PACES, POLICY, Bidder
from bidsim.core.contracts import OUT_OF_REACH, call_offers
from bidsim.core.kernel import kernel
from bidsim.core.random import draw
from bidsim.core.reasons import BUDGET, INTERNAL, NO_BID, OUTBID, PACED
from bidsim.core.requests import Requests
from bidsim.core.scoring import ScoreTask, call_score, put_task, take_task
from bidsim.core.units import DAY, MINUTE, least_price_of


@kernel(inner=True)
def prepare_tasks(bidder: Bidder) -> None:
    """Lay down what each seat's scorer is handed; to be done whenever the bidder's arrays may have moved."""
    seats, tables, desk = bidder.seats, bidder.tables, bidder.desk
    for seat in range(seats.scorer.shape[0]):
        task = ScoreTask(
            tables.ints[seats.ints[seat] : seats.ints[seat + 1]],
            tables.floats[seats.floats[seat] : seats.floats[seat + 1]],
            tables.narrow[seats.narrow[seat] : seats.narrow[seat + 1]],
            tables.wide[seats.wide[seat] : seats.wide[seat + 1]],
            desk.offers.campaign,
            desk.features,
            desk.truth,
            desk.offers.pcvr,
        )
        put_task(seats.task[seat], task)


@kernel(inner=True)
def predict(bidder: Bidder, time: int, lo: int, count: int) -> None:
    """Predicted rate and value of rows ``lo`` to ``count``, a seat at a time."""
    offers, seats, first = bidder.desk.offers, bidder.seats, lo
    while lo < count:
        seat = bidder.campaigns.seat[offers.campaign[lo]]
        hi = lo + 1
        while hi < count and bidder.campaigns.seat[offers.campaign[hi]] == seat:
            hi += 1
        if seats.oracle[seat]:
            for k in range(lo, hi):
                bidder.desk.truth[k] = bidder.port.rate[offers.campaign[k]]
        call_score(bidder.calls.score[seats.scorer[seat]], (take_task(seats.task[seat]), lo, hi))
        lo = hi
    if bidder.rules.faults:
        disturb_predictions(bidder, time, first, count)
    for k in range(first, count):
        offers.value[k] = offers.pcvr[k] * bidder.campaigns.value[offers.campaign[k]]


@kernel(inner=True)
def traffic_passed(bidder: Bidder, time: int) -> float:
    """Share of the run's expected traffic before ``time``."""
    curve = bidder.curve
    minute = min(time // MINUTE, curve.shape[0] - 2)
    # the last minute may be cut off by the end
    part = min((time - minute * MINUTE) / min(MINUTE, bidder.rules.duration - minute * MINUTE), 1.0)
    return curve[minute] + part * (curve[minute + 1] - curve[minute])


@kernel(inner=True)
def fill_offers(bidder: Bidder, requests: Requests, i: int, count: int) -> None:
    """Write what is known of each eligible campaign before anyone bids."""
    campaigns, offers, rules, request = bidder.campaigns, bidder.desk.offers, bidder.rules, requests.number[i]
    floor = max(requests.floor[i], rules.reserve)
    for k in range(count):
        c = offers.campaign[k]
        offers.multiplier[k] = 1.0
        offers.active[k] = 1
        offers.floor[k] = floor
        offers.bid[k] = 0
        offers.won[k] = 0
        offers.payment[k] = 0
        offers.price[k] = 0
        offers.minimum[k] = 0
        offers.propensity[k] = 1.0
        offers.lift[k] = offers.pcvr[k]
        if rules.oracles and bidder.seats.oracle[campaigns.seat[c]]:
            offers.lift[k] = bidder.port.lift[c]
        offers.dice[k] = draw(bidder.keys.policy, request, campaigns.id[c], 0)
        if rules.by_click:
            if rules.users:
                offers.quality[k] = campaigns.quality[c]
            offers.value[k] /= offers.quality[k]
            offers.floor[k] = least_price_of(floor / offers.quality[k])
    if rules.episode > 0:
        _tell_episode(bidder, request, count)
    else:
        _tell_budgets(bidder, requests.time[i], count)


@kernel(inner=True)
def _tell_episode(bidder: Bidder, request: int, count: int) -> None:
    offers, episode = bidder.desk.offers, bidder.rules.episode
    for k in range(count):
        account = bidder.ledger.accounts[bidder.campaigns.account[offers.campaign[k]]]
        offers.budget[k] = account[ACCOUNT.daily]
        offers.spent[k] = account[ACCOUNT.today]
        offers.passed[k] = (request % episode) / episode


@kernel(inner=True)
def _tell_budgets(bidder: Bidder, time: int, count: int) -> None:
    """Write each campaign's budget, what is spent of it, and how much of its traffic has passed."""
    campaigns, offers = bidder.campaigns, bidder.desk.offers
    passed, dawn = traffic_passed(bidder, time), time // DAY * DAY
    since, until = traffic_passed(bidder, dawn), traffic_passed(bidder, dawn + DAY)
    for k in range(count):
        c = offers.campaign[k]
        account = bidder.ledger.accounts[campaigns.account[c]]
        begun, ends = campaigns.passed_from[c], campaigns.passed_from[c] + campaigns.passed_share[c]
        if campaigns.by_day[c]:
            begun, ends = max(begun, since), min(ends, until)
        offers.budget[k] = account[ACCOUNT.daily] if campaigns.by_day[c] else account[ACCOUNT.budget]
        offers.spent[k] = spent_so_far(bidder, c)
        offers.passed[k] = min(max((passed - begun) / max(ends - begun, 1e-12), 0.0), 1.0)


@kernel(inner=True)
def spent_so_far(bidder: Bidder, campaign: int) -> int:
    """What is spent of the budget that is paced: of the flight's, or of the day's or episode's."""
    account = bidder.ledger.accounts[bidder.campaigns.account[campaign]]
    by_day = bidder.rules.episode > 0 or bidder.campaigns.by_day[campaign]
    return account[ACCOUNT.today] if by_day else account[ACCOUNT.spent]


@kernel(inner=True)
def end_of_group(bidder: Bidder, group: int, lo: int, count: int) -> int:
    """First offer at or after ``lo`` that belongs to a later group."""
    hi = lo
    while hi < count and bidder.desk.offers.campaign[hi] < bidder.groups[group, END]:
        hi += 1
    return hi


@kernel(inner=True)
def sit_out(bidder: Bidder, count: int, watched: int) -> None:
    """Note rows ``count`` to ``watched`` as out of money."""
    for k in range(count, watched):
        bidder.desk.reason[k] = BUDGET
        bidder.desk.wanted[k] = 0


@kernel(inner=True)
def place_bids(bidder: Bidder, requests: Requests, i: int, count: int, nothing: bool) -> None:
    """Let pacers and policies decide, group by group; explore, cut bids to the budget and say who does not bid.

    Where ``nothing`` is a bid, too, it is one nano, the least that a book can hold; what it was is charged.
    """
    desk, offers, lo = bidder.desk, bidder.desk.offers, 0
    for g in range(bidder.groups.shape[0]):
        hi = end_of_group(bidder, g, lo, count)
        if hi > lo:
            group = bidder.groups[g]
            if group[PACES]:
                pacer_state = (offers, lo, hi, bidder.pacer_floats, bidder.pacer_ints)
                call_offers(bidder.calls.pace[group[PACER]], pacer_state)
            policy_state = (offers, lo, hi, bidder.policy_floats, bidder.policy_ints)
            call_offers(bidder.calls.bid[group[POLICY]], policy_state)
        lo = hi
    if bidder.rules.exploration > 0.0:
        explore_bids(bidder, requests, i, count)
    for k in range(count):
        desk.reason[k] = OUTBID
        if offers.active[k] == 0:
            offers.bid[k] = 0
            desk.reason[k] = PACED
        elif offers.bid[k] <= 0 and not nothing:
            offers.bid[k] = 0
            desk.reason[k] = NO_BID
        # below what is out of reach, whatever a policy says
        offers.bid[k] = min(offers.bid[k], OUT_OF_REACH - 1)
        desk.wanted[k] = offers.bid[k]
        offers.bid[k] = min(offers.bid[k], offers.cap[k])
        if nothing and offers.active[k] and offers.bid[k] <= 0 and not bidder.rules.late:
            offers.bid[k] = 1


@kernel(inner=True)
def hold_internal_auctions(bidder: Bidder, count: int) -> None:
    """Keep only the best bid of each seat that sends one bid; equal bids by the seeded dice."""
    desk, offers = bidder.desk, bidder.desk.offers
    if bidder.rules.internal == 0:
        return
    desk.seat_best[:] = -1
    joint = bidder.rules.joint != 0
    for k in range(count):
        seat = bidder.campaigns.seat[offers.campaign[k]]
        if bidder.seats.internal[seat] and offers.bid[k] > 0:
            best = desk.seat_best[seat]
            # what the exchange ranks by: where positions are sold together, the bid for a click times the clicks
            mine = offers.bid[k] * (offers.quality[k] if joint else 1.0)
            highest = offers.bid[best] * (offers.quality[best] if joint else 1.0)
            if best < 0 or mine > highest or (mine == highest and offers.dice[k] > offers.dice[best]):
                desk.seat_best[seat] = k
    for k in range(count):
        seat = bidder.campaigns.seat[offers.campaign[k]]
        if bidder.seats.internal[seat] and offers.bid[k] > 0 and desk.seat_best[seat] != k:
            desk.reason[k] = INTERNAL
