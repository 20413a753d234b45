"""How a process spends a limit that it shares with others. Pure: no I/O, no clock; times are seconds of any one clock.

The database counts, for each key, the requests of the last minute that were reported to it, and what is set aside for
processes. A process has admitted, and not reported, no more than what is set aside for it and a small allowance that it
need not ask for. So the requests of any minute exceed the limit by at most the allowances of all processes, and what is
set aside in vain falls short of it by at most all that may be set aside: each is 1/25 of the limit.
"""

from enum import Enum, auto
from math import inf

from accredit.limits.models import Grant, Use

WINDOW = 60.0
"""Seconds for which a request counts."""

USABLE = 10.0
"""Seconds within which a process may spend what is set aside for it; it counts for ``WINDOW`` after them."""

TICK = 0.5
"""Seconds whose requests are reported as one, and may count for so much longer."""

_PART = 25  # the allowances, and what is set aside, are each at most this part of the limit, over all processes


class Limit:
    """So many requests a minute, and what one of the processes may do without asking: at first nothing.

    ``allowance``: requests admitted before they are reported. ``portion``: requests set aside at a time; 0 where there
    are too few to keep any in hand, so that what is asked for is used, and to be reported, at once.
    ``margin``: the allowances of all processes, which may yet be reported after one of them has refused a request.
    """

    __slots__ = ("allowance", "margin", "portion", "requests")

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.margin = requests // _PART
        self.allowance = 0
        self.portion = 0

    def share(self, processes: int, *, known: bool) -> None:
        """Share the limit among ``processes``. No allowance while this one is not ``known`` to the others."""
        part = self.requests // (_PART * processes)
        self.allowance = part if known else 0
        self.portion = part


class Standing(Enum):
    """What an account is good for."""

    READY = auto()
    LOW = auto()
    """Ready, but it is time to ask for more."""
    EMPTY = auto()
    """The database must be asked first."""
    REFUSED = auto()
    """The limit is reached."""


class Account:
    """What one process has admitted for one key and not yet reported, and what it may still admit.

    ``waiting``: the requests that await the database's answer.
    """

    __slots__ = (
        "_left",
        "_refused_until",
        "_retry_at",
        "_sent",
        "_set_aside",
        "_total",
        "_usable_until",
        "_uses",
        "waiting",
    )

    def __init__(self) -> None:
        self._uses: list[tuple[int, int]] = []  # (tick, requests), oldest first
        self._sent: list[tuple[int, int]] | None = None  # those whose report is under way
        self._total = 0  # of both
        self._set_aside = 0
        self._usable_until = 0.0
        self._refused_until = 0.0
        self._retry_at = 0.0
        self._left: float = inf  # what the limit had left for anybody at the last answer
        self.waiting = 0

    @property
    def asking(self) -> bool:
        """Whether a report is under way."""
        return self._sent is not None

    def standing(self, now: float, limit: Limit) -> Standing:
        """What the account is good for at ``now``."""
        if now < self._refused_until:
            return Standing.REFUSED
        if self._uses and self._uses[0][0] < (oldest := _oldest(now)):
            self._forget(oldest)
        allowance = min(limit.allowance, self._left)
        spare = allowance - self._total
        if now < self._usable_until:
            spare += self._set_aside
        if spare <= 0:
            return Standing.EMPTY
        # With half of the allowance left, what was set aside is used up: it is not there to be given back.
        return Standing.LOW if spare <= allowance // 2 and self._sent is None else Standing.READY

    def retry_after(self, now: float) -> float:
        """Seconds from ``now`` that whoever is refused should wait."""
        return self._retry_at - now

    def use(self, now: float) -> None:
        """Note a request that is admitted at ``now``."""
        tick = int(now / TICK)
        if self._uses and self._uses[-1][0] == tick:
            self._uses[-1] = (tick, self._uses[-1][1] + 1)
        else:
            self._uses.append((tick, 1))
        self._total += 1

    def unreported(self, now: float) -> list[Use]:
        """The uses that no report has taken and that still count."""
        return _uses(self._uses, now)

    def report(self, now: float) -> list[Use]:
        """Begin to ask: what to tell the database. :meth:`granted` or :meth:`failed` must follow."""
        self._forget(_oldest(now))
        self._sent, self._uses = self._uses, []
        return _uses(self._sent, now)

    def granted(self, grant: Grant, *, asked: float, now: float) -> None:
        """Take the answer, at ``now``, to what was ``asked`` at that time."""
        self._drop_sent()
        self._set_aside = grant.requests
        self._usable_until = asked + USABLE
        self._left = grant.left
        # What was admitted meanwhile makes the wait longer: that is known once it is reported.
        if not grant.requests and not self._total:
            self._refused_until = now + grant.wait
            self._retry_at = now + grant.retry_after

    def failed(self) -> None:
        """Keep what could not be reported."""
        sent = self._sent or []
        if sent and self._uses and sent[-1][0] == self._uses[0][0]:
            tick, requests = self._uses.pop(0)
            sent[-1] = (tick, sent[-1][1] + requests)
        self._uses, self._sent = sent + self._uses, None

    def _drop_sent(self) -> None:
        self._total -= sum(requests for _, requests in self._sent or ())
        self._sent = None

    def _forget(self, oldest: int) -> None:
        while self._uses and self._uses[0][0] < oldest:
            self._total -= self._uses.pop(0)[1]


def _oldest(now: float) -> int:
    """The oldest tick of which anything still counts."""
    return int((now - WINDOW) / TICK)


def _uses(ticks: list[tuple[int, int]], now: float) -> list[Use]:
    """Ticks as the database is told of them: their requests are taken to have come at their end, or just now."""
    ages = ((now - (tick + 1) * TICK, requests) for tick, requests in ticks)
    return [Use(max(age, 0.0), requests) for age, requests in ages if age < WINDOW]
