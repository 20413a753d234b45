"""What commands print: four shapes, on a terminal and off one."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.cli.client import output
from accredit.cli.client.output import Format
from tests.conftest import environment

RECORDS = [
    {"id": "1", "companyName": "Contoso [/b] :smile:", "domain": None, "vettingStatus": "Approved"},
    {"id": "2", "companyName": '=HYPERLINK("http://evil.example")', "domain": "b.example", "extra": [1, 2]},
]
COLUMNS = ("id", "companyName", "domain", "vettingStatus")


def printed(shape: Format, capsys: pytest.CaptureFixture[str], records: Any = RECORDS) -> str:
    output.write(records, COLUMNS, shape)
    return capsys.readouterr().out


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(Format.JSON, capsys)) == RECORDS
    assert [json.loads(line) for line in printed(Format.JSONL, capsys).splitlines()] == RECORDS
    assert json.loads(printed(Format.JSON, capsys, [])) == []


def test_csv_has_the_columns_and_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.reader(io.StringIO(printed(Format.CSV, capsys), newline="")))
    assert rows == [
        ["id", "companyName", "domain", "vettingStatus"],
        ["1", "Contoso [/b] :smile:", "", "Approved"],
        ["2", '\'=HYPERLINK("http://evil.example")', "b.example", ""],
    ]


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_no_cell_of_a_csv_begins_like_a_formula_and_all_can_be_read_back(cells: list[list[str]]) -> None:
    records = [{"a": a, "b": b} for a, b in cells]
    text = "".join(output.csv_lines(records, ("a", "b")))
    read = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in read for cell in row)
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] for row in cells
    ]


def test_a_table_shows_what_it_is_given_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(Format.TABLE, capsys, [{"id": "1", "companyName": "a\x1b[31mb [/b] :smile:"}])
    assert "Company name" in text
    assert "a [31mb [/b] :smile:" in text
    assert "\x1b" not in text


def test_lines_come_as_the_records_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe need not wait for the end; what was printed before a failure is there."""

    def failing() -> Any:
        yield RECORDS[0]
        raise RuntimeError

    for shape in (Format.JSONL, Format.CSV):
        with pytest.raises(RuntimeError):
            output.write(failing(), COLUMNS, shape)
        assert "Contoso" in capsys.readouterr().out


def on_a_terminal(program: str, **settings: str) -> str:
    """What a program prints on a terminal of 60 columns."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment() | {"TERM": "xterm-256color", "COLUMNS": "60", **settings},
        stdout=terminal,
    ) as process:
        os.close(terminal)
        seen = b""
        try:
            while piece := os.read(controller, 4096):
                seen += piece
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(controller)
    assert process.returncode == 0
    return seen.decode()


TABLE = f"""
from accredit.cli.client import output
output.write({RECORDS!r}, {COLUMNS!r}, output.Format.TABLE)
"""


def test_a_table_is_made_for_the_terminal_and_coloured_there_only() -> None:
    coloured = on_a_terminal(TABLE)
    assert "\x1b[32mApproved" in coloured
    plain = on_a_terminal(TABLE, NO_COLOR="1")
    assert "\x1b[32m" not in plain
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in plain.splitlines()) <= 60
