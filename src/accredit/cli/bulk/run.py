"""``accredit update --file``: check the file, send it at the endpoint's pace, wait if asked to, leave the result."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from azure.core.credentials import AccessToken, TokenCredential

from accredit.cli import exits
from accredit.cli.bulk import report, source
from accredit.cli.bulk.journal import Binding, ForeignJournalError, Journal, JournalError, State
from accredit.cli.bulk.keeper import Keeper
from accredit.cli.bulk.pace import Pace
from accredit.cli.bulk.progress import Standing, shown
from accredit.cli.bulk.sender import RunStoppedError, Sender, Tally, Turns
from accredit.cli.bulk.source import Checked, SourceChangedError
from accredit.cli.bulk.waiting import Waiter
from accredit.cli.client.connection import APPLICATION, Connection, code_of, explained, message_of
from accredit.cli.client.credentials import claims
from accredit.client._settings import Endpoint
from accredit.client.aio import PartnerCenterClient

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Summary:
    """What a run came to: updates by state, and the files that tell more."""

    updates: int
    states: Counter[State]
    result: Path
    journal: Path

    def record(self) -> dict[str, Any]:
        """As it is printed."""
        sent = sum(self.states.values())
        by_state = {state.value: self.states[state] for state in State if self.states[state]}
        if sent < self.updates:
            by_state[State.NOT_SENT.value] = self.updates - sent
        return {"updates": self.updates, **by_state, "result": str(self.result), "journal": str(self.journal)}


@dataclass(slots=True)
class _Interrupts:
    """SIGINT and SIGTERM: the first lets what is in flight finish, the second stops at once."""

    turns: Turns
    count: int = 0
    task: "asyncio.Task[Any] | None" = field(default_factory=asyncio.current_task)

    def on_signal(self) -> None:
        self.count += 1
        if self.count == 1:
            typer.echo("finishing what is in flight; once more to stop at once", err=True)
            self.turns.stopping.set()
        elif self.task is not None:
            self.task.cancel()

    @contextmanager
    def handled(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.on_signal)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


def update_file(
    connection: Connection, path: Path, *, concurrency: int, wait: bool, retry_failed: bool
) -> tuple[Summary, int]:
    """Send the updates of a file. Returns the summary and the exit code.

    Leaves with ``exits.INPUT_REFUSED`` where the file is not as it should be; nothing is sent then.
    """
    checked = _checked(path)
    with explained():
        token = connection.credential.get_token(Endpoint.of(connection.endpoint).default_scope).token
    binding = Binding(checked.sha256, checked.updates, connection.endpoint, str(claims(token).get("tid") or ""))
    name = path.name.removesuffix(".csv")
    result, beside = path.with_name(f"{name}.result.csv"), path.with_name(f"{path.name}.journal")
    summary = Summary(checked.updates, Counter(), result, beside)
    try:
        with Journal(summary.journal, binding) as journal:
            if retry_failed:
                journal.forget_failed()
            summary.states.update(journal.counts())
            if journal.resumed:
                known = sum(summary.states.values()) - summary.states[State.UNKNOWN]
                typer.echo(f"going on with {path}: {known:,} of {checked.updates:,} are done", err=True)
            code = asyncio.run(_run(connection, checked, journal, summary, concurrency, wait))
            if code is not None:
                _write_result(checked, journal, summary)
    except ForeignJournalError as error:
        exits.fail(exits.REFUSED, str(error))
    except JournalError as error:
        exits.fail(exits.FAILED, str(error))
    if code is None:
        typer.echo(f"stopped at once; run the same command to go on ({summary.journal} is needed)", err=True)
        raise typer.Exit(exits.INTERRUPTED)
    return summary, code or _verdict(summary.states)


def _checked(path: Path) -> Checked:
    def on_bad(number: int, why: str) -> None:
        typer.echo(f"{path}:{number}: {why}", err=True)

    try:
        checked = source.check(path, on_bad)
    except OSError as error:
        exits.fail(exits.INPUT_REFUSED, f"{path}: {error.strerror}")
    except SourceChangedError as error:
        exits.fail(exits.INPUT_REFUSED, str(error))
    if checked.bad:
        exits.fail(exits.INPUT_REFUSED, f"{path}: {checked.bad:,} bad {_lines(checked.bad)}; nothing was sent")
    return checked


async def _run(
    connection: Connection, checked: Checked, journal: Journal, summary: Summary, concurrency: int, wait: bool
) -> int | None:
    """Send and wait; the exit code (0: see what came of it), or ``None`` when stopped at once."""
    tally, turns = Tally(summary.states), Turns(Pace())
    interrupts = _Interrupts(turns)
    standing = Standing(checked.updates, tally, turns.pace, turns.clock)
    client = PartnerCenterClient(
        _InThread(connection.credential), endpoint=connection.endpoint, application=APPLICATION, retry_total=0
    )
    try:
        with interrupts.handled():
            async with client, Keeper(journal) as keeper, shown(standing):
                await Sender(client, keeper, turns, tally).send_all(checked.lines(), concurrency)
                if wait and not turns.stopping.is_set():
                    standing.waiting = True
                    await Waiter(client, connection.endpoint, keeper, turns, tally).wait(concurrency)
    except asyncio.CancelledError:
        return None
    except RunStoppedError as stopped:
        return _stopped(message_of(stopped.cause), code_of(stopped.cause))
    except SourceChangedError as error:
        return _stopped(str(error), exits.INPUT_REFUSED)
    if interrupts.count:
        return _stopped("interrupted", exits.INTERRUPTED)
    return 0


def _stopped(why: str, code: int) -> int:
    typer.echo(f"accredit: {why}. Run the same command to go on where this stopped", err=True)
    return code


def _write_result(checked: Checked, journal: Journal, summary: Summary) -> None:
    try:
        report.write(summary.result, checked.lines(), journal.entries())
    except OSError as error:
        exits.fail(exits.FAILED, f"cannot write {summary.result}: {error.strerror}. Run the same command to try again")
    except SourceChangedError as error:
        exits.fail(exits.INPUT_REFUSED, f"{error}: {summary.result} is not written. Put the file back, and run again")


def _verdict(states: Counter[State]) -> int:
    if states[State.FAILED] or states[State.UNKNOWN]:
        return exits.SOME_FAILED
    return exits.DENIED if states[State.DENIED] else 0


def _lines(count: int) -> str:
    return "line" if count == 1 else "lines"


class _InThread:
    """A credential for the asynchronous client: it may ask an authority, which must not hold up what is in flight."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """The credential's token."""
        return await asyncio.to_thread(self._credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> "_InThread":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
