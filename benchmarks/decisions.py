"""From POST to decision: on an idle service, and at half of the load that it bears.

    .venv/bin/python benchmarks/decisions.py [--idle 300] [--seconds 15]

Needs ``wrk`` (``apt-get install wrk``), to find the load that it bears. Half of that is then sent at even intervals,
open loop. A decision's moment is that of its NOTIFY's arrival; a POST's is that of its sending.
"""

import argparse
import asyncio
import re
import statistics
import time
import urllib.request
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from common import Service, report, service

from accredit.vetting.store import DECIDED_CHANNEL

CUSTOMERS = 100_000
CONNECTIONS = 32


def customer(number: int) -> UUID:
    """The ID of a customer, by number."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def idle(running: Service, count: int) -> list[float]:
    """Milliseconds from POST to decision, one request after another."""
    token = running.token()
    milliseconds = []
    with psycopg.connect(running.database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {DECIDED_CHANNEL}")
        for number in range(1, count + 1):
            request = urllib.request.Request(
                f"{running.url}/v1/customers/{customer(number)}/qualifications",
                b'{"qualification": "Education"}',
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            started = time.perf_counter()
            urllib.request.urlopen(request).read()
            next(one for one in listener.notifies(timeout=30) if one.payload.startswith(str(customer(number))))
            milliseconds.append((time.perf_counter() - started) * 1000)
    return milliseconds


async def loaded(running: Service, per_second: float, seconds: int, first: int) -> list[float]:
    """Milliseconds from POST to decision while ``per_second`` requests are sent, evenly."""
    count = int(per_second * seconds)
    started: dict[str, float] = {}
    milliseconds: list[float] = []
    due: asyncio.Queue[str] = asyncio.Queue()
    where = urlsplit(running.url)
    token = running.token()

    async def listen(listener: psycopg.AsyncConnection) -> None:
        async for notice in listener.notifies():
            sent = started.pop(notice.payload.split()[0], None)
            if sent is not None:
                milliseconds.append((time.perf_counter() - sent) * 1000)
                if len(milliseconds) == count:
                    return

    async def post() -> None:
        """Send what is due over one connection. By hand: an HTTP library would cost more than the service."""
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        body = b'{"qualification": "Education"}'
        while id := await due.get():
            head = (
                f"POST /v1/customers/{id}/qualifications HTTP/1.1\r\nHost: {where.netloc}\r\n"
                f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 201 "):
                raise RuntimeError(answer.decode())
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
        writer.close()

    async with await psycopg.AsyncConnection.connect(running.database_url, autocommit=True) as listener:
        await listener.execute(f"LISTEN {DECIDED_CHANNEL}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(listener))
            for _ in range(CONNECTIONS):
                tasks.create_task(post())
            begun = time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
                id = str(customer(first + number))
                started[id] = time.perf_counter()
                due.put_nowait(id)
            for _ in range(CONNECTIONS):
                due.put_nowait("")
    return milliseconds


def quantile(values: list[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=15)
    arguments = parser.parse_args()
    with service() as running:
        running.reset(CUSTOMERS)
        alone = idle(running, arguments.idle)
        report(
            "From POST to decision, idle service",
            [
                ("median (at most 30 ms)", f"{statistics.median(alone):.1f} ms"),
                ("99 %", f"{quantile(alone, 99):.1f} ms"),
            ],
        )
        running.reset(CUSTOMERS)
        most = statistics.median(running.load(CONNECTIONS, 6).per_second for _ in range(3))
        running.settle()
        busy = asyncio.run(loaded(running, most / 2, arguments.seconds, running.used + CONNECTIONS))
        report(
            "From POST to decision, at half of the maximum load",
            [
                ("maximum load", f"{most:,.0f} POSTs a second"),
                ("median", f"{statistics.median(busy):.1f} ms"),
                ("99 % (within 250 ms)", f"{quantile(busy, 99):.1f} ms"),
            ],
        )
        report(
            "Resident memory after that load",
            [(f"{part} process (at most 150 MiB)", f"{size:.0f} MiB") for part, size in running.resident().items()],
        )


if __name__ == "__main__":
    main()
