"""``docs/cli.md`` is true: its examples run, in their order, and its exit codes are the program's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from accredit.cli import exits
from accredit.cli.bulk.journal import State
from accredit.cli.bulk.report import COLUMNS
from tests.conftest import DEADLINE, environment, running_service

PAGE = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()
EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_example_runs(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "work"
    folder.mkdir()
    with running_service(home, "--demo") as service:
        settings = environment(home=str(home), config=str(tmp_path / "config.json")) | {"URL": service.url}
        settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
        for example in EXAMPLES:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", example],
                cwd=folder,
                env=settings,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
            assert done.returncode == 0, (example, done.stderr)
    assert len(EXAMPLES) >= 5
    lines = (folder / "customers.result.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in lines] == ["state", "Set", "InReview", "InReview"]


def test_the_page_has_every_exit_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| ([0-9]+) \| ", PAGE, re.MULTILINE)}
    assert documented == {0} | {code for name, code in vars(exits).items() if name.isupper()}


@pytest.mark.parametrize("state", State)
def test_the_page_has_every_state(state: State) -> None:
    assert f"`{state.value}`" in PAGE


def test_the_page_has_the_columns_of_the_result() -> None:
    assert f"`{','.join(COLUMNS)}`" in PAGE
