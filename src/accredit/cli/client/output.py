"""What the client's commands print on stdout: records, as a table, JSON, JSON lines or CSV.

Tables are for people: made for the terminal's width, coloured only on a terminal. The other three are for programs.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

Record = Mapping[str, Any]

_STYLES = {"Approved": "green", "Denied": "red", "Failed": "red", "Unknown": "yellow", "InReview": "cyan"}
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """The shapes that output can have."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def write(records: Iterable[Record], columns: Sequence[str], shape: Format) -> None:
    """Print records on stdout. Of each, ``columns`` (keys, in order) are shown; JSON has all that it holds.

    JSON lines and CSV are printed as the records come, so that a pipe starts at once and memory stays flat.
    """
    match shape:
        case Format.TABLE:
            _table(records, columns)
        case Format.JSON:
            print(json.dumps(list(records), indent=2, ensure_ascii=False, default=str))
        case Format.JSONL:
            for record in records:
                print(json.dumps(record, ensure_ascii=False, default=str))
        case Format.CSV:
            for line in csv_lines(records, columns):
                sys.stdout.write(line)
    sys.stdout.flush()


def write_one(record: Record, shape: Format) -> None:
    """Print one record: a table of names and values, a JSON object, or a CSV of one line."""
    match shape:
        case Format.TABLE:
            _table(({"": heading(name), " ": value} for name, value in flat(record).items()), ("", " "), header=False)
        case Format.JSON:
            print(json.dumps(record, indent=2, ensure_ascii=False, default=str))
        case _:
            one = flat(record)
            write([record if shape is Format.JSONL else one], list(one), shape)


def csv_lines(records: Iterable[Record], columns: Sequence[str]) -> Iterable[str]:
    """The lines of a CSV (RFC 4180), the header first, each with its line end.

    A text that a spreadsheet would take for a formula gets an apostrophe in front: a customer's name is not the
    partner's to trust. JSON and JSON lines have every value as it is.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    yield _taken(buffer)
    for record in records:
        writer.writerow([_cell(record.get(column)) for column in columns])
        yield _taken(buffer)


def flat(record: Record, prefix: str = "") -> dict[str, Any]:
    """A record without nesting: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``; lists become text."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return found


def heading(name: str) -> str:
    """A key as a column's heading: ``vettingStatus`` and ``vetting_status`` become ``Vetting status``."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _table(records: Iterable[Record], columns: Sequence[str], *, header: bool = True) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Off a terminal nothing is cut to a width that nobody has: what is there may be copied or searched for.
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, highlight=False, width=240)
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, pad_edge=False)
    for number, column in enumerate(columns):
        # IDs come first and are there to be copied: they fold rather than be cut.
        table.add_column(heading(column), overflow="fold", no_wrap=number == 0 and not header)
    for record in records:
        cells = (_shown(record.get(column)) for column in columns)
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    console.print(table)


def _shown(value: Any) -> str:
    """A value for people. Control characters, which could steer a terminal, become blanks."""
    if value is None:
        return ""
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
