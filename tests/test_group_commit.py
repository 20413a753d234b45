"""Group commit: what shares a transaction, and that nobody pays for another's fault."""

import asyncio

import psycopg
import pytest

from accredit.database.group_commit import GroupCommit


class Ledger:
    """A stand-in for a transaction: remembers its batches, and commits when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.unreachable = False

    async def commit(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.begun.set()
        await self.gate.wait()
        if self.unreachable:
            raise psycopg.OperationalError("gone")
        if any(item < 0 for item in items):
            raise ValueError("poison")
        return [item * 2 for item in items]


def test_what_arrives_while_commits_are_in_flight_goes_together() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        ledger.gate.clear()
        commits = GroupCommit(ledger.commit, most=100)
        first = asyncio.create_task(commits.submit(1))
        await ledger.begun.wait()
        ledger.begun.clear()
        second = asyncio.create_task(commits.submit(2))
        await ledger.begun.wait()
        others = [asyncio.create_task(commits.submit(number)) for number in range(3, 53)]
        await asyncio.sleep(0)
        ledger.gate.set()
        assert await asyncio.gather(first, second, *others) == [2, 4, *(number * 2 for number in range(3, 53))]
        assert [len(batch) for batch in ledger.batches] == [1, 1, 50]

    asyncio.run(scenario())


def test_a_batch_is_no_larger_than_told() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        commits = GroupCommit(ledger.commit, most=8)
        results = await asyncio.gather(*(commits.submit(number) for number in range(50)))
        assert results == [number * 2 for number in range(50)]
        assert max(len(batch) for batch in ledger.batches) == 8

    asyncio.run(scenario())


def test_only_the_guilty_one_fails() -> None:
    async def scenario() -> None:
        commits = GroupCommit(Ledger().commit, most=100)
        results = await asyncio.gather(*(commits.submit(n) for n in (1, 2, -3, 4)), return_exceptions=True)
        assert results[:2] == [2, 4]
        assert isinstance(results[2], ValueError)
        assert results[3] == 8

    asyncio.run(scenario())


def test_an_unreachable_database_fails_all_at_once_and_the_next_are_tried_again() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        ledger.unreachable = True
        commits = GroupCommit(ledger.commit, most=100)
        results = await asyncio.gather(*(commits.submit(n) for n in (1, 2, 3)), return_exceptions=True)
        assert all(isinstance(result, psycopg.OperationalError) for result in results)
        assert len(ledger.batches) == 1
        ledger.unreachable = False
        assert await commits.submit(5) == 10

    asyncio.run(scenario())


def test_a_caller_that_goes_away_leaves_the_others_alone() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        ledger.gate.clear()
        commits = GroupCommit(ledger.commit, most=100)
        tasks = [asyncio.create_task(commits.submit(number)) for number in (1, 2, 3)]
        await ledger.begun.wait()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        ledger.gate.set()
        assert [await tasks[0], await tasks[2]] == [2, 6]
        assert sorted(item for batch in ledger.batches for item in batch) == [1, 2, 3]

    asyncio.run(scenario())
