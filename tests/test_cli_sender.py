"""The sender of a bulk run, with pauses that pass at once: what is left when nobody answers, and what is not."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli.bulk.journal import Binding, Entry, Journal, State
from accredit.cli.bulk.keeper import Keeper
from accredit.cli.bulk.pace import Pace
from accredit.cli.bulk.rows import Update
from accredit.cli.bulk.sender import ATTEMPTS, RunStoppedError, Sender, Tally, Turns
from accredit.cli.bulk.source import Line
from accredit.client.aio import PartnerCenterClient, StaticTokenCredential
from tests.partner_center import PartnerCenter, partner_center


class Hasty(Turns):
    """Turns that rest for no time."""

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def stand_in() -> Iterator[PartnerCenter]:
    with partner_center() as running:
        yield running


def send(path: Path, url: str, customers: list[str], *, concurrency: int = 4) -> tuple[list[Entry], Tally]:
    """Send an update of each customer; what the journal has then, and the tally."""
    tally = Tally(Counter())

    async def run(journal: Journal) -> None:
        client = PartnerCenterClient(StaticTokenCredential("a-token"), endpoint=url, retry_total=0)
        lines = (Line(number, Update(customer, "Education")) for number, customer in enumerate(customers, 2))
        async with client, Keeper(journal) as keeper:
            await Sender(client, keeper, Hasty(Pace()), tally).send_all(lines, concurrency)

    with Journal(path, Binding("sha", len(customers), url, "")) as journal:
        try:
            asyncio.run(run(journal))
        finally:
            tally.states = Counter(journal.counts())
        return list(journal.entries()), tally


def test_an_update_that_nobody_answers_is_left_as_unknown(stand_in: PartnerCenter, tmp_path: Path) -> None:
    customers = [str(uuid4()) for _ in range(40)]
    stand_in.misbehave = lambda ask: 500 if ask.customer == customers[0] else None
    entries, tally = send(tmp_path / "journal", stand_in.url, customers)
    assert tally.states == {State.IN_REVIEW: 39, State.UNKNOWN: 1}
    assert entries[0].state is State.UNKNOWN
    assert "told to answer 500" in (entries[0].error_description or "")
    assert sum(1 for ask in stand_in.posts() if ask.customer == customers[0]) == ATTEMPTS


def test_an_endpoint_that_answers_nobody_stops_the_run(stand_in: PartnerCenter, tmp_path: Path) -> None:
    customers = [str(uuid4()) for _ in range(40)]
    stand_in.misbehave = lambda _: 503
    with pytest.raises(RunStoppedError):
        send(tmp_path / "journal", stand_in.url, customers)
    assert {ask.customer for ask in stand_in.posts()} == set(customers[:4])
    stand_in.misbehave = lambda _: None
    _, tally = send(tmp_path / "journal", stand_in.url, customers)
    assert tally.states == {State.IN_REVIEW: 40}
    assert all(len(ids) == 1 for ids in stand_in.request_ids().values())


def test_an_endpoint_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with partner_center() as gone:
        url = gone.url
    with pytest.raises(RunStoppedError):
        send(tmp_path / "journal", url, [str(uuid4())])
