"""How a bulk run is going, on stderr: a live bar on a terminal, a line now and then elsewhere."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from accredit.cli.bulk.journal import State
from accredit.cli.bulk.pace import Pace
from accredit.cli.bulk.sender import Tally

_FRAME = 0.25
_LINE = 10.0
_SPEED_OVER = 15.0
_WORDS = {
    State.IN_REVIEW: ("in review", "cyan"),
    State.APPROVED: ("approved", "green"),
    State.SET: ("set", "green"),
    State.DENIED: ("denied", "red"),
    State.FAILED: ("failed", "red"),
    State.UNKNOWN: ("under way", "yellow"),
}


@dataclass(slots=True)
class Standing:
    """What there is to show of a run. ``waiting``: everything is sent, decisions are awaited."""

    total: int
    tally: Tally
    pace: Pace
    clock: Callable[[], float]
    waiting: bool = False

    @property
    def done(self) -> int:
        """How many updates have come as far as the phase goes: to an answer, or to a decision."""
        states = self.tally.states
        return sum(states.values()) - states[State.UNKNOWN] - (states[State.IN_REVIEW] if self.waiting else 0)

    @property
    def pause(self) -> float:
        """Seconds for which nothing is sent, because an answer said so."""
        return self.pace.paused(self.clock())

    @property
    def limit(self) -> str:
        """What the endpoint's answers say of its limit; empty while they say nothing."""
        if self.pause >= 1:
            return f"the endpoint asks to wait {duration(self.pause)}"
        return "" if self.pace.limit is None else f"just under {self.pace.limit:,.0f} a minute"

    @property
    def phase(self) -> str:
        """The phase in a word."""
        return "waiting for decisions" if self.waiting else "sending"


class Speed:
    """How fast a run goes on: by so many a second, over the last quarter of a minute, or since its last pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, done: int, *, paused: bool = False) -> float:
        """Take in how much is done; return how much more it becomes each second."""
        now = self._clock()
        if paused or (self._seen and done < self._seen[-1][1]):  # less is done in a new phase
            self._seen.clear()
        self._seen.append((now, done))
        while self._seen[0][0] < now - _SPEED_OVER:
            self._seen.popleft()
        began, before = self._seen[0]
        return (done - before) / (now - began) if now > began else 0.0


def counts(states: Mapping[State, int]) -> list[tuple[str, str]]:
    """The counts by state, those that are not zero, each with its colour."""
    return [(f"{states[state]:,} {word}", colour) for state, (word, colour) in _WORDS.items() if states.get(state, 0)]


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0:07``, ``12:34``, ``3:00:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@asynccontextmanager
async def shown(standing: Standing) -> AsyncIterator[None]:
    """Show how a run is going while the context lasts."""
    live = sys.stderr.isatty()

    async def keep_drawing(draw: Callable[[], None]) -> None:
        while True:
            draw()
            await asyncio.sleep(_FRAME if live else _LINE)

    with _bar(standing) if live else _lines(standing) as draw:
        drawing = asyncio.create_task(keep_drawing(draw))
        try:
            yield
        finally:
            drawing.cancel()
            draw()


@contextmanager
def _lines(standing: Standing) -> Iterator[Callable[[], None]]:
    speed = Speed()

    def draw() -> None:
        rate = speed.of(standing.done, paused=standing.pause > 0)
        states = ", ".join(words for words, _ in counts(standing.tally.states)) or "nothing sent yet"
        limit = f" ({standing.limit})" if standing.limit else ""
        line = f"{standing.phase}: {standing.done:,} of {standing.total:,}, {rate:,.0f}/s; {states}{limit}"
        typer.echo(line, err=True)

    yield draw


@contextmanager
def _bar(standing: Standing) -> Iterator[Callable[[], None]]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    speed = Speed()

    def frame() -> Any:
        done = standing.done
        rate, left = speed.of(done, paused=standing.pause > 0), standing.total - done
        bar = Table.grid(padding=(0, 1), expand=True)
        for _ in range(5):
            bar.add_column(no_wrap=True)
        bar.columns[1].ratio = 1
        bar.add_row(
            standing.phase,
            ProgressBar(total=standing.total, completed=done),
            f"{done:,}/{standing.total:,}",
            f"{rate:,.0f}/s",
            f"{duration(left / rate)} left" if rate > 0 and left else "",
        )
        line = Text("  ").join(Text(words, style=colour) for words, colour in counts(standing.tally.states))
        if standing.limit:
            line.append(f"  ({standing.limit})", style="dim")
        return Group(bar, line)

    with Live(console=Console(stderr=True), auto_refresh=False, get_renderable=frame) as live:
        yield live.refresh
