"""Waiting for the decisions on a bulk file's updates: in rounds over those still in review, later and later."""

import asyncio
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby

from azure.core.exceptions import AzureError

from accredit.cli.bulk.journal import Entry, Journal, State
from accredit.cli.bulk.keeper import Keeper
from accredit.cli.bulk.sender import RunStoppedError, Tally, Turns, accepted, is_hopeless, may_pass
from accredit.cli.client.politeness import polling_intervals
from accredit.client._polling import Update
from accredit.client.aio import PartnerCenterClient
from accredit.client.errors import PartnerCenterError, RateLimitedError
from accredit.client.models import CustomerQualification

_CHUNK = 256


class Waiter:
    """Looks for decisions through a client that retries nothing itself. Never faster than the SDK's pollers would."""

    def __init__(self, client: PartnerCenterClient, endpoint: str, keeper: Keeper, turns: Turns, tally: Tally) -> None:
        self._client = client
        self._endpoint = endpoint
        self._keeper = keeper
        self._turns = turns
        self._tally = tally
        self._unanswerable: set[int] = set()

    async def wait(self, concurrency: int) -> None:
        """Return when all are decided, or when the turns stop. Raises :class:`RunStoppedError`, ``JournalError``."""
        for pause in polling_intervals(self._endpoint):
            if not await self._round(concurrency) or self._turns.stopping.is_set():
                return
            await self._turns.rest(pause)

    async def _round(self, concurrency: int) -> bool:
        """Look once at every customer with an update in review; whether any is left."""
        after, left = 0, False
        room = asyncio.Semaphore(concurrency)
        while not self._turns.stopping.is_set():
            chunk = await self._keeper.read(partial(Journal.in_review, after=after, most=_CHUNK))
            if not chunk:
                break
            after = chunk[-1].line
            waiting = sorted(
                (entry for entry in chunk if entry.line not in self._unanswerable), key=lambda entry: entry.customer
            )
            customers = [list(entries) for _, entries in groupby(waiting, key=lambda entry: entry.customer)]
            seen = await asyncio.gather(*(self._look(entries, room) for entries in customers))
            left = left or any(seen)
        return left

    async def _look(self, entries: list[Entry], room: asyncio.Semaphore) -> bool:
        """Look at one customer; whether any of its updates is still in review."""
        customer = entries[0].customer
        async with room:
            if not await self._turns.take():
                return True
            try:
                listed = await self._client.qualifications.list(customer)
            except RateLimitedError as error:
                self._turns.refused(error)
                return True
            except AzureError as error:
                return self._excuse(error, entries)
        self._turns.admitted()
        left = False
        for entry in entries:
            now = _of(entry, self._endpoint).seen_in(listed)
            after = accepted(entry, now) if now is not None else entry
            if after.state is State.IN_REVIEW:
                left = True
            else:
                self._keeper.finish(after)
                self._tally.move(State.IN_REVIEW, after.state)
        return left

    def _excuse(self, error: AzureError, entries: list[Entry]) -> bool:
        """Look again in the next round, unless the answer would be the same. Raises :class:`RunStoppedError`."""
        if is_hopeless(error):
            raise RunStoppedError(error) from None
        if not isinstance(error, PartnerCenterError) or may_pass(error):
            return True
        for entry in entries:
            self._unanswerable.add(entry.line)
            code = error.code or str(error.status_code)
            self._keeper.finish(replace(entry, error_code=code, error_description=error.description))
        return False


def _of(entry: Entry, endpoint: str) -> Update:
    state = CustomerQualification(
        qualification=entry.qualification,
        vetting_status=entry.state.value,
        vetting_created_date=datetime.fromisoformat(entry.created) if entry.created else None,
    )
    return Update(endpoint, entry.customer, state)
