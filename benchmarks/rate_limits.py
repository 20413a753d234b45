"""What the rate limits cost: durable POSTs a second with limits that nobody reaches, against none.

    .venv/bin/python benchmarks/rate_limits.py [--runs 7] [--seconds 8] [--connections 32]

Needs ``wrk`` (``apt-get install wrk``). Both services run all the time and are loaded in turn, the order changing each
time, each request for a customer not seen before: the dearest kind. The ratios are the medians of those of each pair;
that of the API process's own time bears a busy machine better.
"""

import argparse
import asyncio
import statistics
import sys
import time
from typing import NamedTuple
from uuid import uuid4

import psutil
from common import Service, report, service

from accredit.database.pool import create_pool
from accredit.limits.limiter import BEAT, Limiter

CUSTOMERS = 200_000
LIMIT = 1_000_000


class Run(NamedTuple):
    """What one run saw: POSTs a second, and the API process's processor time for each, in microseconds."""

    per_second: float
    microseconds: float


def run(running: Service, connections: int, seconds: int) -> Run:
    """Load a service, which may refuse nothing."""
    running.reset(CUSTOMERS)
    before = processor_time(running)
    load = running.load(connections, seconds)
    if load.refused:
        sys.exit(f"{load.refused} of {load.requests} requests were refused")
    return Run(load.per_second, (processor_time(running) - before) / load.requests * 1e6)


def processor_time(running: Service) -> float:
    """Seconds of processor time that the API process has used so far."""
    (api,) = (child for child in psutil.Process(running.process.pid).children() if "api" in child.cmdline())
    times = api.cpu_times()
    return times.user + times.system


async def admissions(database_url: str, count: int = 20_000) -> float:
    """Microseconds of processor time for each of ``count`` admissions, each for another customer of one partner."""
    async with (
        create_pool(database_url, most=2, timeout=5, name="benchmark") as pool,
        Limiter(pool, customer=LIMIT, partner=LIMIT, timeout=5) as limiter,
    ):
        await asyncio.sleep(4 * BEAT)  # until the other processes know this one, as in a service that has just started
        partner, customers = uuid4(), [uuid4() for _ in range(count)]
        started = time.process_time()
        for customer in customers:
            await limiter.admit(partner, customer)
        return (time.process_time() - started) / count * 1e6


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    limits = {"rate_limit_customer": str(LIMIT), "rate_limit_partner": str(LIMIT)}
    runs: dict[str, list[Run]] = {"with": [], "without": []}
    with service(**limits) as limited, service() as free:
        pair = [("with", limited), ("without", free)]
        for _ in range(arguments.runs):
            for name, running in pair:
                runs[name].append(run(running, arguments.connections, arguments.seconds))
            pair.reverse()
        microseconds = asyncio.run(admissions(limited.database_url))
    rows = [(f"{name} limits", median_of(runs[name])) for name in runs]
    pairs = list(zip(runs["with"], runs["without"], strict=True))
    report(
        f"Rate limits, {arguments.connections} connections, {arguments.runs} pairs of runs",
        [
            *rows,
            ("POSTs a second, with / without (at least 0.97)", spread([a.per_second / b.per_second for a, b in pairs])),
            ("time, with / without (at most 1.03)", spread([a.microseconds / b.microseconds for a, b in pairs])),
            ("an admission by itself", f"{microseconds:.1f} µs"),
        ],
    )


def median_of(runs: list[Run]) -> str:
    """The medians of both measures."""
    rate, microseconds = (statistics.median(values) for values in zip(*runs, strict=True))
    return f"{rate:,.0f} POSTs a second, {microseconds:,.0f} µs of the API process for each"


def spread(ratios: list[float]) -> str:
    """The median, and the least and the greatest."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
