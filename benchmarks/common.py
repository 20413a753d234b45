"""What the benchmarks share: a service with customers, a load generator of its own process, medians."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import psycopg

from accredit.database.embedded import EmbeddedPostgres
from accredit.identity.authority import LocalAuthority
from accredit.identity.models import DirectoryUser
from accredit.vetting.store import DECIDED_CHANNEL

PARTNER = UUID("00000000-0000-4000-a000-000000000001")
AUDIENCE = "https://api.partnercenter.microsoft.com"
ACCREDIT = [sys.executable, "-m", "accredit"]

_LOAD = """
local n = tonumber(os.getenv("FIRST"))
wrk.method = "POST"
wrk.body = '{"qualification": "Education"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
request = function()
    n = n + 1
    return wrk.format(nil, string.format("/v1/customers/00000000-0000-4000-8000-%012x/qualifications", n))
end
"""


@dataclass(frozen=True)
class Load:
    """What ``wrk`` saw. ``refused``: answers that were not 2xx, or sockets that failed."""

    requests: int
    per_second: float
    milliseconds_99: float
    refused: int


@dataclass
class Service:
    """A running service, its database and its processes."""

    url: str
    database_url: str
    home: Path
    process: subprocess.Popen[str]
    used: int = 0

    def settle(self) -> None:
        """Wait until the queue is empty: what one measurement left in it is no part of the next."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"LISTEN {DECIDED_CHANNEL}")
            while connection.execute("SELECT EXISTS (SELECT FROM pgqueuer)").fetchone() == (True,):
                list(connection.notifies(timeout=1, stop_after=1))

    def reset(self, customers: int) -> None:
        """Empty the database and put in ``customers``, each with an academic domain of its own."""
        self.settle()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("TRUNCATE partners, audit_records, idempotency_records, pgqueuer CASCADE")
            connection.execute("INSERT INTO partners (id, name) VALUES (%s, 'Benchmark')", (PARTNER,))
            connection.execute(
                "INSERT INTO customers (id, partner_id, company_name, domain)"
                " SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, %s,"
                " 'School ' || i, 'c' || i || '.onmicrosoft.com' FROM generate_series(1, %s) AS i",
                (PARTNER, customers),
            )
            connection.execute(
                "INSERT INTO customer_domains (domain, customer_id, verified_at)"
                " SELECT 'c' || i || '.k12.or.us', ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,"
                " now() FROM generate_series(1, %s) AS i",
                (customers,),
            )
            connection.execute("VACUUM ANALYZE")
        self.used = 0

    def token(self) -> str:
        """An administrator's token."""
        user = DirectoryUser(uuid4(), "admin@benchmark.example", ("AdminAgent",))
        return (
            LocalAuthority(self.home)
            .issue_app_user(user, partner_id=PARTNER, application_id=uuid4(), audience=AUDIENCE, base_url=self.url)
            .text
        )

    def load(self, connections: int, seconds: int, url: str | None = None) -> Load:
        """POST as fast as ``connections`` allow, each request for a customer not asked for before."""
        load = wrk(url or self.url, connections, seconds, first=self.used, token=self.token())
        self.used += load.requests + connections
        return load

    def resident(self) -> dict[str, float]:
        """Resident memory of the API and worker processes, in MiB."""
        sizes: dict[str, float] = {}
        for child in psutil.Process(self.process.pid).children():
            for part in ("api", "worker"):
                if part in child.cmdline():
                    sizes[part] = child.memory_info().rss / 2**20
        return sizes


def wrk(url: str, connections: int, seconds: int, *, first: int, token: str) -> Load:
    """Run ``wrk`` with one thread."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LOAD)
        script.flush()
        output = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url],
            env={**os.environ, "TOKEN": token, "FIRST": str(first)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    found = {
        "requests": re.search(r"(\d+) requests in", output),
        "per_second": re.search(r"Requests/sec: +([\d.]+)", output),
        "99": re.search(r"99% +([\d.]+)(us|ms|s)", output),
    }
    if not all(found.values()):
        sys.exit(f"wrk said something else than expected:\n{output}")
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[found["99"][2]]  # type: ignore[index]
    refused = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)|timeout (\d+)", output) for n in n if n)
    return Load(
        int(found["requests"][1]),  # type: ignore[index]
        float(found["per_second"][1]),  # type: ignore[index]
        float(found["99"][1]) * unit,  # type: ignore[index]
        refused,
    )


@contextlib.contextmanager
def service(*arguments: str, **settings: str) -> Iterator[Service]:
    """``accredit serve`` on a free port with a temporary home; its log goes nowhere but is written.

    ``settings`` as in :func:`start`.
    """
    with tempfile.TemporaryDirectory(prefix="accredit-bench-") as folder, (Path(folder) / "log").open("w") as log:
        home = Path(folder) / "home"
        process = start(home, log.fileno(), *arguments, **settings)
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit("the service did not start")
            yield Service(line.split()[-1], EmbeddedPostgres(home).url, home, process)
        finally:
            process.terminate()
            process.wait()


def start(home: Path, log: int, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start ``accredit serve`` on ``home``; its first line on stdout says that it is ready.

    Without rate limits, unless the environment or ``settings`` (``rate_limit_partner="5000"``) say otherwise.
    """
    variables = {f"ACCREDIT_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [*ACCREDIT, "serve", "--home", str(home), "--port", "0", "--log-format", "json", *arguments],
        env={"ACCREDIT_RATE_LIMIT_CUSTOMER": "0", "ACCREDIT_RATE_LIMIT_PARTNER": "0", **os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


def report(title: str, rows: list[tuple[str, str]]) -> None:
    """Print the results with the machine they were seen on."""
    print(f"\n{title} ({machine()})")
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}", flush=True)


def machine() -> str:
    """What ran this."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{os.cpu_count()} x {line.partition(':')[2].strip()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
