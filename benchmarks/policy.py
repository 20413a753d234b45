"""How good the vetting policy is, and how fast: shares Approved of real and false requests, decisions a second.

    .venv/bin/python benchmarks/policy.py [--universities FILE.json] [--entries 200000]

FILE.json is the world university list (github.com/Hipo/university-domains-list), or a part of it. Without it the shares
of real universities are left out. Everything goes through ``accredit registry import`` and ``accredit vet --dry-run``,
in a fresh home; speed is measured on the worker's own gathering and policy, over the same database.
"""

import argparse
import asyncio
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from common import ACCREDIT, PARTNER, report

from accredit.database.embedded import database_url
from accredit.database.pool import create_pool
from accredit.operations import logs
from accredit.registries.store import Lookup
from accredit.settings import Settings
from accredit.vetting.models import Outcome
from accredit.vetting.queue import CaseReference
from accredit.vetting.worker import Vetting

HERE = Path(__file__).parent
COLUMNS = ("company", "domain", "verified", "website", "country", "segment", "qualification")
DECISIONS = 5_000
JOB = 16
CASES = """
WITH partner AS (INSERT INTO partners (id, name) VALUES (%(partner)s, 'Benchmark')),
made AS (
    SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid AS id, i * %(step)s AS number
    FROM generate_series(0, %(count)s - 1) AS i),
customer AS (
    INSERT INTO customers (id, partner_id, company_name, domain, address)
    SELECT id, %(partner)s, 'University of Town ' || number, 'c' || number || '.onmicrosoft.com', '{"country": "US"}'
    FROM made),
domain AS (
    INSERT INTO customer_domains (domain, customer_id, verified_at)
    SELECT 'n' || number || '.org', id, now() FROM made)
INSERT INTO qualifications (
    id, customer_id, qualification, vetting_status, request_number, requested_at, website)
SELECT id, id, 'Education', 'InReview', 1, now(), 'www.n' || number || '.org' FROM made
"""


def accredit(home: Path, *arguments: str) -> None:
    """Run a command to its end."""
    subprocess.run([*ACCREDIT, *arguments, "--home", str(home)], check=True, stdout=subprocess.DEVNULL)


def vet(home: Path, file: Path) -> list[dict[str, str]]:
    """The rows of ``file`` with what was decided."""
    out = home / "out.csv"
    accredit(home, "vet", "--dry-run", str(file), "--out", str(out))
    with out.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def share(rows: Iterable[dict[str, str]]) -> str:
    """How many of ``rows`` are Approved."""
    counts = Counter(row["decision"] for row in rows)
    return f"{counts[Outcome.APPROVED]:,} of {counts.total():,} ({counts[Outcome.APPROVED] / counts.total():.1%})"


def write_universities(universities: Path, file: Path) -> None:
    """A row for each university, with its first domain proven."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for one in json.loads(universities.read_bytes()):
            page = next(iter(one["web_pages"]), "")
            row = (one["name"], one["domains"][0], "true", page, one["alpha_two_code"], "HigherEducation", "Education")
            writer.writerow(row)


def shares(home: Path, universities: Path | None) -> list[tuple[str, str]]:
    """The table of shares."""
    file = home / "universities.csv"
    found = []
    if universities:
        write_universities(universities, file)
        found.append(("universities, built-in list alone (aim 85 %)", share(vet(home, file))))
        accredit(home, "registry", "import", "universities", str(universities))
        found.append(("universities, world list imported (aim 95 %)", share(vet(home, file))))
    others = vet(home, HERE / "not_academic.csv")
    for kind in dict.fromkeys(row["kind"] for row in others):
        found.append((f"{kind} domains (aim none)", share(row for row in others if row["kind"] == kind)))  # noqa: PERF401
    attacks = vet(home, HERE / "adversarial.csv")
    found.append(("attacks, all kinds (none)", share(attacks)))
    kinds = Counter(row["kind"] for row in attacks)
    return [*found, *((f"  {kind}", share(row for row in attacks if row["kind"] == kind)) for kind in sorted(kinds))]


def write_registry(file: Path, entries: int) -> None:
    """A registry of our own with this many institutions."""
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("domain,name,kind,country\n")
        out.writelines(f"n{number}.org,University of Town {number},university,US\n" for number in range(entries))


async def worker_speed(url: str, settings: Settings, entries: int) -> float:
    """Decisions a second of a worker, from taking jobs to their commit; every domain is new to it."""
    step = max(entries // DECISIONS, 1)
    async with create_pool(url, most=4, timeout=30, name="benchmark") as pool:
        async with pool.connection() as connection:
            await connection.execute(CASES, {"step": step, "count": entries // step, "partner": PARTNER})
            rows = await (await connection.execute("SELECT id, 1 FROM qualifications ORDER BY id")).fetchall()
        references: list[CaseReference] = [(id, number) for id, number in rows]
        vetting = Vetting(pool, settings)
        await vetting.vet(references[:JOB])
        jobs = iter([references[at : at + JOB] for at in range(JOB, len(references), JOB)])

        async def work() -> None:
            for job in jobs:
                await vetting.vet(job)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(settings.worker_jobs)))
        seconds = time.perf_counter() - started
        async with pool.connection() as connection:
            query = "SELECT count(*) FROM qualifications WHERE vetting_status = 'Approved'"
            approved = await (await connection.execute(query)).fetchone()
    if approved != (len(references),):
        raise RuntimeError(f"not all were approved: {approved} of {len(references)}")
    return (len(references) - JOB) / seconds


async def speed(url: str, settings: Settings, entries: int) -> list[tuple[str, str]]:
    """Look-up times, one by one and uncached, and decisions a second, as a worker's jobs come."""
    async with create_pool(url, most=4, timeout=30, name="benchmark") as pool:
        look_up = Lookup(pool, most=settings.registry_cache, timeout=30)
        milliseconds = []
        for number in range(0, entries, max(entries // 1000, 1)):
            started = time.perf_counter()
            answer = await look_up([f"www.n{number}.org"])
            milliseconds.append((time.perf_counter() - started) * 1000)
            if len(answer.institutions[f"www.n{number}.org"]) != 1:
                raise RuntimeError(f"n{number}.org was not found")
    decided = await worker_speed(url, settings, entries)
    return [
        (f"look-up among {entries:,} entries, median", f"{statistics.median(milliseconds):.2f} ms"),
        ("look-up, 99 % (aim 1 ms)", f"{statistics.quantiles(milliseconds, n=100)[98]:.2f} ms"),
        ("decisions a second, stored, one worker (aim 1,000)", f"{decided:,.0f}"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--universities", type=Path)
    parser.add_argument("--entries", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="accredit-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        report("Approved without a person", shares(home, arguments.universities))
        write_registry(home / "registry.csv", arguments.entries)
        started = time.perf_counter()
        accredit(home, "registry", "import", "csv", str(home / "registry.csv"))
        imported = time.perf_counter() - started
        settings = Settings(home=home)
        sys.stderr = (home / "log").open("w")  # a log that goes nowhere, but is written
        logs.configure(settings)
        with database_url(settings) as url:
            found = asyncio.run(speed(url, settings, arguments.entries))
        report("Speed", [(f"import of {arguments.entries:,} entries", f"{imported:.1f} s"), *found])


if __name__ == "__main__":
    main()
