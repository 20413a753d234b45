"""docs/sdk.md: its examples run as they are, in their order, and print what they say."""

import re
from pathlib import Path

import pytest

from tests.conftest import run_cli, running_service

PAGE = Path(__file__).parent.parent / "docs" / "sdk.md"
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)


def test_the_examples_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 10
    variables = {"__name__": "__main__"}
    with running_service(tmp_path / "home", "--demo") as service:
        token = run_cli("token", home=service.home)
        monkeypatch.setenv("ACCREDIT_ENDPOINT", service.url)
        monkeypatch.setenv("ACCREDIT_TOKEN", token.stdout.strip())
        for number, example in enumerate(examples, 1):
            exec(compile(example, f"{PAGE.name}, example {number}", "exec"), variables)
            printed = capsys.readouterr().out.splitlines()
            for line in PRINTED.findall(example):
                assert line in printed, f"example {number} printed {printed}"
