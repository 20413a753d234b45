"""What the command line costs before it does anything: only the modules that it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment

HEAVY = (
    "accredit.client",
    "accredit.database",
    "accredit.settings",
    "aiohttp",
    "asyncio",
    "azure",
    "msal",
    "psycopg",
    "requests",
    "rich",
    "sqlite3",
    "ssl",
)
LIST = f"""
import sys
from accredit.cli.main import app
try:
    app({{arguments}})
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["update", "--help"], ["customers", "list", "--help"], ["review", "list", "--help"]],
)
def test_help_imports_nothing_that_only_work_needs(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST.format(arguments=arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    assert done.stderr.strip() == "[]"


def test_help_has_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "accredit", "update", "--help"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  accredit update --file customers.csv --wait\n" in done.stdout


def test_shells_can_complete() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("accredit")],
        env=environment() | {"_ACCREDIT_COMPLETE": "complete_bash", "COMP_WORDS": "accredit cus", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["customers"]
