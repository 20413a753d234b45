"""Durable POSTs a second, against ``pgbench`` running the same statements, and against Prism, which stores nothing.

    .venv/bin/python benchmarks/writes.py [--runs 3] [--seconds 8] [--connections 32] [--prism PATH]

Needs ``wrk`` (``apt-get install wrk``); for Prism, its program (``npm install @stoplight/prism-cli``; the path is then
``node_modules/.bin/prism``). The runs of all three alternate, so that a machine that changes its speed is fair to all.
"""

import argparse
import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from common import PARTNER, Service, report, service, wrk

from accredit.audit import store as audit
from accredit.database import embedded, idempotency
from accredit.qualifications import store as qualifications
from accredit.vetting import queue

CUSTOMERS = 100_000
PRISM_PORT = 4010


def statements() -> str:
    """One submission as a ``pgbench`` script: the statements of the write path, in its order, in one transaction."""
    customer = "('00000000-0000-4000-8000-' || lpad(to_hex(:customer::bigint), 12, '0'))::uuid"
    request = "('00000000-0000-4000-9000-' || right(lpad(to_hex(:request::bigint), 16, '0'), 12))::uuid"
    qualification = {
        "id": "gen_random_uuid()", "customer_id": customer, "qualification": "'Education'",
        "vetting_status": "'InReview'", "request_number": "1", "requested_at": "now()",
        "requested_by": "'admin@benchmark.example'", "application_id": f"'{PARTNER}'",
    }  # fmt: skip
    record = {
        "id": "gen_random_uuid()", "partner_id": f"'{PARTNER}'", "customer_id": customer,
        "customer_name": "'Company'", "user_principal_name": "'admin@benchmark.example'",
        "application_id": f"'{PARTNER}'", "resource_type": "'customer'",
        "resource_new_value": "'{\"qualification\":\"Education\",\"vettingStatus\":\"InReview\"}'",
        "operation_type": "'update_customer_qualification'", "operation_date": "now()",
        "operation_status": "'progress'", "customized_data": "'[]'::json",
    }  # fmt: skip
    kept = {
        "partner_id": f"'{PARTNER}'", "request_id": request, "fingerprint": "md5('x')", "status": "201",
        "body": "'{\"qualification\":\"Education\",\"vettingStatus\":\"InReview\"}'",
    }  # fmt: skip
    # Their text is taken from the modules, so that the reference follows when they change.
    script = [
        (idempotency.LOCK, ["ARRAY[:request::bigint]"]),
        (idempotency.RECALL, [f"ARRAY['{PARTNER}'::uuid]", f"ARRAY[{request}]"]),
        (qualifications.LOCK_CUSTOMERS, [f"ARRAY[{customer}]", f"ARRAY['{PARTNER}'::uuid]"]),
        (qualifications.LOCK_QUALIFICATIONS, [f"ARRAY[{customer}]"]),
        (qualifications.PUT, [_rows(qualification)]),
        (audit.INSERT, [_rows(record)]),
        (idempotency.KEEP, [_rows(kept)]),
    ]
    enqueue = queue.enqueue_statement()
    for number, value in enumerate(
        ["ARRAY[0]", "ARRAY['vet']", "ARRAY['[]'::bytea]", "ARRAY['0s'::interval]", "ARRAY[NULL::text]",
         "ARRAY['{}'::jsonb]"], 1
    ):  # fmt: skip
        enqueue = enqueue.replace(f"${number}", value)
    lines = [_one_line(_filled(text, values)) for text, values in script] + [_one_line(enqueue)]
    draws = [
        f"\\set customer random(1, {CUSTOMERS})",
        "\\set request random(1, 9000000000000000)",
    ]
    return "\n".join([*draws, "BEGIN;", *lines, "COMMIT;"]) + "\n"


def _rows(columns: dict[str, str]) -> str:
    return (
        "json_build_array(json_build_object("
        + ", ".join(f"'{name}', {value}" for name, value in columns.items())
        + "))"
    )


def _filled(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace("%s::json", value, 1) if "%s::json" in text else text.replace("%s", value, 1)
    return text


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", text)).strip() + ";"


def pgbench(running: Service, script: Path, connections: int, seconds: int) -> float:
    """Transactions a second."""
    host = parse_qs(urlsplit(running.database_url).query)["host"][0]
    output = subprocess.run(
        [embedded.binary("pgbench"), "-M", "prepared", "-n", "-h", host, "-U", "postgres", "-f", script,
         "-c", str(connections), "-j", "1", "-T", str(seconds), "accredit"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", output)
    if found is None:
        sys.exit(f"pgbench said something else than expected:\n{output}")
    return float(found[1])


@contextlib.contextmanager
def prism(program: str, running: Service) -> Iterator[str]:
    """Prism mocking the POST operation of our own document; yields its URL."""
    with urllib.request.urlopen(f"{running.url}/openapi.json") as answer:
        document = json.load(answer)
    path = "/v1/customers/{customer_id}/qualifications"
    document["paths"] = {path: {"post": document["paths"][path]["post"]}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        command = [program, "mock", "--port", str(PRISM_PORT), "--verboseLevel", "warn", file.name]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                for _ in range(100):
                    time.sleep(0.2)
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PRISM_PORT)):
                        break
                yield f"http://127.0.0.1:{PRISM_PORT}"
            finally:
                process.terminate()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--prism", help="Prism's program; without it that comparison is left out")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file, service() as running, contextlib.ExitStack() as stack:
        file.write(statements())
        file.flush()
        prism_url = stack.enter_context(prism(arguments.prism, running)) if arguments.prism else None
        for connections in arguments.connections:
            posts: list[float] = []
            reference: list[float] = []
            mocked: list[float] = []
            for _ in range(arguments.runs):
                running.reset(CUSTOMERS)
                load = running.load(connections, arguments.seconds)
                if load.refused:
                    sys.exit(f"{load.refused} of {load.requests} requests were refused")
                posts.append(load.per_second)
                running.reset(CUSTOMERS)
                reference.append(pgbench(running, Path(file.name), connections, arguments.seconds))
                if prism_url:
                    mocked.append(wrk(prism_url, connections, arguments.seconds, first=0, token="x").per_second)
            rate, baseline = statistics.median(posts), statistics.median(reference)
            rows = [
                ("durable POSTs a second, API and worker running", f"{rate:,.0f}"),
                ("pgbench, the same statements, transactions a second", f"{baseline:,.0f}"),
                ("ratio to pgbench (aim 0.50, at least 0.40)", f"{rate / baseline:.2f}"),
            ]
            if mocked:
                rows += [
                    ("Prism, requests a second", f"{statistics.median(mocked):,.0f}"),
                    ("ratio to Prism (aim 4, at least 3)", f"{rate / statistics.median(mocked):.1f}"),
                ]
            with psycopg.connect(running.database_url) as connection:
                durable = connection.execute("SHOW synchronous_commit").fetchone()
            report(f"{connections} connections, synchronous_commit={durable and durable[0]}", rows)


if __name__ == "__main__":
    main()
