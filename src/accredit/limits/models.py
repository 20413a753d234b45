"""Values of the rate limits, contract section 9."""

import math
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class RateLimitedError(Exception):
    """The limit is exceeded. ``retry_after``: whole seconds, at least 1, after which a request will be admitted."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = max(1, math.ceil(seconds))
        super().__init__(f"Rate limit is exceeded. Try again in {self.retry_after} seconds.")


class Key(NamedTuple):
    """What a limit is on: a partner and one of its customers, or a partner and itself for all of its requests.

    The IDs are given as integers, which hash in a tenth of the time.
    """

    partner: int
    resource: int

    @property
    def partner_id(self) -> UUID:
        return UUID(int=self.partner)

    @property
    def resource_id(self) -> UUID:
        return UUID(int=self.resource)


class Use(NamedTuple):
    """Requests that were admitted ``age`` seconds ago."""

    age: float
    requests: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The database's answer: how many ``requests`` are set aside for the process that asked.

    ``left``: how many more there are for anybody. Where none were to be had: ``wait``, the seconds until one will be,
    and ``retry_after``, those after which there will be one for sure, also if others are quicker.
    """

    requests: int
    left: int = 0
    wait: float = 0.0
    retry_after: float = 0.0
