"""When the next request may start: as fast as it can, until the endpoint says 429; from then on just under its limit.

Pure: no clock of its own, no I/O. All moments are seconds of one steady clock.

How the limit is learned. Only the answers tell of it: a 429 says that it is reached, and its ``Retry-After`` when it
is no longer. Partner Center's limits are so many requests in a minute, whether counted over the last sixty seconds or
by the clock's minutes. So what was admitted in the minute before a 429 *is* the limit, if that whole minute was ours;
if it was not (we had just begun, and someone used it before us), nothing is learned but to wait. With the limit known,
requests are spread evenly at ``_SHARE`` of it, the rest being room for the network's jitter. A limit may rise, and
others who share it may go away: after each quiet minute a little more is tried, twice as much each time, and the next
429 says exactly how much is right again. Tries that fail are made less often.
"""

from collections import deque

WINDOW = 60.0
"""Seconds over which the endpoint's limit holds."""

_SHARE = 0.99
_STEP = 0.01
_SMALL_CLIMB = 4 * _STEP
_LONGEST_HOLD = 4
_CATCH_UP = 1 / 30


class Pace:
    """The pace of one run. ``window``: seconds over which the limit holds."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._admitted: deque[float] = deque()
        self._began: float | None = None
        self._limit: float | None = None
        self._paused_until = 0.0
        self._refused_at: float | None = None
        self._due = 0.0
        self._step = _STEP
        self._hold = 1
        self._look_at = 0.0

    @property
    def limit(self) -> float | None:
        """The limit as far as it is learned: requests in a window."""
        return self._limit

    def paused(self, now: float) -> float:
        """Seconds for which nothing may start, since an answer said so; 0: it may."""
        return max(0.0, self._paused_until - now)

    def delay(self, now: float) -> float:
        """Seconds until the next request may start. 0: now, and it counts as started."""
        self._began = now if self._began is None else self._began
        if self.paused(now):
            return self.paused(now)
        self._learn(now)
        if self._limit is None:
            return 0.0
        if now < self._due:
            return self._due - now
        interval = self._window / (self._limit * _SHARE)
        # Time that was lost, by a pause or a slow moment, is made up for, but not more than a little of it at once.
        self._due = max(self._due, now - _CATCH_UP * self._window) + interval
        return 0.0

    def admitted(self, now: float) -> None:
        """A request was answered otherwise than with 429: it counted against the limit."""
        self._admitted.append(now)
        self._forget(now)

    def refused(self, now: float, retry_after: float) -> None:
        """A request was answered 429, to be tried again after ``retry_after`` seconds."""
        if now >= self._paused_until:
            self._refused_at = now
        self._paused_until = max(self._paused_until, now + retry_after)

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing start for so many seconds, for another reason than the limit."""
        self._paused_until = max(self._paused_until, now + seconds)

    def _learn(self, now: float) -> None:
        """Draw the conclusions of a 429, once its pause is over; else, from time to time, try a little more.

        Once over, because by then what was in flight at the 429 is answered, and counts.
        """
        if self._refused_at is not None:
            refused_at, self._refused_at = self._refused_at, None
            if self._began is not None and refused_at - self._began >= self._window:
                self._limit = max(1.0, sum(1 for moment in self._admitted if moment > refused_at - self._window))
                # At the first steps already: there was nothing to gain, so wait longer before the next ones.
                self._hold = min(self._hold * 2, _LONGEST_HOLD) if _STEP < self._step <= _SMALL_CLIMB else 1
                self._step = _STEP
                self._look_at = now + self._hold * self._window
        elif self._limit is not None and now >= self._look_at:
            self._limit *= 1 + self._step
            self._step *= 2
            self._look_at = now + self._window

    def _forget(self, now: float) -> None:
        horizon = (now if self._refused_at is None else self._refused_at) - self._window
        while self._admitted and self._admitted[0] <= horizon:
            self._admitted.popleft()
