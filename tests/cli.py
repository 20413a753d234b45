"""Running the client's commands as processes of their own, with a configuration of the test's own."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import DEADLINE, environment

ACCREDIT = [sys.executable, "-m", "accredit"]


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Cli:
    """``accredit``, in a folder of its own. ``settings`` are environment variables: ``token="…"``."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return environment(config=str(self.folder / "config.json"), **self.settings)

    def __call__(self, *arguments: object, code: int = 0) -> Done:
        """Run a command to its end, which must be ``code``; it never shows a traceback."""
        done = subprocess.run(
            [*ACCREDIT, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stderr)
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*ACCREDIT, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
