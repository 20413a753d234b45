"""The main job end to end: a partner asks for qualifications over real HTTP, and vetting decides behind it.

Starts ``accredit serve`` with the demo data on a free port and a home of its own, talks to it through a plain socket,
shows what went over the wire, waits for each decision by LISTEN, and stops the service. Exits 0 if all came out right.
"""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from rich.console import Console
from rich.markup import escape

from accredit.database.embedded import EmbeddedPostgres
from accredit.vetting.store import DECIDED_CHANNEL

ACCREDIT = [sys.executable, "-m", "accredit"]
DECISION_SECONDS = 20.0
CUSTOMERS = "/v1/customers/5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b0"
SCHOOLS, TUTORS, COUNTY = f"{CUSTOMERS}1", f"{CUSTOMERS}2", f"{CUSTOMERS}3"

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def service(home: Path) -> Iterator[str]:
    """Run the service; yield its URL."""
    with subprocess.Popen(
        [*ACCREDIT, "serve", "--demo", "--home", str(home), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit(f"the service did not start:\n{process.stderr.read() if process.stderr else ''}")
            yield line.split()[-1]
        finally:
            process.terminate()
            process.communicate()


def exchange(url: str, token: str, method: str, target: str, body: object = None) -> object:
    """Send one request, show it and its answer as they went over the wire, return the answer's JSON."""
    parts = urlsplit(url)
    content = json.dumps(body).encode() if body is not None else b""
    head = [
        f"{method} {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: Bearer {token}",
        "Accept: application/json",
        *([f"Content-Type: application/json\r\nContent-Length: {len(content)}"] if content else []),
        f"MS-RequestId: {uuid4()}",
        f"MS-CorrelationId: {uuid4()}",
        "Connection: close",
    ]
    request = "\r\n".join(head).encode() + b"\r\n\r\n" + content
    with socket.create_connection((parts.hostname, parts.port), timeout=DECISION_SECONDS) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    show(">", request.replace(token.encode(), token[:12].encode() + b"... (the token, shortened here)"))
    show("<", answer)
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def show(mark: str, message: bytes) -> None:
    """Print a message, each line marked with its direction."""
    colour = "cyan" if mark == ">" else "green"
    for line in message.decode().splitlines():
        console.print(f"[{colour}]{mark}[/] {escape(line)}")
    console.print()


def decision(listener: psycopg.Connection, customer: str) -> str:
    """Wait until a verdict on the customer is committed; return its vetting status."""
    for notice in listener.notifies(timeout=DECISION_SECONDS):
        customer_id, _, status = notice.payload.split()
        if customer.endswith(customer_id):
            return status
    sys.exit(f"no decision within {DECISION_SECONDS:.0f} s")


def main() -> int:
    """Run the demo; return the exit code."""
    requests = (
        ("A school district, which controls an academic domain, asks for Education", SCHOOLS, "",
         {"Qualification": "Education", "EducationSegment": "K12", "Website": "https://contoso.k12.or.us"}, "Approved"),
        ("A tutor with a free-mail domain asks for Education", TUTORS, "", {"Qualification": "Education"}, "Denied"),
        ("A county asks for GovernmentCommunityCloud, with a validation code", COUNTY, "?code=12345",
         {"Qualification": "GovernmentCommunityCloud"}, "Approved"),
    )  # fmt: skip
    came_out_right = True
    with tempfile.TemporaryDirectory(prefix="accredit-demo-") as folder:
        home = Path(folder)
        with service(home) as url, psycopg.connect(EmbeddedPostgres(home).url, autocommit=True) as listener:
            listener.execute(f"LISTEN {DECIDED_CHANNEL}")
            token = subprocess.run(
                [*ACCREDIT, "token", "--home", str(home)], check=True, capture_output=True, text=True
            ).stdout.strip()
            for title, customer, query, body, expected in requests:
                console.rule(f"[bold]{title}", align="left")
                exchange(url, token, "POST", f"{customer}/qualifications{query}", body)
                console.print("[dim]... vetting works; its decision arrives ...[/]\n")
                status = decision(listener, customer)
                exchange(url, token, "GET", f"{customer}/qualifications")
                came_out_right &= status == expected
    console.print(
        "[bold green]All three came out as they should." if came_out_right else "[bold red]That is not right."
    )
    return 0 if came_out_right else 1


if __name__ == "__main__":
    sys.exit(main())
