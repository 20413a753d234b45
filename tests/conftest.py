"""The running service that tests drive: the real server, worker and PostgreSQL, on loopback, started once."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from accredit.identity.authority import LocalAuthority
from accredit.identity.models import DirectoryUser
from accredit.partners import seed
from accredit.vetting.store import DECIDED_CHANNEL
from tests.dns_server import DnsServer, running_dns_server

AUDIENCE = "https://api.partnercenter.microsoft.com"
DEADLINE = 60.0
"""Seconds after which something awaited counts as never happening; no test waits that long when all is well."""


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of accredit, and with ``settings`` (``home="…"``)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ACCREDIT_")}
    return clean | {f"ACCREDIT_{name.upper()}": value for name, value in settings.items()}


def run_cli(*arguments: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``accredit`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "accredit", *arguments],
        env=environment(home=str(home), **settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


class Log(list[str]):
    """The lines that a process logs, as they come in."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()

    def follow(self, stream: Iterable[str]) -> None:
        """Take in the stream to its end."""
        for line in stream:
            with self._came:
                self.append(line)
                self._came.notify_all()

    def wait_for(self, text: str) -> str:
        """The first line that holds ``text``, also if it is yet to come."""
        with self._came:
            if not self._came.wait_for(lambda: any(text in line for line in self), DEADLINE):
                raise TimeoutError(f"nobody logged {text}")
            return next(line for line in self if text in line)


@dataclass
class Service:
    """A service that listens at ``url``, over the database at ``database_url``."""

    url: str
    database_url: str
    home: Path
    process: subprocess.Popen[str]
    log: Log

    def database(self) -> psycopg.Connection[Any]:
        """A connection of one's own, in autocommit."""
        return psycopg.connect(self.database_url, autocommit=True)

    def partner(self, **parts: Any) -> "Partner":
        """Register a new partner; ``parts`` as in a seed file."""
        return Partner.register(self, **parts)


@dataclass
class Partner:
    """A partner of a test's own, with an administrator and whatever the test registers."""

    service: Service
    id: UUID = field(default_factory=uuid4)
    application_id: UUID = field(default_factory=uuid4)
    user: DirectoryUser = field(
        default_factory=lambda: DirectoryUser(uuid4(), "admin@partner.example", ("AdminAgent",))
    )

    @classmethod
    def register(cls, service: Service, **parts: Any) -> "Partner":
        partner = cls(service)
        partner.seed(**parts)
        return partner

    def seed(self, **parts: Any) -> None:
        """Register more of this partner: ``customers=[…]``, ``validationCodes=[…]``."""
        entry = {"id": str(self.id), "name": "Test Partner", "sandbox": True, **parts}
        seed.register(self.service.database_url, seed.parse(json.dumps({"partners": [entry]}).encode()))

    def customer(self, *domains: str, name: str = "Test Customer") -> UUID:
        """Register a customer with these verified domains."""
        return self.customers(1, *domains, name=name)[0]

    def customers(self, count: int, *domains: str, name: str = "Test Customer") -> list[UUID]:
        """Register customers; ``{}`` in a domain stands for something of each customer's own."""
        ids = [uuid4() for _ in range(count)]
        self.seed(
            customers=[
                {
                    "id": str(id),
                    "companyName": name,
                    "domain": f"c{id.hex}.onmicrosoft.com",
                    "customDomains": [domain.replace("{}", f"d{id.hex}") for domain in domains],
                    "address": {"country": "US"},
                }
                for id in ids
            ]
        )
        return ids

    def code(
        self, validation_id: str = "12345", *, organization: str = "Test County", creates: int | None = None
    ) -> str:
        """Register a validation code."""
        code: dict[str, Any] = {"validationId": validation_id, "organizationName": organization}
        self.seed(validationCodes=[code if creates is None else code | {"maxCreates": creates}])
        return validation_id

    def token(
        self,
        *,
        app_only: bool = False,
        mfa: bool = True,
        roles: tuple[str, ...] = ("AdminAgent",),
        audience: str = AUDIENCE,
    ) -> str:
        """An access token of the service's own authority."""
        authority = LocalAuthority(self.service.home)
        common: dict[str, Any] = {
            "partner_id": self.id,
            "application_id": self.application_id,
            "audience": audience,
            "base_url": self.service.url,
        }
        if app_only:
            return authority.issue_app_only(**common).text
        user = DirectoryUser(self.user.id, self.user.upn, roles)
        return authority.issue_app_user(user, mfa=mfa, **common).text

    def client(self, token: str | None = None) -> httpx.Client:
        """An HTTP client with a token: this partner's administrator's, unless another is given."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return httpx.Client(base_url=self.service.url, headers=headers, timeout=DEADLINE)

    def async_client(self, connections: int = 100) -> httpx.AsyncClient:
        """The same, for many requests at once."""
        return httpx.AsyncClient(
            base_url=self.service.url,
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=DEADLINE,
            limits=httpx.Limits(max_connections=connections),
        )


class Decisions:
    """The verdicts as they are committed, by LISTEN: start it before what is to be decided."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._seen: set[str] = set()
        connection.execute(f"LISTEN {DECIDED_CHANNEL}")

    def wait(self, customer_id: UUID, qualification: str = "Education") -> str:
        """Wait for a verdict on a customer's qualification; return its vetting status."""
        wanted = f"{customer_id} {qualification} "
        deadline = time.monotonic() + DEADLINE
        while True:
            found = next((payload for payload in self._seen if payload.startswith(wanted)), None)
            if found is not None:
                self._seen.remove(found)
                return found.removeprefix(wanted)
            left = deadline - time.monotonic()
            if left <= 0:
                break
            # All of a batch that arrives together, or the rest of it is lost.
            self._seen |= {notice.payload for notice in self._connection.notifies(timeout=left, stop_after=1)}
        raise TimeoutError(f"no verdict on {wanted}within {DEADLINE} s")


