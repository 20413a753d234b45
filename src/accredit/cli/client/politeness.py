"""How often to look whether something is decided: as the SDK's pollers do."""

import random
from collections.abc import Iterator

from accredit.client._polling import GROWTH, Pace
from accredit.client._settings import Endpoint


def polling_intervals(endpoint: str) -> Iterator[float]:
    """Seconds to wait before each look but the first: longer and longer, with some jitter."""
    pace = Pace.at(Endpoint.of(endpoint), None)
    pause = pace.first
    while True:
        yield pause * random.uniform(1, 1.25)  # noqa: S311
        pause = min(pause * GROWTH, pace.longest)
