"""What is shown of a bulk run: counts by state, speed, time left, and what the endpoint's limit does to it."""

import os
import pty
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli.bulk.journal import State
from accredit.cli.bulk.pace import Pace
from accredit.cli.bulk.progress import Speed, Standing, counts, duration
from accredit.cli.bulk.sender import Tally
from tests.cli import ACCREDIT, Cli
from tests.limiters import SlidingLog
from tests.partner_center import PartnerCenter, partner_center


@pytest.fixture
def stand_in() -> Iterator[PartnerCenter]:
    with partner_center() as running:
        yield running


def test_speed_is_of_the_last_moments() -> None:
    moments = iter([0.0, 10.0, 20.0, 30.0, 40.0, 50.0])
    speed = Speed(lambda: next(moments))
    assert [speed.of(done) for done in (0, 100, 100, 400)] == [0, 10, 0, 30]
    assert speed.of(400, paused=True) == 0
    assert speed.of(500) == 10


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (67, "1:07"), (3600 * 3, "3:00:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_limit() -> None:
    states = Counter({State.IN_REVIEW: 1200, State.DENIED: 1, State.FAILED: 0})
    assert [words for words, _ in counts(states)] == ["1,200 in review", "1 denied"]
    pace = Pace()
    standing = Standing(2000, Tally(states), pace, lambda: 10.0)
    assert (standing.done, standing.limit) == (1201, "")
    pace.refused(10.0, 41.0)
    assert standing.limit == "the endpoint asks to wait 0:41"
    standing.waiting = True
    assert standing.done == 1


def test_a_terminal_shows_a_bar(stand_in: PartnerCenter, tmp_path: Path) -> None:
    customers = [str(uuid4()) for _ in range(60)]
    (tmp_path / "customers.csv").write_text("customer,qualification\n" + "".join(f"{c},Education\n" for c in customers))
    stand_in.limiter = SlidingLog(40, window=2.0)
    cli = Cli(tmp_path, {"endpoint": stand_in.url, "token": "a-token"})
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*ACCREDIT, "update", "--file", "customers.csv"],
        cwd=tmp_path,
        env=cli.environment() | {"TERM": "xterm-256color", "COLUMNS": "90"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    ) as process:
        os.close(terminal)
        seen = b""
        try:
            while piece := os.read(controller, 4096):
                seen += piece
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(controller)
        assert process.stdout is not None
        out = process.stdout.read()
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "sending ━" in text
    assert "60/60" in text
    assert "60 in review" in text
    assert "the endpoint asks to wait" in text
    assert "In review  60" in out
