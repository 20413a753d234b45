"""The result file of a bulk run: a CSV with one line for each update of the file."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from accredit.cli.bulk.journal import Entry, State
from accredit.cli.bulk.source import Line
from accredit.cli.client.output import csv_lines

COLUMNS = (
    "customer",
    "qualification",
    "state",
    "reason",
    "request_id",
    "correlation_id",
    "error_code",
    "error_description",
)


def write(path: Path, lines: Iterable[Line], entries: Iterable[Entry]) -> None:
    """Write the result file, whole or not at all. Both sequences are in the order of the file's lines.

    Raises ``OSError``, and what the sequences raise.
    """
    # As a file that is simply opened would be, or as the one that it replaces is.
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(csv_lines(_records(lines, entries), COLUMNS))
            file.flush()
            os.fsync(descriptor)
        Path(draft).chmod(mode)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _records(lines: Iterable[Line], entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    known = iter(entries)
    entry = next(known, None)
    for line in lines:
        while entry is not None and entry.line < line.number:
            entry = next(known, None)
        if entry is not None and entry.line == line.number:
            yield {name: getattr(entry, name) for name in COLUMNS}
        else:
            update = line.update
            yield {"customer": update.customer, "qualification": update.qualification, "state": State.NOT_SENT}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
