"""Latency of list, get and POST with ten thousand customers and with a million, in one run.

    .venv/bin/python benchmarks/customers.py [--few 10000] [--many 1000000] [--requests 300]

Two services, each with its own database, answer the same requests in turns, so that a machine that changes its speed is
fair to both. The last page is reached by following the links from the first one, 500 customers a page.
"""

import argparse
import contextlib
import http.client
import json
import statistics
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit
from uuid import UUID

from common import Service, report, service

AIM = 1.2
# One customer in either database. The count of a filter's matches costs what the matches are.
_FILTER = quote(json.dumps({"Field": "Domain", "Value": "c5000.", "Operator": "starts_with"}))


@dataclass
class Side:
    """A service with its customers, asked over one connection."""

    running: Service
    customers: int
    connection: http.client.HTTPConnection
    headers: dict[str, str]
    last_page: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    posted: int = 0

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> dict[str, object]:
        """Send a request; return the answer's JSON."""
        sent = self.headers | headers | ({"Content-Type": "application/json"} if body else {})
        self.connection.request(method, path, body, sent)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        loaded: dict[str, object] = json.loads(content)
        return loaded

    def walk(self) -> None:
        """Follow the links to the last page, and keep the token that leads to it."""
        page: dict[str, object] = self.ask("GET", "/v1/customers?size=500")
        while "next" in page["links"]:  # type: ignore[operator]
            link = page["links"]["next"]  # type: ignore[index]
            self.last_page = {one["key"]: one["value"] for one in link["headers"]}
            page = self.ask("GET", link["uri"], **self.last_page)

    def measure(self, name: str, number: int) -> None:
        """Time one request of a kind."""
        id = customer(1 + number * 31 % self.customers)
        started = time.perf_counter()
        match name:
            case "list, first page":
                self.ask("GET", "/v1/customers?size=100")
            case "list, last page":
                self.ask("GET", "/v1/customers?size=100&seekOperation=Next", **self.last_page)
            case "list, filtered by domain":
                self.ask("GET", f"/v1/customers?size=100&filter={_FILTER}")
            case "get":
                self.ask("GET", f"/v1/customers/{id}")
            case "POST qualifications":
                self.posted += 1
                body = '{"qualification": "StateOwnedEntity"}'
                self.ask("POST", f"/v1/customers/{customer(self.customers - self.posted)}/qualifications", body)
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)


KINDS = ("list, first page", "list, last page", "list, filtered by domain", "get", "POST qualifications")


def customer(number: int) -> UUID:
    """The ID of a customer, by number."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        sides = []
        for count in (arguments.few, arguments.many):
            running = stack.enter_context(service())
            running.reset(count)
            where = urlsplit(running.url)
            connection = http.client.HTTPConnection(where.hostname or "", where.port)
            side = Side(running, count, connection, {"Authorization": f"Bearer {running.token()}"})
            side.walk()
            sides.append(side)
        few, many = sides
        for number in range(arguments.requests):
            for name in KINDS:
                for side in sides:
                    side.measure(name, number)
        rows = []
        for name in KINDS:
            small, large = (statistics.median(side.seconds[name]) * 1000 for side in (few, many))
            rows.append((name, f"{small:6.2f} ms   {large:6.2f} ms   {large / small:.2f}"))
        report(f"{few.customers:,} customers, {many.customers:,} customers, ratio (aim at most {AIM}), medians", rows)


if __name__ == "__main__":
    main()
