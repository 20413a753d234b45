"""Connections of one process, and transactions that outlive a lost one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Params = Sequence[Any] | Mapping[str, Any]
R = TypeVar("R")
Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

_PAUSE = 0.05


def create_pool(url: str, *, most: int, timeout: float, name: str) -> Pool:
    """A pool of up to ``most`` connections, not opened yet; ``timeout`` is the wait for one, in seconds."""
    return AsyncConnectionPool(
        url,
        min_size=1,
        max_size=most,
        timeout=timeout,
        open=False,
        name=name,
        kwargs={"autocommit": True, "prepare_threshold": 0, "application_name": name, "connect_timeout": 5},
    )


async def transact(pool: Pool, work: Callable[[Connection], Awaitable[R]], *, timeout: float) -> R:
    """Run ``work`` in one transaction and return its result once that is committed.

    It is run again after a lost connection, a deadlock or a serialization failure, for up to ``timeout`` seconds.
    ``work`` must therefore bear being repeated even where the commit did get through before the connection broke.
    Raises ``psycopg.OperationalError`` or ``psycopg_pool.PoolTimeout`` after that time.
    """

    async def in_transaction(connection: Connection) -> R:
        # In pipeline mode BEGIN travels with the first reads, and COMMIT with the last writes.
        async with connection.pipeline(), connection.transaction():
            return await work(connection)

    return await _persist(pool, in_transaction, timeout)


async def fetch(pool: Pool, query: LiteralString, parameters: Params, *, timeout: float) -> list[TupleRow]:
    """The rows of one read, tried again after a lost connection for up to ``timeout`` seconds.

    Raises as :func:`transact` does.
    """

    async def read(connection: Connection) -> list[TupleRow]:
        return await (await connection.execute(query, parameters)).fetchall()

    return await _persist(pool, read, timeout)


async def _persist(pool: Pool, work: Callable[[Connection], Awaitable[R]], timeout: float) -> R:
    deadline = time.monotonic() + timeout
    while True:
        try:
            async with pool.connection(max(deadline - time.monotonic(), _PAUSE)) as connection:
                return await work(connection)
        except psycopg.OperationalError:
            if time.monotonic() + _PAUSE >= deadline:
                raise
            await asyncio.sleep(_PAUSE)
