"""Rate limiters as endpoints have them, by hand, on whatever clock they are told."""

import math
from collections import deque


class SlidingLog:
    """So many requests in any stretch of ``window`` seconds; refused ones do not count."""

    def __init__(self, limit: int, window: float = 60.0) -> None:
        self.limit, self.window = limit, window
        self._granted: deque[float] = deque()

    def ask(self, now: float) -> int | None:
        """``None``: granted. Otherwise the whole seconds of ``Retry-After``, until the oldest grant expires."""
        while self._granted and self._granted[0] <= now - self.window:
            self._granted.popleft()
        if len(self._granted) < self.limit:
            self._granted.append(now)
            return None
        return max(1, math.ceil(self._granted[0] + self.window - now))


class FixedWindow:
    """So many requests in each window of the clock; ``Retry-After`` says when the next one begins."""

    def __init__(self, limit: int, window: float = 60.0, phase: float = 0.0) -> None:
        self.limit, self.window, self._phase = limit, window, phase
        self._current, self._count = -1, 0

    def ask(self, now: float) -> int | None:
        """As :meth:`SlidingLog.ask`."""
        current = math.floor((now + self._phase) / self.window)
        if current != self._current:
            self._current, self._count = current, 0
        if self._count < self.limit:
            self._count += 1
            return None
        return max(1, math.ceil((current + 1) * self.window - self._phase - now))
