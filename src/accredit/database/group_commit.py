"""Group commit: submissions that arrive while commits are in flight share the next transaction.

There are no timers: an idle service commits each submission at once, a busy one commits as many together as came in
meanwhile. Each submission gets its own result or its own error.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import psycopg

T = TypeVar("T")
R = TypeVar("R")

_IN_FLIGHT = 2
"""Transactions at a time: while one waits for the disk, the next is on its way. More gave nothing when measured."""


class GroupCommit(Generic[T, R]):
    """Gathers submissions for ``commit``, which makes one transaction of a list and returns a result for each.

    If a batch fails for any reason but an unreachable database, its submissions are committed one by one, so that
    only the guilty one fails. ``commit`` must be all-or-nothing.
    """

    def __init__(self, commit: Callable[[list[T]], Awaitable[list[R]]], *, most: int) -> None:
        self._commit = commit
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._flushes: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Commit ``item`` and return its result. Raises what ``commit`` raised for it.

        A caller that goes away does not take its submission back: it is committed or not, as a whole.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._flushes) < _IN_FLIGHT:
            flush = asyncio.create_task(self._flush(), name="group commit")
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        return await future

    async def _flush(self) -> None:
        # The other flush may take what this one gathered.
        while await self._gathered():
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            await self._commit_batch(batch)

    async def _gathered(self) -> bool:
        """Wait while the event loop still brings in submissions: those that have arrived already go together.

        Return whether there are any.
        """
        before = 0
        while before < len(self._waiting) < self._most:
            before = len(self._waiting)
            await asyncio.sleep(0)
        return bool(self._waiting)

    async def _commit_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, psycopg.OperationalError):
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for one in batch:
                    await self._commit_batch([one])
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
