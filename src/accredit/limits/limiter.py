"""The rate limits of one API process, shared with the others through PostgreSQL. ``docs/rate-limits.md`` explains."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import psycopg
import structlog

from accredit.database.pool import Connection, Pool
from accredit.limits import store
from accredit.limits.ledger import Debts, Ledger
from accredit.limits.models import Key, RateLimitedError
from accredit.limits.rules import Account, Limit, Standing

log = structlog.get_logger("accredit.limits")

BEAT = 1.0
"""Seconds between two beats by which API processes know of each other."""

_MOST_ACCOUNTS = 100_000  # about 300 bytes each
_REPORT_ROWS = 1000  # debts reported at a time, so that the event loop is not held up
_UNREACHABLE = (psycopg.Error, TimeoutError)


class Limiter:
    """Admits requests. A context manager: within it the process is counted, and shares the limits with the others.

    ``customer`` and ``partner``: requests a minute, for each of a partner's customers and for a partner in all; 0
    turns a limit off. ``timeout``: seconds to wait for the database. ``clock``: seconds, as ``time.monotonic``.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        customer: int,
        partner: int,
        timeout: float,
        most_accounts: int = _MOST_ACCOUNTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._timeout = timeout
        self._clock = clock
        self._customer = Limit(customer) if customer else None
        self._partner = Limit(partner) if partner else None
        self._process_id = uuid4()
        self._ledger = Ledger(most_accounts, self._report_soon)
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._reporting: set[asyncio.Task[None]] = set()
        self._reachable = True
        self._known_since: float | None = None
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._customer or self._partner:
            self._beating = asyncio.create_task(self._keep_beating(), name="rate limits: beat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report all that is unreported, so that the next process starts where this one ended."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, *self._asking.values(), *self._reporting, return_exceptions=True)
        if self._reachable:
            await self._report(self._ledger.debts(self._clock()))
            with contextlib.suppress(*_UNREACHABLE):
                async with self._transaction() as connection:
                    await store.leave(connection, self._process_id)

    async def admit(self, partner_id: UUID, customer_id: UUID | None = None) -> None:
        """Admit a request of a partner, for one of its customers or for none. Raises :class:`RateLimitedError`.

        It waits for the database only where what this process may admit by itself is used up. A refused request does
        not count. While the database cannot be reached, requests are admitted.
        """
        while lacking := self._admit(partner_id, customer_id):
            for account, _ in lacking:
                account.waiting += 1
            try:
                await asyncio.gather(*(asyncio.shield(asking) for _, asking in lacking))
            finally:
                for account, _ in lacking:
                    account.waiting -= 1

    def _admit(self, partner_id: UUID, customer_id: UUID | None) -> list[tuple[Account, asyncio.Task[None]]]:
        """Admit, or return the accounts that lack the means, each with the question that may give them."""
        now = self._clock()
        partner = partner_id.int
        resource = partner if customer_id is None else customer_id.int
        accounts = []
        # A partner's own ID stands for all that it does; no customer bears it.
        if self._customer is not None and resource != partner:
            key = Key(partner, resource)
            accounts.append((key, self._ledger.account(key, now), self._customer))
        if self._partner is not None:
            key = Key(partner, partner)
            accounts.append((key, self._ledger.account(key, now), self._partner))
        due = []
        retry_after = 0.0
        for key, account, limit in accounts:
            standing = account.standing(now, limit)
            if standing is Standing.REFUSED:
                retry_after = max(retry_after, account.retry_after(now))
            elif standing is not Standing.READY and self._reachable:
                due.append((key, account, limit, standing))
        if retry_after:
            raise RateLimitedError(retry_after)
        lacking = []
        for key, account, limit, standing in due:
            asking = self._ask_soon(key, account, limit)
            if standing is Standing.EMPTY:
                lacking.append((account, asking))
        if not lacking:
            for key, account, limit in accounts:
                account.use(now)
                if not limit.portion and self._reachable:
                    self._ask_soon(key, account, limit)
        return lacking

    def _ask_soon(self, key: Key, account: Account, limit: Limit) -> asyncio.Task[None]:
        """Report to the database, and ask it for more, unless that is under way."""
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, account, limit), name="rate limits: ask")
        return asking

    async def _ask(self, key: Key, account: Account, limit: Limit) -> None:
        asked = self._clock()
        uses = account.report(asked)
        try:
            async with self._transaction() as connection:
                grant = await store.ask(
                    connection,
                    self._process_id,
                    key,
                    uses,
                    limit=limit.requests,
                    wanted=max(limit.portion, account.waiting),
                    margin=limit.margin,
                )
        except _UNREACHABLE as error:
            # Where the commit got through before the connection broke, these uses are counted twice for a minute.
            account.failed()
            self._lose(error)
        else:
            account.granted(grant, asked=asked, now=self._clock())
        finally:
            del self._asking[key]

    def _report_soon(self, debts: Debts) -> None:
        reporting = asyncio.create_task(self._report(debts), name="rate limits: report")
        self._reporting.add(reporting)
        reporting.add_done_callback(self._reporting.discard)

    async def _report(self, debts: Debts) -> None:
        rows = iter(debts)
        try:
            while batch := list(itertools.islice(rows, _REPORT_ROWS)):
                async with self._transaction() as connection:
                    await store.report(connection, batch)
        except _UNREACHABLE as error:
            log.warning("requests are not reported", error=f"{type(error).__name__}: {error}")

    async def beat(self) -> None:
        """Tell the other processes of this one, and share the limits with as many as there are."""
        now = self._clock()
        try:
            async with self._transaction() as connection:
                processes = await store.beat(connection, self._process_id)
        except _UNREACHABLE as error:
            self._lose(error)
            return
        self._reachable = True
        if self._known_since is None:
            self._known_since = now
        # Two beats after our first, each of the others has had one that counted us.
        self._share(processes, known=now - self._known_since >= 2 * BEAT)

    def _lose(self, error: BaseException) -> None:
        """Admit, rather than ask, until a beat gets through; then start like a process that nobody knows."""
        if self._reachable:
            log.warning("limits are off, the database does not answer", error=f"{type(error).__name__}: {error}")
        self._reachable = False
        self._known_since = None
        self._share(1, known=False)

    def _share(self, processes: int, *, known: bool) -> None:
        for limit in (self._customer, self._partner):
            if limit is not None:
                limit.share(processes, known=known)

    async def _keep_beating(self) -> None:
        while True:
            await self.beat()
            await asyncio.sleep(BEAT)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """Raises ``psycopg.Error`` or ``TimeoutError``."""
        async with (
            asyncio.timeout(self._timeout),
            self._pool.connection() as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            yield connection
