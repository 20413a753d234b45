"""Seconds until ``accredit serve`` is ready on an existing home.

.venv/bin/python benchmarks/startup.py [--runs 5]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from common import report, start


def ready(home: Path) -> float:
    """Seconds from the start of the process to its word that it listens; then it is stopped."""
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = start(home, log.fileno())
        line = process.stdout.readline() if process.stdout else ""
        seconds = time.perf_counter() - started
        process.terminate()
        process.wait()
    if not line:
        raise RuntimeError("the service did not start")
    return seconds


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="accredit-bench-") as folder:
        home = Path(folder) / "home"
        first = ready(home)
        again = [ready(home) for _ in range(arguments.runs)]
    report(
        "Until ready",
        [
            ("new home", f"{first:.2f} s"),
            ("existing home, median (at most 3 s)", f"{statistics.median(again):.2f} s"),
        ],
    )


if __name__ == "__main__":
    main()
