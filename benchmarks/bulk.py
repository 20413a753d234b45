"""``accredit update --file``: how much of a rate limit it uses, and how many updates a second without one.

    .venv/bin/python benchmarks/bulk.py limit [--limit 5000] [--minutes 4] [--kind sliding|fixed]
    .venv/bin/python benchmarks/bulk.py speed [--updates 20000] [--concurrency 32]
    .venv/bin/python benchmarks/bulk.py memory [--lines 1000 1000000]

``limit`` sends to a stand-in that counts, by a limiter as the service has it (so many in any sixty seconds) or as API
gateways have it (so many in each minute of the clock). ``speed`` sends to ``accredit serve`` with its limits off, on
the same machine, worker running. ``memory`` sends files of several lengths to the stand-in, and tells the most memory
that each run took.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import ACCREDIT, report, service
from tests.limiters import FixedWindow, SlidingLog


def customer(number: int) -> UUID:
    """The customer of that number, as :mod:`common` numbers them."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def write(folder: Path, lines: int) -> Path:
    """A file of updates."""
    path = folder / "customers.csv"
    with path.open("w") as file:
        file.write("customer,qualification,segment\n")
        file.writelines(f"{customer(number)},Education,K12\n" for number in range(1, lines + 1))
    return path


def command(path: Path, *more: str) -> list[str]:
    return [*ACCREDIT, "update", "--file", str(path), "-o", "json", *more]


def environment(url: str, token: str, folder: Path) -> dict[str, str]:
    return os.environ | {
        "ACCREDIT_ENDPOINT": url,
        "ACCREDIT_TOKEN": token,
        "ACCREDIT_CONFIG": str(folder / "config.json"),
    }


@contextlib.contextmanager
def stand_in(limiter: SlidingLog | FixedWindow | None) -> Iterator[tuple[str, list[float], list[float]]]:
    """A process's thread that answers 201, or 429 by the limiter; yields its URL and when it answered which."""
    import asyncio

    from aiohttp import web

    granted: list[float] = []
    refused: list[float] = []
    ready = threading.Event()
    where: list[str] = []
    loop = asyncio.new_event_loop()
    answer = json.dumps({"qualification": "Education", "vettingStatus": "InReview"}).encode()

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        now = time.monotonic()
        wait = limiter.ask(now) if limiter else None
        if wait is None:
            granted.append(now)
            return web.Response(body=answer, status=201, content_type="application/json")
        refused.append(now)
        body = {"statusCode": 429, "message": f"Rate limit is exceeded. Try again in {wait} seconds."}
        return web.json_response(body, status=429, headers={"Retry-After": str(wait)})

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        where.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(30)
    try:
        yield where[0], granted, refused
    finally:
        loop.call_soon_threadsafe(loop.stop)


def limit(arguments: argparse.Namespace) -> None:
    """How much of a limit is used: in the whole run, and in its worst full minute."""
    kinds = {"sliding": SlidingLog, "fixed": FixedWindow}
    limiter = kinds[arguments.kind](arguments.limit)
    seconds = arguments.minutes * 60
    with tempfile.TemporaryDirectory() as folder, stand_in(limiter) as (url, granted, refused):
        path = write(Path(folder), int(arguments.limit * (arguments.minutes + 2)))
        with subprocess.Popen(
            command(path), env=environment(url, "a-token", Path(folder)), stdout=subprocess.DEVNULL
        ) as process:
            while not granted:
                time.sleep(0.01)
            began = granted[0]
            time.sleep(seconds)
            taken = [moment - began for moment in granted]
            process.terminate()
            code = process.wait()
    by_minute = [
        sum(1 for moment in taken if minute * 60 <= moment < minute * 60 + 60) for minute in range(arguments.minutes)
    ]
    report(
        f"{arguments.limit:,} requests a minute ({arguments.kind}), {arguments.minutes} minutes",
        [
            ("used of the limit (aim 97 %)", f"{len(taken) / (arguments.limit * arguments.minutes):.1%}"),
            ("minute by minute", ", ".join(f"{count / arguments.limit:.1%}" for count in by_minute)),
            ("answers of 429", f"{len(refused):,} of {len(granted) + len(refused):,}"),
            ("exit code (130: stopped by us)", str(code)),
        ],
    )


def speed(arguments: argparse.Namespace) -> None:
    """Updates a second against the service, from the first request to the last answer."""
    os.environ |= {"ACCREDIT_RATE_LIMIT_PARTNER": "0", "ACCREDIT_RATE_LIMIT_CUSTOMER": "0"}
    rows = []
    with service() as running, tempfile.TemporaryDirectory() as folder:
        for run in range(arguments.runs):
            running.reset(arguments.updates)
            path = write(Path(folder), arguments.updates)
            path.with_name("customers.csv.journal").unlink(missing_ok=True)
            began = time.monotonic()
            done = subprocess.run(
                command(path, "--concurrency", str(arguments.concurrency)),
                env=environment(running.url, running.token(), Path(folder)),
                check=True,
                capture_output=True,
                text=True,
            )
            taken = time.monotonic() - began
            counts = json.loads(done.stdout)
            if counts.get("InReview") != arguments.updates:
                sys.exit(f"not all were accepted: {done.stdout}")
            rows.append((f"updates a second, run {run + 1} (aim 400)", f"{arguments.updates / taken:,.0f}"))
    report(f"{arguments.updates:,} updates, concurrency {arguments.concurrency}, start and check included", rows)


def memory(arguments: argparse.Namespace) -> None:
    """The most resident memory that runs over files of several lengths take."""
    rows = []
    for lines in arguments.lines:
        with tempfile.TemporaryDirectory() as folder, stand_in(None) as (url, _, _):
            path = write(Path(folder), lines)
            began = time.monotonic()
            process = subprocess.Popen(
                command(path), env=environment(url, "a-token", Path(folder)), stdout=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            taken = time.monotonic() - began
        if process.returncode:
            sys.exit(f"the run ended with {process.returncode}")
        rows.append((f"{lines:,} lines", f"{_mebibytes(usage):,.0f} MiB at most, {taken:,.0f} s"))
    report("Resident memory", rows)


def _mebibytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("limit")
    one.add_argument("--limit", type=int, default=5000)
    one.add_argument("--minutes", type=int, default=4)
    one.add_argument("--kind", choices=["sliding", "fixed"], default="sliding")
    one.set_defaults(measure=limit)
    one = commands.add_parser("speed")
    one.add_argument("--updates", type=int, default=20_000)
    one.add_argument("--concurrency", type=int, default=64)
    one.add_argument("--runs", type=int, default=3)
    one.set_defaults(measure=speed)
    one = commands.add_parser("memory")
    one.add_argument("--lines", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    one.set_defaults(measure=memory)
    arguments = parser.parse_args()
    arguments.measure(arguments)


if __name__ == "__main__":
    main()
