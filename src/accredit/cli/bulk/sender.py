"""Sending a bulk file's updates: many at once, each journaled before it is sent, none sent twice as two."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final
from uuid import uuid4

from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError

from accredit.cli.bulk.journal import Entry, Journal, State
from accredit.cli.bulk.keeper import Keeper
from accredit.cli.bulk.pace import Pace
from accredit.cli.bulk.rows import Update
from accredit.cli.bulk.source import Line
from accredit.client.aio import PartnerCenterClient
from accredit.client.errors import (
    ConflictError,
    ForbiddenError,
    NoRelationshipError,
    PartnerCenterError,
    RateLimitedError,
    ServerError,
)
from accredit.client.models import CustomerQualification, VettingStatus

ATTEMPTS: Final = 8
"""How often an update is sent that nobody answers, or answers with a fault, before it is left as unknown."""
_CHUNK: Final = 256
_LONGEST_BACKOFF: Final = 30.0
_SHORTEST_PAUSE: Final = 0.1
_USUAL_PAUSE: Final = 5.0
_REQUEST_TIMEOUT: Final = 408
# How far off the service's clock, which is read from headers that count seconds, may seem.
_CLOCK_GRAIN: Final = timedelta(seconds=2)


class RunStoppedError(Exception):
    """Nothing more can be sent for now; ``cause`` says why."""

    def __init__(self, cause: AzureError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class Tally:
    """How a run stands: updates by state, and how many answers told something of an update."""

    states: Counter[State]
    answered: int = 0

    def move(self, before: State | None, after: State) -> None:
        """Count an update in another state."""
        if before is not None:
            self.states[before] -= 1
        self.states[after] += 1


class Turns:
    """Lets requests start at the pace, one after the other, until it is told to stop."""

    def __init__(self, pace: Pace, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self.clock = clock
        self.stopping = asyncio.Event()
        self._first_in_line = asyncio.Lock()

    async def take(self) -> bool:
        """Wait for a turn; ``False``: no more are given."""
        async with self._first_in_line:
            while not self.stopping.is_set():
                delay = self.pace.delay(self.clock())
                if delay <= 0:
                    return True
                await self.rest(delay)
        return False

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond the stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    def admitted(self) -> None:
        """Take in an answer that was no 429."""
        self.pace.admitted(self.clock())

    def refused(self, error: RateLimitedError) -> None:
        """Take in a 429."""
        wait = _USUAL_PAUSE if error.retry_after is None else error.retry_after
        self.pace.refused(self.clock(), max(wait, _SHORTEST_PAUSE))


class Sender:
    """Sends updates through a client that retries nothing itself (``retry_total=0``)."""

    def __init__(self, client: PartnerCenterClient, keeper: Keeper, turns: Turns, tally: Tally) -> None:
        self._client = client
        self._keeper = keeper
        self._turns = turns
        self._tally = tally

    async def send_all(self, lines: Iterator[Line], concurrency: int) -> None:
        """Send what the journal does not know the outcome of, until the end or until the turns stop.

        Raises :class:`RunStoppedError` where going on makes no sense, ``JournalError``, ``SourceChangedError``; by
        then, what was in flight is finished.
        """
        reading = asyncio.Lock()
        failures: list[Exception] = []

        async def work() -> None:
            try:
                while not self._turns.stopping.is_set():
                    async with reading:
                        item = await anext(pending, None)
                    if item is None:
                        return
                    await self._send(*item)
            except Exception as error:  # the others finish what they have in flight
                failures.append(error)
                self._turns.stopping.set()

        async with aclosing(self._pending(lines)) as pending:
            await asyncio.gather(*(work() for _ in range(concurrency)))
        if failures:
            raise failures[0]

    async def _pending(self, lines: Iterator[Line]) -> AsyncGenerator[tuple[Update, Entry, bool], None]:
        """What is left to send: the update, its entry, and whether that is in the journal already."""

        def take(journal: Journal) -> tuple[list[Line], Mapping[int, Entry]]:
            chunk = list(islice(lines, _CHUNK))
            return chunk, journal.between(chunk[0].number, chunk[-1].number) if chunk else {}

        while True:
            chunk, known = await self._keeper.read(take)
            if not chunk:
                return
            for line in chunk:
                update, entry = line.update, known.get(line.number)
                if entry is None:
                    new = Entry(line.number, str(uuid4()), update.customer, update.qualification, time.time())
                    yield update, new, False
                elif entry.state is State.UNKNOWN:
                    yield update, entry, True

    async def _send(self, update: Update, entry: Entry, begun: bool) -> None:
        """Send one update until its outcome is known, the turns stop, or nobody has answered for too long."""
        unanswered = begun
        faults, answered_before = 0, self._tally.answered
        while await self._turns.take():
            if not begun:
                entry = replace(entry, begun_at=time.time())
                await self._keeper.begin(entry)
                self._tally.move(None, State.UNKNOWN)
                begun = True
            try:
                outcome = await self._attempt(update, entry, unanswered=unanswered)
            except RateLimitedError as error:
                self._turns.refused(error)
                continue
            except AzureError as error:
                if is_hopeless(error):
                    raise RunStoppedError(error) from None
                faults += 1
                unanswered = unanswered or not isinstance(error, ServiceRequestError)
                if faults >= ATTEMPTS:
                    # Not one answer to anybody meanwhile: it is not this update's fault.
                    if self._tally.answered == answered_before:
                        raise RunStoppedError(error) from None
                    self._keeper.finish(replace(entry, error_description=_one_line(error)))
                    return
                await self._turns.rest(self._backoff(error, faults))
            else:
                self._keeper.finish(outcome)
                self._tally.move(State.UNKNOWN, outcome.state)
                return

    async def _attempt(self, update: Update, entry: Entry, *, unanswered: bool) -> Entry:
        """Send it once; what came of it. Raises ``AzureError`` where that is not known, or is to be tried again."""
        answer = _Answer()
        try:
            state = await self._client.qualifications.update(
                update.customer,
                update.qualification,
                education_segment=update.segment,
                website=update.website,
                validation_code=update.code,
                request_id=entry.request_id,
                raw_response_hook=answer,
            )
        except PartnerCenterError as error:
            if not isinstance(error, RateLimitedError):
                self._turns.admitted()
            if may_pass(error) or is_hopeless(error):
                raise
            self._tally.answered += 1
            if isinstance(error, ConflictError) and unanswered:
                # An earlier attempt, whose answer is lost, may be what this one conflicts with.
                ours = await self._look(entry, answer.skew)
                if ours is not None:
                    return accepted(entry, ours, error.correlation_id)
            return replace(
                entry,
                state=State.FAILED,
                correlation_id=error.correlation_id,
                error_code=error.code or str(error.status_code),
                error_description=error.description,
            )
        self._turns.admitted()
        self._tally.answered += 1
        return accepted(entry, state, answer.correlation_id)

    async def _look(self, entry: Entry, skew: timedelta) -> CustomerQualification | None:
        """The customer's qualification, if it was asked for since this update was first sent, and stands."""
        earliest = datetime.fromtimestamp(entry.begun_at, UTC) + skew - _CLOCK_GRAIN
        for state in await self._client.qualifications.list(entry.customer):
            date = state.vetting_created_date
            standing = state.vetting_status in (VettingStatus.IN_REVIEW, VettingStatus.APPROVED)
            if state.qualification == entry.qualification and standing and date is not None and date >= earliest:
                return state
        return None

    def _backoff(self, error: AzureError, faults: int) -> float:
        told: float | None = getattr(error, "retry_after", None)
        if told is not None:
            self._turns.pace.pause(self._turns.clock(), told)
        return min(0.5 * 2.0 ** (faults - 1), _LONGEST_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311


class _Answer:
    """What an answer's headers tell: the correlation ID, and how far the service's clock is from ours."""

    def __init__(self) -> None:
        self._headers: Mapping[str, str] = {}

    def __call__(self, response: Any) -> None:
        self._headers = response.http_response.headers

    @property
    def correlation_id(self) -> str | None:
        return self._headers.get("MS-CorrelationId")

    @property
    def skew(self) -> timedelta:
        """Right after the answer."""
        try:
            return parsedate_to_datetime(self._headers.get("Date", "")) - datetime.now(UTC)
        except (TypeError, ValueError):
            return timedelta(0)


def accepted(entry: Entry, state: CustomerQualification, correlation_id: str | None = None) -> Entry:
    """The entry of an update that the endpoint shows in ``state``."""
    created = state.vetting_created_date
    return replace(
        entry,
        state=_state(state),
        created=created.isoformat() if created else entry.created,
        reason=str(state.vetting_reason) if state.vetting_reason else None,
        correlation_id=correlation_id or entry.correlation_id,
        error_code=None,
        error_description=None,
    )


def _state(state: CustomerQualification) -> State:
    if state.vetting_status is None:
        return State.SET
    known = {
        VettingStatus.APPROVED: State.APPROVED,
        VettingStatus.DENIED: State.DENIED,
    }
    return next((ours for theirs, ours in known.items() if state.vetting_status == theirs), State.IN_REVIEW)


def may_pass(error: PartnerCenterError) -> bool:
    """Whether the same request may fare better later."""
    return isinstance(error, RateLimitedError | ServerError) or error.status_code == _REQUEST_TIMEOUT


def is_hopeless(error: AzureError) -> bool:
    """Whether every other update would be answered the same: it is about the caller, not about the customer."""
    if isinstance(error, ClientAuthenticationError):
        return True
    return isinstance(error, ForbiddenError) and not isinstance(error, NoRelationshipError)


def _one_line(error: AzureError) -> str:
    return " ".join(str(error).split())
