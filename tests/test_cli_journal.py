"""The journal of a bulk run: durable, bound to its run, and one process's alone."""

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accredit.cli.bulk.journal import Binding, Entry, ForeignJournalError, Journal, State

BINDING = Binding("0" * 64, 10, "http://127.0.0.1:1", "a-tenant")
ENTRY = Entry(2, "an-id", "a-customer", "Education", 1.5)


def test_what_is_committed_is_there_again(tmp_path: Path) -> None:
    done = replace(ENTRY, state=State.DENIED, reason="Not an Academic Domain", created="2026-11-24T00:00:00Z")
    with Journal(tmp_path / "j", BINDING) as journal:
        assert not journal.resumed
        journal.commit([ENTRY, replace(ENTRY, line=3)], [done])
    with Journal(tmp_path / "j", BINDING) as journal:
        assert journal.resumed
        assert list(journal.entries()) == [done, replace(ENTRY, line=3)]
        assert journal.counts() == {State.DENIED: 1, State.UNKNOWN: 1}
        assert journal.between(3, 9) == {3: replace(ENTRY, line=3)}


def test_a_request_keeps_the_id_that_it_was_begun_with(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", BINDING) as journal:
        journal.commit([ENTRY], [])
        journal.commit([replace(ENTRY, request_id="another")], [])
        assert list(journal.entries()) == [ENTRY]


def test_a_commit_survives_kill_9_at_once(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from accredit.cli.bulk.journal import Binding, Entry, Journal
journal = Journal(Path({str(tmp_path / "j")!r}), {BINDING!r})
journal.commit([{replace(ENTRY, state=None)!r}], [])
os.kill(os.getpid(), signal.SIGKILL)
""".replace("state=None, ", "")
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    with Journal(tmp_path / "j", BINDING) as journal:
        assert list(journal.entries()) == [ENTRY]


def test_a_commit_is_flushed_to_the_disk(tmp_path: Path) -> None:
    """As SQLite has it: WAL with ``synchronous=FULL`` flushes the log in each commit."""
    with Journal(tmp_path / "j", BINDING) as journal:
        settings = [
            journal._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["wal", 2]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sha256": "1" * 64}, "another content"),
        ({"endpoint": "http://127.0.0.1:2"}, "http://127.0.0.1:1"),
        ({"tenant": "another-tenant"}, "another-tenant"),
    ],
)
def test_it_is_of_one_content_endpoint_and_partner(tmp_path: Path, change: dict[str, str], named: str) -> None:
    Journal(tmp_path / "j", BINDING).__exit__()
    with pytest.raises(ForeignJournalError, match=named):
        Journal(tmp_path / "j", replace(BINDING, **change))


def test_it_is_one_process_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", BINDING), pytest.raises(ForeignJournalError, match="in use"):
        Journal(tmp_path / "j", BINDING)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "j") as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(ForeignJournalError, match="something else"):
        Journal(tmp_path / "j", BINDING)
    assert (tmp_path / "j").read_bytes() == before


def test_what_failed_can_be_forgotten(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", BINDING) as journal:
        journal.commit([ENTRY, replace(ENTRY, line=3)], [replace(ENTRY, state=State.FAILED)])
        assert journal.forget_failed() == 1
        assert [entry.line for entry in journal.entries()] == [3]
