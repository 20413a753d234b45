"""The journal for many senders at once: what arrives while a commit is in flight shares the next one.

So a disk that takes ten milliseconds to flush is no limit to how many requests a second can be journaled.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from accredit.cli.bulk.journal import Entry, Journal

T = TypeVar("T")


class Keeper:
    """Commits to a journal, in a thread of its own. An async context manager; at its end everything is committed.

    If the disk fails, every method from then on raises :class:`~accredit.cli.bulk.journal.JournalError`.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, "journal")
        self._begun: list[Entry] = []
        self._finished: list[Entry] = []
        self._next: asyncio.Future[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def __aenter__(self) -> "Keeper":
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.settle()
        finally:
            self._thread.shutdown()

    async def begin(self, entry: Entry) -> None:
        """Return when it is on the disk that this is about to be sent."""
        self._begun.append(entry)
        await asyncio.shield(self._commit())

    def finish(self, entry: Entry) -> None:
        """Note what came of an update; it is on the disk with the next commit, which nobody has to wait for."""
        self._finished.append(entry)
        self._commit()

    async def settle(self) -> None:
        """Return when all that was noted is on the disk."""
        if self._failure is not None or (self._committing is not None and not self._committing.done()):
            await asyncio.shield(self._commit())

    async def read(self, query: Callable[[Journal], T]) -> T:
        """Ask the journal something; what was noted until now is in it."""
        await self.settle()
        return await asyncio.get_running_loop().run_in_executor(self._thread, query, self._journal)

    def _commit(self) -> asyncio.Future[None]:
        """The commit that takes in what has been noted until now. Raises what made one before it fail."""
        if self._failure is not None:
            raise self._failure
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._committing is None or self._committing.done():
                self._committing = asyncio.create_task(self._run())
        return self._next

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while (done := self._next) is not None:
            self._next = None
            begun, self._begun = self._begun, []
            finished, self._finished = self._finished, []
            try:
                await loop.run_in_executor(self._thread, partial(self._journal.commit, begun, finished))
            except Exception as error:
                done.set_exception(error)
                done.exception()  # seen: nobody may be waiting
                self._failure = error
            else:
                done.set_result(None)
