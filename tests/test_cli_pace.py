"""The pace of a bulk run against limiters of both kinds, on a clock that jumps from event to event."""

import heapq
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.cli.bulk.pace import Pace
from tests.limiters import FixedWindow, SlidingLog

Limiter = SlidingLog | FixedWindow


@dataclass
class Seen:
    """What a simulated run came to."""

    admitted: list[float]
    refused: list[float]
    limit: float | None

    def between(self, begin: float, end: float) -> int:
        return sum(1 for moment in self.admitted if begin <= moment < end)


def drive(
    limiter: Limiter | None,
    *,
    seconds: float,
    fastest: float = 400.0,
    concurrency: int = 32,
    seed: int = 1,
    start: float = 0.0,
    others: float = 0.0,
    others_until: float = 0.0,
) -> Seen:
    """Run ``concurrency`` senders by a pace for ``seconds``; an answer takes as long as makes ``fastest`` a second.

    ``others``: requests a second that somebody else sends under the same limit, until ``others_until``.
    """
    pace, chance, seen = Pace(), random.Random(seed), Seen([], [], None)
    # Events: (moment, number, kind); a request reaches the limiter halfway through its round trip.
    events: list[tuple[float, int, str]] = [(start, number, "try") for number in range(concurrency)]
    if others:
        events.append((0.0, concurrency, "other"))
    heapq.heapify(events)
    number = concurrency + 1
    waits: dict[int, int] = {}

    def at(moment: float, kind: str) -> int:
        nonlocal number
        number += 1
        heapq.heappush(events, (moment, number, kind))
        return number

    while events:
        now, event, kind = heapq.heappop(events)
        if now > start + seconds:
            break
        if kind == "other":
            if limiter is not None:
                limiter.ask(now)
            if now < others_until:
                at(now + 1 / others, "other")
        elif kind == "try":
            delay = pace.delay(now)
            if delay > 0:
                at(now + delay, "try")
            else:
                at(now + concurrency / fastest * chance.uniform(0.3, 0.7), "arrive")
        elif kind == "arrive":
            wait = limiter.ask(now) if limiter else None
            waits[at(now + concurrency / fastest * chance.uniform(0.3, 0.7), "answer")] = wait or 0
        else:
            wait = waits.pop(event)
            if wait:
                seen.refused.append(now)
                pace.refused(now, wait)
            else:
                seen.admitted.append(now)
                pace.admitted(now)
            at(now, "try")
    seen.limit = pace.limit
    return seen


def test_without_a_limit_nothing_is_held_back() -> None:
    seen = drive(None, seconds=120)
    assert len(seen.admitted) > 120 * 395
    assert seen.limit is None


@pytest.mark.parametrize("phase", [0.0, 20.0, 55.0])
@pytest.mark.parametrize("kind", [SlidingLog, FixedWindow])
def test_a_limit_is_used_to_97_percent_and_refusals_stay_few(kind: type[Limiter], phase: float) -> None:
    limiter = SlidingLog(5000) if kind is SlidingLog else FixedWindow(5000, phase=phase)
    seen = drive(limiter, seconds=600, start=phase)
    assert len(seen.admitted) >= 0.97 * 5000 * 10
    first = phase if kind is SlidingLog else 120 - phase
    for minute in range(1, 8):
        assert seen.between(first + 60 * minute, first + 60 * minute + 60) >= 0.97 * 5000, minute
    assert len(seen.refused) <= 0.01 * len(seen.admitted)


@pytest.mark.parametrize("kind", [SlidingLog, FixedWindow])
def test_a_limit_that_others_had_used_up_before_is_not_taken_for_a_lower_one(kind: type[Limiter]) -> None:
    limiter = kind(5000)
    for number in range(4900):
        limiter.ask(number / 100)
    seen = drive(limiter, seconds=600, start=50.0)
    assert seen.between(120.0, 600.0) >= 0.97 * 5000 * 8


@pytest.mark.parametrize("kind", [SlidingLog, FixedWindow])
def test_what_others_stop_using_is_taken_up(kind: type[Limiter]) -> None:
    seen = drive(kind(5000), seconds=1200, others=42.0, others_until=300.0)
    assert seen.between(720.0, 1200.0) >= 0.97 * 5000 * 8


@given(
    limit=st.integers(20, 20_000),
    sliding=st.booleans(),
    phase=st.floats(0, 60),
    concurrency=st.integers(1, 64),
    seed=st.integers(0, 1000),
)
@settings(max_examples=12, deadline=None)
def test_any_limit_is_used_well(limit: int, sliding: bool, phase: float, concurrency: int, seed: int) -> None:
    limiter: Limiter = SlidingLog(limit) if sliding else FixedWindow(limit, phase=phase)
    seen = drive(limiter, seconds=420, fastest=380.0, concurrency=concurrency, seed=seed)
    possible = min(limit / 60, 380.0)
    assert len(seen.admitted) >= 0.96 * possible * 420
    assert len(seen.refused) <= 0.02 * len(seen.admitted) + 3 * concurrency


def test_nothing_starts_before_a_pause_is_over() -> None:
    pace = Pace()
    assert pace.delay(100.0) == 0
    pace.refused(100.0, 30.0)
    pace.refused(101.0, 2.0)
    assert pace.delay(101.0) == 29.0
    pace.pause(101.0, 40.0)
    assert pace.delay(130.0) == 11.0
    assert pace.delay(141.0) == 0
