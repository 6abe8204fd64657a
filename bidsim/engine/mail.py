"""Notices on their way from the exchange to bidders, where a scenario lets them come late or get lost.

An impression is billed by its notice. One that is lost, or comes after the bidder has given the bid up, bills nothing:
then the ad was shown, and nobody pays for it. What becomes of a notice is a function of its bid's dice, so the world
knows it when the impression is served.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.kernel import kernel
from bidsim.core.random import uniform, uniform_open
from bidsim.core.units import SECOND
from bidsim.kernels.distributions import quantile
from bidsim.kernels.heap import heap_pop, heap_push

I64 = NDArray[np.int64]
NOTICE = columns(("bid", "won", "payment", "price", "minimum", "link"))
"""Columns of `Mail.notices`."""
WAITING, FREE, TOP = range(3)
"""Columns of `Mail.used`: notices that wait, head of the free rows, rows ever used."""
COUNTS = ("bids", "wins", "lost", "late", "lost_wins", "late_wins", "unbilled_nanos")
COUNT = columns(COUNTS)
"""Columns of `Mail.counts`: bids that reached the exchange, wins among them, notices lost or later than the bid's
expiry, wins among these, and what they would have cost."""
LOST, TOO_LATE = -1, -2
_LOSS, _DELAY = range(2)
_LONGEST = 2.0**60


class Mail(NamedTuple):
    """Notices on their way.

    Fields: ``heap`` int64[n, 2], due time and row; ``notices`` int64[n, 6] and ``effect`` float64[n], relative view
    rate of the position; ``used`` int64[3]; ``counts`` int64[7]; ``kind``, ``a`` and ``b`` of the distribution of
    delays in seconds, see kernels.distributions; ``lost`` share of notices that get lost; ``expire`` microseconds.
    """

    heap: I64
    notices: I64
    effect: NDArray[np.float64]
    used: I64
    counts: I64
    kind: int
    a: float
    b: float
    lost: float
    expire: int


def open_mail(rows: int, delay: tuple[int, float, float], lost: float, expire: int) -> Mail:
    """Open the mail, with room for ``rows`` notices at once."""
    return Mail(
        heap=np.zeros((rows, 2), np.int64),
        notices=np.zeros((rows, len(NOTICE)), np.int64),
        effect=np.zeros(rows),
        used=np.array([0, -1, 0], np.int64),
        counts=np.zeros(len(COUNTS), np.int64),
        kind=int(delay[0]),
        a=float(delay[1]),
        b=float(delay[2]),
        lost=float(lost),
        expire=int(expire),
    )


@kernel()
def mail_has_room(mail: Mail, notices: int) -> bool:
    """Whether ``notices`` more can wait."""
    return mail.used[WAITING] + notices <= mail.notices.shape[0]


def grown_mail(mail: Mail, notices: int) -> Mail:
    """Return a mail with room for ``notices`` more; itself where it has that."""
    if int(mail.used[WAITING]) + notices <= len(mail.notices):
        return mail
    old, rows = len(mail.notices), 2 * len(mail.notices) + notices
    larger = mail._replace(
        heap=np.zeros((rows, 2), np.int64),
        notices=np.zeros((rows, len(NOTICE)), np.int64),
        effect=np.zeros(rows),
    )
    larger.heap[:old], larger.notices[:old], larger.effect[:old] = mail.heap, mail.notices, mail.effect
    return larger


@kernel(inner=True)
def delay_of(mail: Mail, key: np.uint64, request: int, campaign_id: int) -> int:
    """Microseconds until the notice of a bid comes.

    `LOST` where it gets lost, `TOO_LATE` where the bid expires before.
    """
    if uniform(key, request, campaign_id, _LOSS) < mail.lost:
        return LOST
    seconds = quantile(mail.kind, mail.a, mail.b, uniform_open(key, request, campaign_id, _DELAY))
    delay = int(min(max(seconds * SECOND, 0.0), _LONGEST))
    return delay if delay < mail.expire else TOO_LATE


@kernel(inner=True)
def post(mail: Mail, due: int, bid: int, won: int, payment: int, price: int, minimum: int, effect: float) -> None:
    """Send a notice that comes at ``due``."""
    row = mail.used[FREE]
    if row >= 0:
        mail.used[FREE] = mail.notices[row, NOTICE.link]
    else:
        row = mail.used[TOP]
        mail.used[TOP] += 1
    notice = mail.notices[row]
    notice[NOTICE.bid], notice[NOTICE.won], notice[NOTICE.payment] = bid, won, payment
    notice[NOTICE.price], notice[NOTICE.minimum] = price, minimum
    mail.effect[row] = effect
    mail.used[WAITING] = heap_push(mail.heap, mail.used[WAITING], due, row)


@kernel(inner=True)
def open_first(mail: Mail) -> int:
    """Take the earliest notice out and return its row, which stays readable until the next is sent."""
    row = mail.heap[0, 1]
    mail.used[WAITING] = heap_pop(mail.heap, mail.used[WAITING])
    mail.notices[row, NOTICE.link] = mail.used[FREE]
    mail.used[FREE] = row
    return row