@contextlib.contextmanager
def running_service(home: Path, *arguments: str, exit_code: int = 0, **settings: str) -> Iterator[Service]:
    """``accredit serve`` on a free port; stopped at the end, which must give ``exit_code``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "accredit", "serve", "--port", "0", *arguments],
        env=environment(home=str(home), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = Log()
    stderr = threading.Thread(target=log.follow, args=(process.stderr or (),), daemon=True)
    stderr.start()
    try:
        url = _first_line(process, log).removeprefix("accredit is listening on ").strip()
        database_url = settings.get("database_url") or _embedded_url(home)
        yield Service(url, database_url, home, process, log)
    finally:
        process.terminate()
        try:
            code = process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        stderr.join(DEADLINE)
    assert code == exit_code, "".join(log)


def _first_line(process: subprocess.Popen[str], log: list[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline() if process.stdout else ""), daemon=True).start()
    line = lines.get(timeout=DEADLINE)
    if not line:
        process.wait(DEADLINE)
        raise RuntimeError(f"accredit serve did not start: {''.join(log)}")
    return line


def _embedded_url(home: Path) -> str:
    from accredit.database.embedded import EmbeddedPostgres

    return EmbeddedPostgres(home).url


@pytest.fixture(scope="session")
def dns() -> Iterator[DnsServer]:
    """The DNS server that the shared service asks: it knows what tests publish."""
    with running_dns_server() as server:
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, dns: DnsServer) -> Iterator[Service]:
    """The service that the tests share. Each test registers a partner of its own, so they do not meet."""
    home = tmp_path_factory.mktemp("home")
    with running_service(home, log_format="json", dns_servers=dns.address) as running:
        yield running


@pytest.fixture
def partner(service: Service) -> Partner:
    """A new partner."""
    return service.partner()


@pytest.fixture
def decisions(service: Service) -> Iterator[Decisions]:
    """The verdicts from now on."""
    with service.database() as connection:
        yield Decisions(connection)


@pytest.fixture
def qualify() -> Callable[..., httpx.Response]:
    """Ask for a qualification: ``qualify(client, customer_id, "Education", code=…, **body)``."""

    def ask(
        client: httpx.Client,
        customer_id: UUID,
        qualification: str = "Education",
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        return client.post(
            f"/v1/customers/{customer_id}/qualifications",
            params={"code": code} if code else None,
            json={"Qualification": qualification, **body},
            headers=headers,
        )

    return ask
